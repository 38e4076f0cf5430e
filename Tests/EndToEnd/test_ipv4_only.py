"""Machines that have no IPv6 address, or no IPv6: the wildcard that serves both families is to work there too."""

from __future__ import annotations

import pytest
from networks import Host, Network
from pair_peer import PairPeer
from peer import Message, connect
from processes import JSONProcess


@pytest.fixture(scope="module", params=["no address", "switched off"])
def ipv4_hosts(network: Network, request: pytest.FixtureRequest) -> list[Host]:
    hosts = [network.host(f"{request.param[:2]}-ipv6-{number}") for number in range(2)]
    for host in hosts:
        host.leave_ipv6(switched_off=request.param == "switched off")
    return hosts


async def test_two_peers_meet_where_there_is_no_ipv6(ipv4_hosts: list[Host]) -> None:
    peers: list[PairPeer] = []
    try:
        for number, host in enumerate(ipv4_hosts):
            peers.append(await PairPeer.start(host, answering=number == 1))
        await connect(*peers)
        await peers[0].send("main", "hello")
        assert await peers[1].messages(1) == [Message.of("hello")]
    finally:
        for peer in peers:
            await peer.end()


async def test_a_supernode_serves_where_there_is_no_ipv6(ipv4_hosts: list[Host], processes: list[JSONProcess]) -> None:
    supernode = JSONProcess("serve")
    processes.append(supernode)
    await supernode.start("serve", "--json", "--no-dht", "--port", "0", within=ipv4_hosts[0].within)
    await supernode.log.wait("ready", timeout=60)
