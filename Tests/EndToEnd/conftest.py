"""Supernodes and members as real processes, each member on a host of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from nat_lab import NATLab
from networks import ADDRESS, Host, Network, NetworkUnavailable, ip
from node import MakeMember, MakeSupernode, Member, Supernode
from processes import JSONProcess


# Eight nodes of the DHT, each in a network of its own: of one network a node believes one.
DHT_ADDRESSES = [f"198.19.{number}.1" for number in range(1, 9)]
DHT_PORT = 7750


@pytest.fixture(scope="session")
def hosts(network: Network) -> list[Host]:
    return [network.host(f"member{number}") for number in range(4)]


@pytest.fixture
def processes() -> list[JSONProcess]:
    return []


@pytest.fixture(autouse=True)
async def all_end(request: pytest.FixtureRequest, processes: list[JSONProcess]) -> AsyncIterator[None]:
    """After the test every process ends, none of them has crashed, and stdout held nothing but JSON."""
    yield
    crashed = [p for p in processes if hasattr(p, "process") and p.process.returncode in (-4, -5, -6, -7, -8, -11)]
    for process in processes:
        await process.end()
    if "hosts" in request.fixturenames:
        for host in request.getfixturevalue("hosts"):
            host.heal()
    assert not crashed, [f"{p.name}: status {p.process.returncode}: {p.stderr()[-3000:]}" for p in crashed]
    assert not [line for process in processes for line in getattr(process, "not_json", [])]


@pytest.fixture
def make_supernode(network: Network, processes: list[JSONProcess], tmp_path: Path) -> MakeSupernode:
    async def make(*options: str, name: str = "serve") -> Supernode:
        supernode = Supernode(ADDRESS, tmp_path / name, *options, name=name)
        processes.append(supernode)
        await supernode.serve()
        return supernode

    return make


@pytest.fixture
async def supernode(make_supernode: MakeSupernode) -> Supernode:
    return await make_supernode()


@pytest.fixture
def make_member(hosts: list[Host], processes: list[JSONProcess], tmp_path: Path) -> MakeMember:
    """Makes members: the first on the first host, and so on."""
    names = ["alice", "bob", "carol", "dave"]
    made = 0

    async def make(swarm: str = "meadow", *options: str, supernode: Supernode | None = None, **more: object) -> Member:
        nonlocal made
        member = Member(names[made])
        more.setdefault("host", hosts[made])
        more.setdefault("data", tmp_path / names[made])
        made += 1
        if supernode:
            more = {"tracker": supernode.tracker, "relay": supernode.gun, **more}
        processes.append(member)
        await member.join(swarm, *options, **more)  # type: ignore[arg-type]
        return member

    return make


class DHTNode(JSONProcess):
    """`swarm-space serve` as a node of the DHT."""

    async def serve(self, address: str) -> None:
        await self.start("serve", "--json", "--host", address, "--port", str(DHT_PORT), "--dht-bootstrap", f"{DHT_ADDRESSES[0]}:{DHT_PORT}")
        await self.log.wait("ready", timeout=60)


@pytest.fixture
async def dht(network: Network, processes: list[JSONProcess]) -> AsyncIterator[str]:
    """Eight nodes on the internet; the address of one of them."""
    for address in DHT_ADDRESSES:
        ip("address", "replace", f"{address}/32", "dev", "lo")
    for number, address in enumerate(DHT_ADDRESSES):
        node = DHTNode(f"dht{number}")
        processes.append(node)
        await node.serve(address)
    yield f"{DHT_ADDRESSES[3]}:{DHT_PORT}"


@pytest.fixture
def lab(network: Network) -> Iterator[NATLab]:
    try:
        lab = NATLab(network)
    except NetworkUnavailable as error:
        pytest.skip(str(error))
    yield lab
    lab.close()
