"""Two peers behind every pair of NATs: a direct path wherever theory allows one, and with a relay a path everywhere."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from coturn import Coturn
from nat_lab import KINDS, SERVERS, NATHost, NATLab
from networks import Network, NetworkUnavailable
from node import Supernode
from pair_peer import PairPeer
from peer import Message
from processes import JSONProcess

# Offerer's kind by line, answerer's by column, in the order of KINDS. Both send first, so a packet is let in if what went out
# before made room for it, at the address and port that the other side has learned of. Behind a symmetric NAT the port towards
# the other is not the one that the STUN server saw: only who lets in other ports of a known address gets to know it.
DIRECT = {
    "none": "yes yes yes yes yes -",
    "full-cone": "yes yes yes yes yes -",
    "addr-restricted": "yes yes yes yes yes -",
    "port-restricted": "yes yes yes yes - -",
    "symmetric": "yes yes yes - - -",
    "udp-blocked": "- - - - - -",
}
PAIRS = {
    (ours, theirs): word == "yes" for ours, line in DIRECT.items() for theirs, word in zip(KINDS, line.split(), strict=True)
}
PATIENCE = 45  # seconds until a pair must have said how it went; ICE gives up 10 s after the last candidate

Hosts = dict[str, NATHost]


def test_the_table_is_what_follows_from_mapping_and_filtering() -> None:
    def expected(a: str, b: str) -> bool:
        one, other = KINDS[a], KINDS[b]
        return (one.passes_udp and other.passes_udp) and not any(
            x.mapping == "APDM" and y.filtering == "APDF" for x, y in ((one, other), (other, one))
        )

    assert PAIRS == {(a, b): expected(a, b) for a in KINDS for b in KINDS}
    assert sum(PAIRS.values()) == 22


@pytest.fixture(scope="module")
def sides(network: Network) -> Iterator[tuple[Hosts, Hosts]]:
    """A host behind each kind of NAT for the offerers, and one for the answerers."""
    try:
        lab = NATLab(network)
        a, b = ({kind: lab.host(f"{side}-{kind}", kind) for kind in KINDS} for side in "ab")
    except NetworkUnavailable as error:
        pytest.skip(str(error))
    yield a, b
    lab.close()


@pytest.fixture
async def stun(sides: tuple[Hosts, Hosts], processes: list[JSONProcess], tmp_path: Path) -> str:
    supernode = Supernode(SERVERS[0], tmp_path / "serve")
    processes.append(supernode)
    await supernode.serve()
    return f"{SERVERS[0]}:{supernode.port}"


@pytest.mark.parametrize("name", KINDS)
def test_a_nat_of_the_lab_is_of_its_kind(sides: tuple[Hosts, Hosts], name: str) -> None:
    """What is sent to four places on the internet shows its mapping; what each of them may send back shows its filtering."""
    kind, host = KINDS[name], sides[0][name]
    with contextlib.ExitStack() as opened:
        known, same_address, same_port, stranger = servers = [
            opened.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(4)
        ]
        for server, where in zip(servers, [(SERVERS[0], 7001), (SERVERS[0], 7002), (SERVERS[1], 7001), (SERVERS[1], 7002)]):
            server.bind(where)
            server.settimeout(5)
        client = opened.enter_context(host.open_socket(socket.SOCK_DGRAM))
        client.bind(("", 0))
        client.settimeout(5)
        client.sendto(b"hello", known.getsockname())
        if not kind.passes_udp:
            known.settimeout(0.5)
            with pytest.raises(TimeoutError):
                known.recvfrom(100)
            return
        outside = known.recvfrom(100)[1]
        assert outside[0] == host.external
        assert (outside[1] == client.getsockname()[1]) == (kind.mapping is None), "ports are changed, but not without a NAT"
        for server in (stranger, same_port, same_address, known):  # the last is always let in
            server.sendto(b"hello from %d" % servers.index(server), outside)
        heard = set()
        while 0 not in heard:
            heard.add(int(client.recv(100).split()[-1]))
        assert heard == {"EIF": {0, 1, 2, 3}, "ADF": {0, 1}, "APDF": {0}}[kind.filtering]
        for server in (same_address, same_port, stranger):
            client.sendto(b"hello", server.getsockname())
            assert (server.recvfrom(100)[1] == outside) == (kind.mapping != "APDM")


async def meet(a: PairPeer, b: PairPeer) -> bool:
    """Whether the two get a connection on which messages pass both ways; false as soon as either says that it has failed."""

    async def outcome(peer: PairPeer) -> str:
        def said() -> str | None:
            if peer.log.matching("open", label="main"):
                return "open"
            return "failed" if peer.log.matching("state", state="failed") else None

        return str(await peer.log.until(said, PATIENCE, "an outcome"))

    outcomes = await asyncio.gather(outcome(a), outcome(b))
    if outcomes != ["open", "open"]:
        return False
    await asyncio.gather(a.send("main", "there"), b.send("main", "and back"))
    assert await b.messages(1) == [Message.of("there")]
    assert await a.messages(1) == [Message.of("and back")]
    return True


async def connected_pairs(sides: tuple[Hosts, Hosts], stun: str, turn: list[str] | None = None) -> dict[tuple[str, str], bool]:
    """Tries all pairs at once: each has ports of its own, and so mappings of its own."""
    starting = asyncio.Semaphore(4)  # as many as start and exchange descriptions at a time

    async def attempt(offering: str, answering: str) -> bool:
        peers: list[PairPeer] = []
        try:
            async with starting:
                for host, answers in ((sides[0][offering], False), (sides[1][answering], True)):
                    name = f"{offering}-{answering}-{'answer' if answers else 'offer'}"
                    peers.append(await PairPeer.start(host, answering=answers, stun=stun, turn=turn, name=name))
                await peers[0].accept(await peers[1].answer(await peers[0].offer()))
            return await meet(*peers)
        finally:
            for peer in peers:
                await peer.end()

    results = await asyncio.gather(*(attempt(*pair) for pair in PAIRS))
    return dict(zip(PAIRS, results))


async def test_a_direct_path_is_found_wherever_there_is_one(sides: tuple[Hosts, Hosts], stun: str) -> None:
    """With STUN alone; the other pairs learn in time that there is none."""
    assert await connected_pairs(sides, stun) == PAIRS


async def test_with_a_relay_all_connect(sides: tuple[Hosts, Hosts], stun: str) -> None:
    """TURN over UDP, and over TCP to port 443 for those from whom no UDP gets out."""
    if not Coturn.is_installed():
        pytest.skip("no turnserver in PATH: apt install coturn")
    server = Coturn.start(SERVERS[0], also=443)
    try:
        connected = await connected_pairs(sides, stun, [server.url("udp"), server.url("tcp", 443)])
    finally:
        server.close()
    assert connected == dict.fromkeys(PAIRS, True)
