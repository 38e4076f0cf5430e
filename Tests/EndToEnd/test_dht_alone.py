"""Members that have nothing in common but the DHT: no tracker, no relay, no STUN server, not one network."""

from __future__ import annotations

import asyncio
import re
import signal
import urllib.request
from pathlib import Path

import pytest
from nat_lab import NATLab
from networks import ADDRESS
from node import Member, Supernode
from processes import JSONProcess

@pytest.mark.parametrize("kind", ["port-restricted", "none"])
async def test_two_members_meet_through_the_dht_alone(
    kind: str, dht: str, lab: NATLab, processes: list[JSONProcess], tmp_path: Path
) -> None:
    hosts = [lab.host(f"{name}-{kind}", kind) for name in ("alice", "bob")]
    alice, bob = Member("alice"), Member("bob")
    processes += [alice, bob]
    await asyncio.gather(
        *(member.join("meadow", host=host, dht=dht, data=tmp_path / member.name) for member, host in zip((alice, bob), hosts))  # type: ignore[arg-type]
    )
    await alice.log.wait("discovered", peer=bob.id, plane="dht", timeout=90)
    for one, other in ((alice, bob), (bob, alice)):
        await one.path(other, "direct", timeout=90)
    for number in range(20):
        await alice.send(bob, f"from alice {number}")
        await bob.send(alice, f"from bob {number}")
    await bob.message(alice, "from alice 19")
    await alice.message(bob, "from bob 19")
    assert bob.texts_from(alice.id) == [f"from alice {number}" for number in range(20)]
    assert bob.paths_from(alice.id) == {"direct"}


async def known_nodes(supernode: Supernode) -> int:
    """How many nodes of the DHT answer it."""
    text = await asyncio.to_thread(lambda: urllib.request.urlopen(supernode.http + "metrics", timeout=30).read().decode())
    return int(re.search(r"^\w*dht_nodes (\d+)$", text, re.MULTILINE).group(1))  # type: ignore[union-attr]


async def test_a_supernode_keeps_its_table(dht: str, processes: list[JSONProcess], tmp_path: Path) -> None:
    """Started anew, without anybody to begin with, it asks those that it knew."""

    async def serve(*options: str) -> Supernode:
        supernode = Supernode(ADDRESS, tmp_path / "serve", *options, dht=True)
        processes.append(supernode)
        await supernode.serve()
        return supernode

    async def meets(supernode: Supernode, count: int) -> None:
        async with asyncio.timeout(60):
            while await known_nodes(supernode) < count:
                await asyncio.sleep(0.1)

    first = await serve("--dht-bootstrap", dht)
    await meets(first, 5)
    first.signal(signal.SIGTERM)
    assert await first.exit_status(15) == 0
    await meets(await serve(), 5)
