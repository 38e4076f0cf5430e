"""What two WebRTC peers must be able to do with each other, for every pairing, with either side offering."""

from __future__ import annotations

import asyncio
import random

import pytest
from peer import Message, Payload, Peer, connect, lines, negotiate, with_wrong_fingerprint

SIZES = [1, 2, 1000, 1171, 1172, 16384, 65535, 65536, 65537, 262143, 262144]


def binary(size: int) -> bytes:
    return random.Random(size).randbytes(size)


def text(size: int) -> str:
    """A text of that many bytes in UTF-8, with characters of one to four bytes."""
    pieces: list[str] = []
    left, source = size, random.Random(-size)
    while left:
        character = source.choice([c for c in "ab z\n\0é√🦊" if len(c.encode()) <= left])
        pieces.append(character)
        left -= len(character.encode())
    return "".join(pieces)


async def test_messages_of_every_size_come_through_intact_and_back(kinds: tuple[str, str], make_peer) -> None:
    offerer, answerer = await make_peer(kinds[0], answering=False), await make_peer(kinds[1], answering=True, echo=True)
    await connect(offerer, answerer)
    payloads: list[Payload] = ["", b""] + [kind(size) for size in SIZES for kind in (text, binary)]
    expected = [Message.of(payload) for payload in payloads]
    for payload in payloads:
        await offerer.send("main", payload)
    assert await answerer.messages(len(payloads), timeout=60) == expected
    assert await offerer.messages(len(payloads), timeout=60) == expected


async def test_many_small_messages_keep_their_order_in_both_directions(kinds: tuple[str, str], sides: tuple[Peer, Peer]) -> None:
    await connect(*sides)
    # aiortc, in Python, takes its time: there the offerer sends as many as elsewhere, and the other side a few meanwhile.
    counts = (10_000, 500 if "aiortc" in kinds else 10_000)
    sent = [[f"{name} {number}" for number in range(count)] for name, count in zip("ab", counts)]
    await asyncio.gather(*(side.send("main", *payloads) for side, payloads in zip(sides, sent)))
    for side, payloads in zip(sides, reversed(sent)):
        assert await side.messages(len(payloads), timeout=90) == [Message.of(payload) for payload in payloads]


async def test_ten_channels_at_once_keep_their_messages_apart(kinds: tuple[str, str], sides: tuple[Peer, Peer]) -> None:
    await connect(*sides)
    word = "channel" if "aiortc" in kinds else "chaîne"  # aiortc and we differ on labels beyond ASCII
    labels = [f"{word} {number}" for number in range(10)]
    for number, label in enumerate(labels):
        await sides[number % 2].open(label)
    opened = await asyncio.gather(*(side.opened(label) for side in sides for label in labels))
    assert len({event["id"] for event in opened}) == len(labels)
    # Long and short ones in turn, so that fragments of one channel lie between those of others.
    sent = {label: [f"{label} {turn}" * (3000 if (number + turn) % 3 == 0 else 1) for turn in range(5)] for number, label in enumerate(labels)}
    for turn in range(5):
        await asyncio.gather(*(side.send(label, sent[label][turn]) for side in sides for label in labels))
    for side in sides:
        for label in labels:
            assert await side.messages(5, label, timeout=60) == [Message.of(payload) for payload in sent[label]]


async def test_a_closed_channel_is_closed_on_both_sides_and_others_go_on(sides: tuple[Peer, Peer]) -> None:
    offerer, answerer = sides
    await connect(offerer, answerer)
    for opener, other, label in ((offerer, answerer, "first"), (answerer, offerer, "second")):
        await opener.open(label)
        await asyncio.gather(opener.opened(label), other.opened(label))
        await opener.send(label, "before the end")
        await opener.close(label)
        assert await other.messages(1, label) == [Message.of("before the end")]
        await asyncio.gather(opener.log.wait("closed", label=label), other.log.wait("closed", label=label))
    # Closed from the side that did not open it; then its number may be used again.
    await answerer.close("main")
    await asyncio.gather(*(side.log.wait("closed", label="main") for side in sides))
    await offerer.open("again")
    await asyncio.gather(*(side.opened("again") for side in sides))
    await answerer.send("again", "still there")
    assert await offerer.messages(1, "again") == [Message.of("still there")]


@pytest.mark.parametrize("leaver", ["offerer", "answerer"])
async def test_the_other_side_notices_when_one_disconnects(sides: tuple[Peer, Peer], leaver: str) -> None:
    await connect(*sides)
    leaving, staying = sides if leaver == "offerer" else reversed(sides)
    await leaving.disconnect()
    await staying.log.wait("closed", label="main", timeout=60)


