"""A tracker as BitTorrent has had them before WebTorrent: over UDP (BEP 15) and over HTTP (BEP 3, 23, 48), for tests."""

from __future__ import annotations

import asyncio
import socket
import struct
from urllib.parse import unquote_to_bytes

PROTOCOL_ID = 0x41727101980
CONNECTION = 0x1122334455667788


class ClassicTracker(asyncio.DatagramProtocol):
    """Both kinds share one table: who announces to one is found by the other."""

    def __init__(self) -> None:
        self.swarms: dict[bytes, dict[tuple[str, int], bytes]] = {}
        self.announces: list[str] = []

    @classmethod
    async def start(cls, address: str) -> ClassicTracker:
        tracker = cls()
        loop = asyncio.get_running_loop()
        tracker._http = await asyncio.start_server(tracker._serve, address, 0)
        port = tracker._http.sockets[0].getsockname()[1]
        tracker._transport, _ = await loop.create_datagram_endpoint(lambda: tracker, (address, port))
        tracker.udp = f"udp://{address}:{port}/announce"
        tracker.http = f"http://{address}:{port}/announce"
        return tracker

    async def stop(self) -> None:
        self._transport.close()
        self._http.close()

    def _announce(self, kind: str, info_hash: bytes, peer: tuple[str, int], peer_id: bytes, *, stopped: bool) -> bytes:
        """The others, as BEP 23 writes them."""
        self.announces.append(kind)
        swarm = self.swarms.setdefault(info_hash, {})
        if stopped:
            swarm.pop(peer, None)
        else:
            swarm[peer] = peer_id
        return b"".join(socket.inet_aton(host) + struct.pack(">H", port) for host, port in swarm if (host, port) != peer)

    # UDP

    def datagram_received(self, data: bytes, source: tuple[str, int]) -> None:
        connection, action, transaction = struct.unpack_from(">QII", data)
        if action == 0 and connection == PROTOCOL_ID:
            self._transport.sendto(struct.pack(">IIQ", 0, transaction, CONNECTION), source)
        elif connection != CONNECTION:
            self._transport.sendto(struct.pack(">II", 3, transaction) + b"connect first", source)
        elif action == 1:
            info_hash, peer_id = data[16:36], data[36:56]
            (event,) = struct.unpack_from(">I", data, 80)
            (port,) = struct.unpack_from(">H", data, 96)
            others = self._announce("udp", info_hash, (source[0], port), peer_id, stopped=event == 3)
            self._transport.sendto(struct.pack(">IIIII", 1, transaction, 60, len(self.swarms[info_hash]), 0) + others, source)
        elif action == 2:
            known = len(self.swarms.get(data[16:36], {}))
            self._transport.sendto(struct.pack(">IIIII", 2, transaction, 0, 7, known), source)

    # HTTP

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        path, _, query = head.split(b" ")[1].partition(b"?")
        fields = {name: unquote_to_bytes(value) for name, _, value in (part.partition(b"=") for part in query.split(b"&"))}
        info_hash = fields[b"info_hash"]
        if path == b"/announce":
            peer = (writer.get_extra_info("peername")[0], int(fields[b"port"]))
            others = self._announce("http", info_hash, peer, fields[b"peer_id"], stopped=fields.get(b"event") == b"stopped")
            body = b"d8:intervali60e5:peers%d:%se" % (len(others), others)
        else:
            assert path == b"/scrape", path
            body = b"d5:filesd20:%sd8:completei0e10:downloadedi7e10:incompletei%deeee" % (info_hash, len(self.swarms.get(info_hash, {})))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(body), body))
        await writer.drain()
        writer.close()
