"""The contract of `swarm-space serve --json`: its ready line, its pages, its UDP port, its end."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import struct
import urllib.error
import urllib.request

import pytest
from networks import ADDRESS
from node import Supernode, fields
from stopwatch import Stopwatch
from websocket_client import JSONClient


async def http(url: str, method: str = "GET") -> tuple[int, str, str]:
    """Status, content type, body."""

    def get() -> tuple[int, str, str]:
        try:
            with urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=30) as reply:
                return reply.status, reply.headers.get("Content-Type", ""), reply.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.headers.get("Content-Type", ""), error.read().decode()

    return await asyncio.to_thread(get)


async def test_the_ready_line(supernode: Supernode) -> None:
    fields(supernode.ready, http=str, gun=str, tracker=str, udp=str)
    port = supernode.port
    assert port > 0
    assert supernode.http.rstrip("/") == f"http://{ADDRESS}:{port}"
    assert supernode.gun in (f"ws://{ADDRESS}:{port}/gun", f"http://{ADDRESS}:{port}/gun")
    assert supernode.tracker.rstrip("/").startswith(f"ws://{ADDRESS}:{port}")
    assert supernode.udp_host == ADDRESS
    assert supernode.log.events[0] is supernode.ready


async def test_its_pages(supernode: Supernode) -> None:
    base = supernode.http.rstrip("/")
    status, _, body = await http(f"{base}/healthz")
    assert status == 200 and body.strip()
    status, kind, body = await http(f"{base}/metrics")
    assert status == 200 and kind.startswith("text/plain")
    samples = [line for line in body.splitlines() if line and not line.startswith("#")]
    assert samples and all(line.startswith("swarm_") for line in samples), body[:500]
    assert all(float(line.rsplit(" ", 1)[1]) >= 0 for line in samples)
    status, kind, body = await http(f"{base}/")
    assert status == 200 and kind.startswith("text/html") and "<html" in body.lower()
    assert (await http(f"{base}/no/such/page"))[0] == 404
    assert (await http(f"{base}/healthz", "DELETE"))[0] in (404, 405)


async def test_its_udp_port_answers_stun(supernode: Supernode) -> None:
    transaction = bytes(range(12))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.settimeout(30)
        udp.bind((ADDRESS, 0))
        udp.connect((ADDRESS, supernode.port))
        udp.send(struct.pack("!HHI", 0x0001, 0, 0x2112A442) + transaction)
        reply = await asyncio.to_thread(udp.recv, 2048)
        own_port = udp.getsockname()[1]
    kind, length, cookie = struct.unpack("!HHI", reply[:8])
    assert (kind, cookie, reply[8:20], length) == (0x0101, 0x2112A442, transaction, len(reply) - 20)
    attributes, at = {}, 20
    while at < len(reply):
        name, size = struct.unpack("!HH", reply[at : at + 4])
        attributes[name] = reply[at + 4 : at + 4 + size]
        at += 4 + (size + 3) // 4 * 4
    _, family, port, address = struct.unpack("!BBHI", attributes[0x0020])
    assert family == 1 and port ^ 0x2112 == own_port
    assert socket.inet_ntoa(struct.pack("!I", address ^ 0x2112A442)) == ADDRESS


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
async def test_it_shuts_down_within_two_seconds_with_clients_connected(supernode: Supernode, how: signal.Signals) -> None:
    clients = [await JSONClient.open(url) for url in (supernode.gun, supernode.tracker) for _ in range(5)]
    half_open = [await asyncio.open_connection(ADDRESS, supernode.port) for _ in range(3)]
    half_open[0][1].write(b"GET /healthz HTTP/1.1\r\n")
    stopwatch = Stopwatch()
    supernode.signal(how)
    assert await supernode.exit_status(15) == 0
    assert stopwatch.within(2)
    for client in clients:
        assert await client.closed() in (1000, 1001, 1006)
    for _, writer in half_open:
        writer.close()


async def test_it_comes_back_on_its_port_with_its_data(supernode: Supernode, processes) -> None:
    await supernode.kill()
    again = await supernode.again()
    processes.append(again)
    assert again.ready == supernode.ready


async def test_a_port_in_use_is_said_in_one_line(supernode: Supernode, processes, tmp_path) -> None:
    second = Supernode(ADDRESS, tmp_path / "second", name="second")
    second.port = supernode.port
    processes.append(second)
    with pytest.raises(AssertionError):
        await second.serve()
    assert await second.exit_status(15) == 69
    assert len(second.stderr().strip().splitlines()) == 1 and str(supernode.port) in second.stderr()


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET " + b"/x" * 100_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"X-Y: z\r\n" * 20_000 + b"\r\n",
        b"GET /gun HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 7\r\n\r\n",
        b"GET /gun HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n",
    ],
    ids=lambda data: repr(data[:20]),
)
async def test_broken_http_does_not_stop_it(supernode: Supernode, request_bytes: bytes) -> None:
    reader, writer = await asyncio.open_connection(ADDRESS, supernode.port)
    try:
        with contextlib.suppress(OSError):  # it may hang up before we have said all
            writer.write(request_bytes)
            await writer.drain()
            writer.write_eof()
        with contextlib.suppress(ConnectionError):
            await asyncio.wait_for(reader.read(65536), 30)
    finally:
        writer.close()
    assert (await http(f"{supernode.http.rstrip('/')}/healthz"))[0] == 200


async def test_random_datagrams_do_not_stop_it(supernode: Supernode) -> None:
    import random

    source = random.Random(7)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        for _ in range(2000):
            size = source.choice([0, 1, 19, 20, 21, 60, 300, 1200, 9000])
            first = source.choice([0, 1, 20, 22, 63, 64, 100, 128, 255])
            udp.sendto((bytes([first]) + source.randbytes(size))[: max(size, 1)], (ADDRESS, supernode.port))
    assert (await http(f"{supernode.http.rstrip('/')}/healthz"))[0] == 200
