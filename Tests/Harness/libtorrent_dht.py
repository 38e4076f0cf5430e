"""A private DHT of libtorrent sessions on loopback, each at an address of its own."""

from __future__ import annotations

import asyncio
import hashlib
import time
from typing import Any

import libtorrent as lt

PORT = 6900

# What makes libtorrent wary on the internet would keep nodes of one machine apart.
SETTINGS = {
    "enable_dht": True,
    "enable_lsd": False,
    "enable_upnp": False,
    "enable_natpmp": False,
    "allow_multiple_connections_per_ip": True,
    "dht_restrict_routing_ips": False,
    "dht_restrict_search_ips": False,
    "dht_ignore_dark_internet": False,
    "dht_prefer_verified_node_ids": False,
    "dht_enforce_node_id": False,
    "dht_block_ratelimit": 1_000_000,
    "alert_mask": 0x7FFFFFFF,
}


class LibtorrentNode:
    def __init__(self, number: int) -> None:
        self.address = f"127.0.1.{number}"
        self.session = lt.session({**SETTINGS, "listen_interfaces": f"{self.address}:{PORT}", "dht_bootstrap_nodes": ""})

    @property
    def endpoint(self) -> str:
        return f"{self.address}:{PORT}"

    def meet(self, *others: LibtorrentNode) -> None:
        for other in others:
            self.meet_at(other.address, PORT)

    def meet_at(self, address: str, port: int) -> None:
        self.session.add_dht_node((address, port))

    def announce(self, infohash: bytes, port: int) -> None:
        self.session.dht_announce(lt.sha1_hash(infohash), port, 0)

    async def alert(self, kind: type, timeout: float = 20, where: Any = lambda alert: True) -> Any:
        """The next alert of a kind."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            for alert in self.session.pop_alerts():
                if isinstance(alert, kind) and where(alert):
                    return alert
            await asyncio.sleep(0.05)
        raise TimeoutError(f"no {kind.__name__}")

    async def knows(self, count: int, timeout: float = 60) -> None:
        """Until so many nodes are in its routing table."""
        async with asyncio.timeout(timeout):
            while True:
                self.session.post_session_stats()
                if (await self.alert(lt.session_stats_alert)).values["dht.dht_nodes"] >= count:
                    return
                await asyncio.sleep(0.05)

    async def has_put(self, count: int, timeout: float = 60) -> None:
        """Until so many items of its have been put."""
        async with asyncio.timeout(timeout):
            while count > 0:
                await asyncio.sleep(0.05)
                count -= sum(isinstance(alert, lt.dht_put_alert) for alert in self.session.pop_alerts())

    async def peers(self, infohash: bytes, wanted: int = 1, timeout: float = 60) -> set[tuple[str, int]]:
        """Peers of an infohash, looked for until there are as many."""
        found: set[tuple[str, int]] = set()
        end = time.monotonic() + timeout
        while len(found) < wanted and time.monotonic() < end:
            self.session.dht_get_peers(lt.sha1_hash(infohash))
            try:
                alert = await self.alert(lt.dht_get_peers_reply_alert, timeout=3)
            except TimeoutError:
                continue
            found |= {tuple(peer) for peer in alert.peers()}
        return found

    async def mutable(self, key: bytes, salt: bytes, newer_than: int = 0, timeout: float = 60) -> tuple[int, Any]:
        """Sequence number and value of a mutable item, asked for until there is one that is newer."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            self.session.dht_get_mutable_item(key, salt)
            try:
                alert = await self.alert(lt.dht_mutable_item_alert, timeout=5)
            except TimeoutError:
                continue
            if alert.seq > newer_than:
                return alert.seq, alert.item
        raise TimeoutError("no such item")

    async def immutable(self, target: Any, timeout: float = 30) -> Any:
        """An item that never changes, asked for until it has been put."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            self.session.dht_get_immutable_item(target)
            try:
                alert = await self.alert(lt.dht_immutable_item_alert, timeout=5)
            except TimeoutError:
                continue
            if alert.item:
                return alert.item
        raise TimeoutError("no such item")

    def close(self) -> None:
        del self.session


def expanded(seed: bytes) -> bytes:
    """The 64-byte private key that libtorrent wants (RFC 8032 §5.1.5)."""
    key = bytearray(hashlib.sha512(seed).digest())
    key[0] &= 248
    key[31] = key[31] & 63 | 64
    return bytes(key)
