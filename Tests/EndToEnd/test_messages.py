"""What a program can say beside one message after another: priorities, deadlines, byte streams, requests, and to whom it speaks."""

from __future__ import annotations

import asyncio
import hashlib
import signal
from pathlib import Path

import pytest
from node import MakeMember, Member, Supernode, fields
from stopwatch import Stopwatch
from streams import all_meet, all_on

MEGABYTE = 1 << 20


def resident(member: Member) -> int:
    """The most memory that a process has had, in bytes."""
    for line in Path(f"/proc/{member.process.pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmHWM")


def write_noise(path: Path, size: int) -> str:
    """A file that no two places of are alike, and its hash."""
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for number in range(size // MEGABYTE):
            block = hashlib.shake_128(str(number).encode()).digest(MEGABYTE)
            digest.update(block)
            file.write(block)
    return digest.hexdigest()


async def test_a_large_stream_arrives_exactly_across_a_cut(
    supernode: Supernode, make_member: MakeMember, tmp_path: Path
) -> None:
    """100 MB; the direct path goes in the middle of it, and comes back. Neither end holds more than a few windows of it."""
    alice, bob = [await make_member(supernode=supernode) for _ in range(2)]
    await all_on([alice, bob], "direct")
    before = [resident(member) for member in (alice, bob)]
    source, target = tmp_path / "source", tmp_path / "target"
    digest = write_noise(source, 100 * MEGABYTE)
    await bob.command(cmd="accept", name="file", file=str(target))
    await bob.taken()
    await alice.command(cmd="stream", to=bob.id, name="file", file=str(source))
    opened = await bob.log.wait("stream", state="opened")
    fields(opened, peer=str, name=str, state=str, bytes=int)
    await bob.log.wait("stream", state="progress", timeout=60)
    since = alice.log.mark()
    await alice.block(bob)
    await bob.block(alice)
    await alice.path(bob, "relay", since=since)
    since = bob.log.mark()
    await asyncio.sleep(3)
    await alice.unblock(bob)
    await bob.unblock(alice)
    sent = await alice.log.wait("stream", state="sent", timeout=180)
    received = await bob.log.wait("stream", state="received", timeout=60)
    assert sent["bytes"] == received["bytes"] == 100 * MEGABYTE
    assert hashlib.sha256(target.read_bytes()).hexdigest() == digest
    assert bob.log.matching("stream", since=since, state="progress"), "it did not go on"
    for member, start in zip((alice, bob), before, strict=True):
        assert resident(member) - start < 48 * MEGABYTE, f"{member.name} grew by {(resident(member) - start) >> 20} MiB"


async def test_streams_of_a_name_that_nobody_takes_are_refused(
    supernode: Supernode, make_member: MakeMember, tmp_path: Path
) -> None:
    alice, bob = [await make_member(supernode=supernode) for _ in range(2)]
    await all_meet([alice, bob])
    source = tmp_path / "source"
    write_noise(source, MEGABYTE)
    await alice.command(cmd="stream", to=bob.id, name="nobody's", file=str(source))
    await alice.log.wait("stream", state="reset")


async def test_what_is_too_late_expires_and_never_arrives(supernode: Supernode, make_member: MakeMember) -> None:
    alice, bob = [await make_member(supernode=supernode) for _ in range(2)]
    await all_meet([alice, bob])
    bob.signal(signal.SIGKILL)
    await bob.exit_status(15)
    await alice.log.wait("away", peer=bob.id, timeout=40)
    since = alice.log.mark()
    await alice.command(cmd="send", to=bob.id, text="before")
    await alice.command(cmd="send", to=bob.id, text="too late", deadline_ms=300)
    await alice.command(cmd="send", to=bob.id, text="in time", deadline_ms=60_000)
    await asyncio.sleep(0.5)
    back = await bob.again()
    try:
        # It had left for a relay: it is bob who says that he did not take it.
        expired = await alice.log.wait("expired", since=since, timeout=60)
        fields(expired, to=str, seq=int)
        await back.message(alice, "in time")
        assert back.texts_from(alice.id) == ["before", "in time"]
        await alice.log.first(2, since, lambda e: e["event"] == "delivered", 60, "delivered")
        delivered = [e["seq"] for e in alice.log.matching("delivered", since=since)]
        assert expired["seq"] not in delivered and len(delivered) == 2
        assert len(alice.log.matching("expired", since=since)) == 1
    finally:
        await back.end()


async def test_what_is_urgent_overtakes_a_backlog(supernode: Supernode, make_member: MakeMember) -> None:
    """Eight megabytes wait on the relay path; what is urgent does not wait for them."""
    alice, bob = [await make_member("meadow", "--only", "relay", supernode=supernode) for _ in range(2)]
    await all_on([alice, bob], "relay")
    bulk = "x" * 100_000
    for _ in range(80):
        await alice.command(cmd="send", to=bob.id, text=bulk, priority="low")
    await bob.message(alice, bulk)
    stopwatch = Stopwatch()
    await alice.command(cmd="send", to=bob.id, text="urgent", priority="urgent")
    await bob.message(alice, "urgent")
    is_soon, latency = stopwatch.within(2), stopwatch.seconds
    behind = 80 - len([text for text in bob.texts_from(alice.id) if text == bulk])
    print(f"urgent after {latency * 1000:.0f} ms, before {behind} of 80")
    assert behind > 0, "there was no backlog any more"
    assert is_soon
    await bob.log.first(81, 0, lambda e: e["event"] == "message", 120, "everything else")


async def test_all_kinds_once_across_kills(supernode: Supernode, make_member: MakeMember, processes: list) -> None:
    """Of every priority, in order and not: each once, though both ends are killed in the middle."""
    alice, bob = [await make_member(supernode=supernode) for _ in range(2)]
    await all_meet([alice, bob])
    kinds = [(priority, ordered) for priority in ("low", "normal", "high", "urgent") for ordered in (True, False)]
    sent: list[str] = []
    got: list[str] = []
    for round_number in range(3):
        for number in range(100):
            priority, ordered = kinds[number % 8]
            text = f"{round_number} {number} {priority} {ordered}"
            await alice.command(cmd="send", to=bob.id, text=text, priority=priority, ordered=ordered)
            sent.append(text)
        await alice.taken()
        victim = (bob, alice, None)[round_number]
        if victim is None:
            break
        if victim is bob:
            # What it has noted as taken, and not yet read, would not come again.
            await bob.log.until(lambda: len(bob.texts_from(alice.id)) == len(sent), 60, "all so far")
            await alice.log.first(len(sent), 0, lambda e: e["event"] == "delivered", 60, "their deliveries")
        else:
            # What has not reached its disk would be gone; the last one leaves when all of them have.
            await bob.message(alice, sent[-1])
        victim.signal(signal.SIGKILL)
        await victim.exit_status(15)
        if victim is bob:
            got += bob.texts_from(alice.id)
        successor = await victim.again()
        processes.append(successor)
        if victim is bob:
            bob = successor
        else:
            alice = successor
        await all_meet([alice, bob])
    await bob.log.until(lambda: len(got) + len(bob.texts_from(alice.id)) >= len(sent), 60, "all of them")
    got += bob.texts_from(alice.id)
    assert sorted(got) == sorted(sent)
    for priority in ("low", "normal", "high", "urgent"):
        ordered = [text for text in got if text.endswith(f"{priority} True")]
        assert ordered == sorted(ordered, key=lambda text: [int(word) for word in text.split()[:2]])


async def test_requests(supernode: Supernode, make_member: MakeMember) -> None:
    alice, bob = [await make_member(supernode=supernode) for _ in range(2)]
    await all_meet([alice, bob])
    await bob.command(cmd="handle", action="greet")
    await bob.taken()
    await alice.command(cmd="request", of=bob.id, to=bob.id, action="greet", text="hello")
    asked = await bob.log.wait("request", action="greet")
    fields(asked, **{"from": str, "id": str, "action": str, "text": str})
    await bob.command(cmd="respond", id=asked["id"], text="good day")
    answer = await alice.log.wait("response")
    fields(answer, **{"from": str, "action": str, "text": str})
    assert answer["text"] == "good day"
    await alice.command(cmd="request", to=bob.id, action="dance", text="")
    assert "unknownAction" in (await alice.log.wait("response", action="dance"))["error"]
    since = alice.log.mark()
    await alice.command(cmd="request", to=bob.id, action="greet", text="slowly", timeout_ms=300)
    assert "timedOut" in (await alice.log.wait("response", since=since))["error"]
    await bob.log.wait("cancelled")


async def test_who_is_blocked_learns_that_nothing_is_taken(supernode: Supernode, make_member: MakeMember) -> None:
    alice, bob, carol = [await make_member(supernode=supernode) for _ in range(3)]
    await all_meet([alice, bob, carol])
    await bob.command(cmd="block_member", peer=alice.id)
    await bob.log.wait("left", peer=alice.id)
    await alice.log.wait("left", peer=bob.id)
    await alice.send(bob, "are you there?")
    rejected = await alice.log.wait("rejected", to=bob.id)
    fields(rejected, to=str, seq=int, reason=str)
    assert rejected["reason"] == "blocked"
    await carol.send(bob, "I am")
    await bob.message(carol, "I am")
    since = alice.log.mark()
    await bob.command(cmd="unblock_member", peer=alice.id)
    await alice.log.wait("peer", since=since, peer=bob.id, timeout=40)
    await alice.send(bob, "again?")
    await bob.message(alice, "again?")
    assert bob.texts_from(alice.id) == ["again?"]


@pytest.mark.parametrize(
    "command",
    [
        {"cmd": "send", "to": "?", "text": "x", "priority": "soon"},
        {"cmd": "send", "to": "?", "text": "x", "deadline_ms": "soon"},
        {"cmd": "send", "to": "?", "text": "x", "ordered": 1},
        {"cmd": "stream", "to": "?", "name": "x", "file": "/nowhere/at/all"},
    ],
)
async def test_what_is_misunderstood_is_said(supernode: Supernode, make_member: MakeMember, command: dict) -> None:
    alice = await make_member(supernode=supernode)
    await alice.command(**{**command, "to": alice.id})
    error = await alice.log.wait("error")
    assert error["message"]

