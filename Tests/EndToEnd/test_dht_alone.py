"""Members that have nothing in common but the DHT: no tracker, no relay, no STUN server, not one network."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from nat_lab import NATLab
from networks import Network, NetworkUnavailable, ip
from node import Member
from processes import JSONProcess

NODES = 8
# Each in a network of its own: of one network a node believes one.
ADDRESSES = [f"198.19.{number}.1" for number in range(1, NODES + 1)]
PORT = 7750


class DHTNode(JSONProcess):
    """`swarm-space serve` as a node of the DHT."""

    async def serve(self, address: str) -> None:
        await self.start("serve", "--json", "--host", address, "--port", str(PORT), "--dht-bootstrap", f"{ADDRESSES[0]}:{PORT}")
        await self.log.wait("ready", timeout=20)


@pytest.fixture
async def dht(network: Network, processes: list[JSONProcess]) -> AsyncIterator[str]:
    """Eight nodes on the internet; the address of one of them."""
    for address in ADDRESSES:
        ip("address", "replace", f"{address}/32", "dev", "lo")
    for number, address in enumerate(ADDRESSES):
        node = DHTNode(f"dht{number}")
        processes.append(node)
        await node.serve(address)
    yield f"{ADDRESSES[3]}:{PORT}"


@pytest.fixture
def lab(network: Network) -> Iterator[NATLab]:
    try:
        lab = NATLab(network)
    except NetworkUnavailable as error:
        pytest.skip(str(error))
    yield lab
    lab.close()


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
