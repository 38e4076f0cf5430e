"""Connections through a real TURN server, where nothing else gets through."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from coturn import Coturn
from networks import Host
from pair_peer import PairPeer
from peer import Message, Peer, connect, lines
from processes import JSONProcess

pytestmark = pytest.mark.timeout(90)


@pytest.fixture
def apart(node_host: Host, answering_host: Host) -> Iterator[None]:
    """The two hosts do not reach each other; both reach the server."""
    node_host.isolate()
    answering_host.isolate()
    yield
    node_host.heal()
    answering_host.heal()


@pytest.fixture
def only_the_server(node_host: Host, answering_host: Host, coturn: Coturn) -> Iterator[None]:
    """Over UDP our hosts reach the TURN server's port and nothing else in the tests' namespace, where aiortc is."""
    for host in (node_host, answering_host):
        host.allow_only(coturn.port)
    yield
    for host in (node_host, answering_host):
        host.heal()


async def talk(offerer: Peer, answerer: Peer) -> None:
    payloads = ["hello", b"\x00" * 262_144, "", *[f"number {number}" for number in range(200)]]
    for sender, receiver in ((offerer, answerer), (answerer, offerer)):
        since = receiver.log.mark()
        await sender.send("main", *payloads)
        received = await receiver.messages(len(payloads), timeout=40, since=since)
        assert received == [Message.of(payload) for payload in payloads]


def kinds(description: dict[str, str]) -> set[str]:
    return {line.split(" typ ")[1].split(" ")[0] for line in lines(description, "candidate")}


@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
@pytest.mark.parametrize("who", ["both", "offerer", "answerer"])
async def test_ours_to_ours_by_the_relay_alone(make_peer, coturn: Coturn, apart: None, transport: str, who: str) -> None:
    turn = [coturn.url(transport)]
    roots = coturn.certificate if transport == "tls" else None
    offerer = await make_peer("ours", answering=False, turn=turn if who != "answerer" else None, roots=roots)
    answerer = await make_peer("ours", answering=True, turn=turn if who != "offerer" else None, roots=roots)
    offer, answer = await connect(offerer, answerer)
    assert ("relay" in kinds(offer), "relay" in kinds(answer)) == (who != "answerer", who != "offerer")
    await talk(offerer, answerer)
    await offerer.disconnect()
    await answerer.log.wait("closed", label="main", timeout=60)


async def test_without_the_relay_nothing_gets_through(make_peer, apart: None) -> None:
    offerer, answerer = await make_peer("ours", answering=False), await make_peer("ours", answering=True)
    await offerer.accept(await answerer.answer(await offerer.offer()))
    with pytest.raises(AssertionError):
        await offerer.opened(timeout=3)


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize("role", ["offering", "answering"])
async def test_aiortc_by_the_relay_alone(make_peer, coturn: Coturn, only_the_server: None, transport: str, role: str) -> None:
    ours: PairPeer = await make_peer("ours", answering=role == "answering", turn=[coturn.url(transport)])
    other = await make_peer("aiortc", answering=role == "offering")
    sides = (ours, other) if role == "offering" else (other, ours)
    offer, answer = await connect(*sides)
    assert "relay" in kinds(offer if role == "offering" else answer)
    await talk(*sides)


async def test_an_ice_restart_over_the_relay(make_peer, coturn: Coturn, apart: None) -> None:
    turn = [coturn.url("udp"), coturn.url("tcp")]
    offerer = await make_peer("ours", answering=False, turn=turn)
    answerer = await make_peer("ours", answering=True, turn=turn)
    await connect(offerer, answerer)
    await offerer.accept(await answerer.answer(await offerer.restart()))
    await talk(offerer, answerer)


async def test_a_direct_path_is_preferred_and_the_relay_takes_over(make_peer, coturn: Coturn, node_host: Host) -> None:
    turn = [coturn.url("udp")]
    offerer = await make_peer("ours", answering=False, turn=turn)
    answerer = await make_peer("ours", answering=True, turn=turn)
    await connect(offerer, answerer)
    await talk(offerer, answerer)
    node_host.isolate()
    try:
        await talk(offerer, answerer)
    finally:
        node_host.heal()
    assert "failed" not in [event["state"] for side in (offerer, answerer) for event in side.log.matching("state")]


async def test_a_silent_server_holds_nothing_up(make_peer, coturn: Coturn) -> None:
    ours = await make_peer("ours", answering=False, turn=[coturn.url("udp").replace(str(coturn.port), "9"), coturn.url("udp")])
    other = await make_peer("ours", answering=True)
    offer = await asyncio.wait_for(ours.offer(), 10)
    assert "relay" in kinds(offer)
    await ours.accept(await other.answer(offer))
    await asyncio.gather(ours.opened(), other.opened())


async def test_a_server_with_a_strange_certificate_is_not_used(make_peer, coturn: Coturn) -> None:
    ours = await make_peer("ours", answering=False, turn=[coturn.url("tls")])
    offer = await ours.offer()
    assert "relay" not in kinds(offer) and "host" in kinds(offer)
    assert "hung up" in (await ours.log.wait("error"))["message"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--turn", "turn:192.0.2.1"],
        ["--turn", "turn:192.0.2.1", "--turn-user", "u"],
        ["--turn", "turn:192.0.2.1", "--turn-user", "", "--turn-password", "p"],
        *[
            ["--turn", url, "--turn-user", "u", "--turn-password", "p"]
            for url in ("stun:192.0.2.1", "192.0.2.1:3478", "turn:", "turn:a?transport=dccp", "turns:a?transport=udp", "turn:::1", "turn:a:0")
        ],
    ],
    ids=" ".join,
)
async def test_bad_servers_are_bad_usage(node_host: Host, arguments: list[str]) -> None:
    process = JSONProcess("pair-usage")
    await process.start("pair", "--json", *arguments, within=node_host.within)
    try:
        assert await process.exit_status(10) == 64
        assert "--turn" in process.stderr()
    finally:
        await process.end()
