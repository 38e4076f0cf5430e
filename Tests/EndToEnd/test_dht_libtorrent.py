"""Our members in a DHT of libtorrent nodes: each finds what the other has announced or put."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from libtorrent_dht import LibtorrentNode, expanded
from networks import Network
from node import Member
from processes import JSONProcess

NODES = 8
SLOTS = 4


def label(word: str) -> bytes:
    return b"swarm-space/1 " + word.encode()


def expand(root: bytes, word: str, count: int) -> bytes:
    """HKDF-Expand of one block (RFC 5869 §2.3)."""
    return hmac.new(root, label(word) + b"\x01", hashlib.sha256).digest()[:count]


class Topic:
    """What docs/protocol.md derives for a public swarm of a plain name, today."""

    def __init__(self, name: str) -> None:
        infohash = hashlib.sha1(label("name ") + name.encode()).digest()
        root = hmac.new(label("topic"), infohash, hashlib.sha256).digest()
        day = int(time.time() // 86_400)
        self.rendezvous = expand(root, f"dht {day}", 20)
        self.seed = expand(root, f"dht presence {day}", 32)
        self.key = Ed25519PrivateKey.from_private_bytes(self.seed).public_key().public_bytes_raw()


@pytest.fixture
async def libtorrent(network: Network) -> AsyncIterator[list[LibtorrentNode]]:
    nodes = [LibtorrentNode(number) for number in range(1, NODES + 1)]
    for node in nodes:
        node.meet(*(other for other in nodes if other is not node))
    for node in nodes:
        await node.knows(NODES // 2)
    yield nodes
    for node in nodes:
        node.close()


async def test_each_finds_what_the_other_left(
    libtorrent: list[LibtorrentNode], processes: list[JSONProcess], tmp_path: Path
) -> None:
    name = f"interop {time.time_ns()}"
    topic = Topic(name)
    # libtorrent announces a socket of ours, which then is said hello to; and leaves what is no presence record in each slot.
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as announced:
        announced.bind((libtorrent[0].address, 0))  # the DHT keeps the announcer's own address
        announced.setblocking(False)
        libtorrent[0].announce(topic.rendezvous, announced.getsockname()[1])
        for slot in range(SLOTS):
            libtorrent[1].session.dht_put_mutable_item(expanded(topic.seed), topic.key, b"not a record", bytes([slot]))
        await libtorrent[1].has_put(SLOTS)

        alice, bob = Member("alice"), Member("bob")
        processes += [alice, bob]
        for member in (alice, bob):
            await member.join(name, dht=libtorrent[2].endpoint, data=tmp_path / member.name)
        loop = asyncio.get_running_loop()
        hello = await asyncio.wait_for(loop.sock_recv(announced, 2048), timeout=60)
        assert hello[:1] == b"S"

        # Ours meet where only libtorrent's nodes keep anything.
        await alice.log.wait("discovered", peer=bob.id, plane="dht", timeout=60)
        await alice.path(bob, "direct", timeout=60)

        # libtorrent finds ours, and the record that took the place of its own.
        ports = {port for _, port in await libtorrent[5].peers(topic.rendezvous, wanted=3)}
        assert len(ports) >= 3, "alice, bob, and what was announced"
        slots = {int.from_bytes(_raw(member.id)[-1:], "big") % SLOTS for member in (alice, bob)}
        for slot in slots:
            sequence, value = await libtorrent[6].mutable(topic.key, bytes([slot]), newer_than=1)
            assert sequence > 1 and len(value) > 200


async def test_libtorrent_keeps_its_things_with_us(
    libtorrent: list[LibtorrentNode], network: Network, processes: list[JSONProcess], tmp_path: Path
) -> None:
    """`serve` is a node like theirs: it is found, keeps peers and items, and gives them out."""
    serve = JSONProcess("serve-dht")
    processes.append(serve)
    await serve.start("serve", "--json", "--host", "127.0.2.1", "--port", "7750", "--dht-bootstrap", libtorrent[0].endpoint)
    await serve.log.wait("ready", timeout=60)
    # Two that know nobody but it.
    first, second = LibtorrentNode(101), LibtorrentNode(102)
    try:
        for node in (first, second):
            node.meet_at("127.0.2.1", 7750)
        infohash = hashlib.sha1(str(time.time_ns()).encode()).digest()
        for node in (first, second):
            await node.knows(1)
        first.announce(infohash, 4711)
        assert (await second.peers(infohash)) == {("127.0.1.101", 4711)}
        seed = hashlib.sha256(infohash).digest()
        key = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
        first.session.dht_put_mutable_item(expanded(seed), key, b"mutable", b"salt")
        assert await second.mutable(key, b"salt") == (1, b"mutable")
        target = first.session.dht_put_immutable_item(b"immutable")
        assert await second.immutable(target) == b"immutable"
    finally:
        first.close()
        second.close()


def _raw(peer_id: str) -> bytes:
    return b"".join(base64.urlsafe_b64decode(part + "=") for part in peer_id.split("."))