@pytest.mark.parametrize("liar", ["offerer", "answerer"])
async def test_a_wrong_fingerprint_is_refused(sides: tuple[Peer, Peer], liar: str) -> None:
    offerer, answerer = sides
    offer = await offerer.offer()
    answer = await answerer.answer(with_wrong_fingerprint(offer) if liar == "offerer" else offer)
    await offerer.accept(with_wrong_fingerprint(answer) if liar == "answerer" else answer)
    deceived = answerer if liar == "offerer" else offerer
    await deceived.log.wait("state", timeout=60, where=lambda event: event["state"] in ("failed", "closed"))
    assert not deceived.log.matching("open")
    assert not any(event["state"] == "connected" for event in deceived.log.matching("state"))


async def test_unordered_and_partially_reliable_channels_are_opened_as_asked(sides: tuple[Peer, Peer]) -> None:
    await connect(*sides)
    asked = {
        "unordered": {"ordered": False, "protocol": "swarm-test"},
        "retransmits": {"ordered": False, "maxRetransmits": 0},
        "lifetime": {"ordered": True, "maxPacketLifeTime": 500, "protocol": "p"},
    }
    identifiers = set()
    for opener, other in (sides, reversed(sides)):
        for name, options in asked.items():
            label = f"{name} by {'offerer' if opener is sides[0] else 'answerer'}"
            await opener.open(label, **options)
            wanted = {"protocol": "", "ordered": True, "maxRetransmits": None, "maxPacketLifeTime": None, **options}
            seen = [await side.opened(label) for side in (opener, other)]
            for event in seen:
                assert {key: event[key] for key in wanted} == wanted
            assert seen[0]["id"] == seen[1]["id"]
            identifiers.add(seen[0]["id"])
            # On a good link they deliver all, each on its own channel.
            await opener.send(label, "there", binary(3000))
            await other.send(label, "back")
            assert sorted(await other.messages(2, label), key=lambda m: m.size) == [Message.of("there"), Message.of(binary(3000))]
            assert await opener.messages(1, label) == [Message.of("back")]
    assert len(identifiers | {(await sides[0].opened())["id"]}) == 7


@pytest.mark.without("libdatachannel")  # it restarts nothing
@pytest.mark.parametrize("restarter", ["offerer", "answerer"])
async def test_a_stream_goes_on_through_an_ice_restart(
    kinds: tuple[str, str], sides: tuple[Peer, Peer], restarter: str
) -> None:
    offer, answer = await connect(*sides)
    starts = 0 if restarter == "offerer" else 1
    starter, other = sides[starts], sides[1 - starts]
    sent = [[f"{name} {number}" for number in range(200)] for name in "ab"]

    async def stream(side: Peer, payloads: list[str]) -> None:
        for payload in payloads:
            await side.send("main", payload)
            await asyncio.sleep(0.01)

    async def restart() -> None:
        await asyncio.sleep(0.5)
        again = await starter.restart()
        reply = await negotiate(starter, other, again)
        before = [offer, answer] if starts == 0 else [answer, offer]
        # aiortc cannot restart, only offer again; all others must have new credentials.
        for kind, old, new in ((kinds[starts], before[0], again), (kinds[1 - starts], before[1], reply)):
            if "aiortc" not in (kind, kinds[starts]):
                assert lines(new, "ice-ufrag") and lines(new, "ice-ufrag") != lines(old, "ice-ufrag"), kind

    await asyncio.gather(*(stream(side, payloads) for side, payloads in zip(sides, sent)), restart())
    for side, payloads in zip(sides, reversed(sent)):
        assert await side.messages(len(payloads)) == [Message.of(payload) for payload in payloads]
    await starter.send("main", "after")
    assert (await other.messages(len(sent[0]) + 1))[-1] == Message.of("after")


@pytest.mark.without("libdatachannel")  # to it a silent path is the end
async def test_a_silent_path_is_noticed_and_used_again_when_it_is_back(
    kinds: tuple[str, str], sides: tuple[Peer, Peer]
) -> None:
    await connect(*sides)
    host = next(side.host for side in sides if side.host)
    host.cut()
    try:
        for side in sides:
            await side.send("main", "into the dark")
        for kind, side in zip(kinds, sides):
            if kind != "aiortc":  # it has no such state
                await side.log.wait("state", state="disconnected", timeout=60)
    finally:
        host.heal()
    for kind, side in zip(kinds, sides):
        assert await side.messages(1, timeout=60) == [Message.of("into the dark")]
        if kind != "aiortc":
            await side.log.wait("state", state="connected", since=after_last(side, "disconnected"))


def after_last(side: Peer, state: str) -> int:
    return max(place for place, event in enumerate(side.log.events) if event.get("state") == state)
