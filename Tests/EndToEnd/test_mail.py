"""Messages to a member that is away wait at the relay, whether their sender is still there or not."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from pathlib import Path

from networks import ADDRESS
from node import Member, Supernode

MESSAGES = int(os.environ.get("SWARM_MAIL", "10000"))


async def gone(member: Member) -> None:
    member.signal(signal.SIGKILL)
    await member.exit_status(15)


async def acquainted(tmp_path: Path, processes: list, *options: str) -> tuple[Supernode, Member, Member]:
    """Alice and Bob, who keep their state, have talked, so that each has the other's prekeys; then Bob is killed, and Alice has noticed."""
    supernode = Supernode(ADDRESS, tmp_path / "serve")
    processes.append(supernode)
    await supernode.serve()
    alice, bob = Member("alice"), Member("bob")
    processes += [alice, bob]
    for member in (alice, bob):
        await member.join("meadow", "--only", "relay", *options, relay=supernode.gun, data=tmp_path / member.name)
    await alice.session(bob)
    await bob.session(alice)
    await alice.send(bob, "hello")
    await bob.message(alice, "hello")
    await alice.log.wait("delivered", to=bob.id)
    # Prekeys are given as soon as a session is up, each kept on disk first.
    await asyncio.gather(bob.send(alice, "hello"), alice.message(bob, "hello"), bob.log.wait("delivered", to=alice.id))
    await gone(bob)
    await alice.log.wait("away", peer=bob.id, timeout=60)
    return supernode, alice, bob


async def test_mail_arrives_though_its_sender_is_gone(tmp_path: Path, processes) -> None:
    _, alice, bob = await acquainted(tmp_path, processes)
    texts = [f"message {number}" for number in range(50)] + ["ü" * 100_000]
    for text in texts:
        await alice.send(bob, text)
    last = await alice.log.wait("stored", to=bob.id, where=lambda e: e["seq"] == len(texts) + 1, timeout=60)
    assert [e["seq"] for e in alice.log.matching("stored")] == list(range(2, last["seq"] + 1))
    await gone(alice)
    bob = await bob.again()
    processes.append(bob)
    await bob.message(alice, texts[-1])
    assert bob.texts_from(alice.id) == texts
    # Nothing comes again when the sender returns, and it learns what has become of its mail.
    alice = await alice.again()
    processes.append(alice)
    await alice.log.wait("delivered", to=bob.id, seq=last["seq"], timeout=60)
    await alice.send(bob, "back")
    await bob.message(alice, "back")
    assert bob.texts_from(alice.id) == [*texts, "back"]


KINDS = [{"priority": priority, "ordered": ordered} for priority in ("low", "normal", "high", "urgent") for ordered in (True, False)]


async def test_deadlines_are_kept_though_the_sender_is_gone(tmp_path: Path, processes) -> None:
    _, alice, bob = await acquainted(tmp_path, processes)
    for kind in KINDS:
        name = f"{kind['priority']} {kind['ordered']}"
        await alice.command(cmd="send", to=bob.id, text=f"{name} over", deadline_ms=8_000, **kind)
        await alice.command(cmd="send", to=bob.id, text=f"{name} in time", deadline_ms=600_000, **kind)
    await alice.log.first(16, 0, lambda e: e["event"] == "stored", 20, "stored")
    await gone(alice)
    await asyncio.sleep(8)
    bob = await bob.again()
    processes.append(bob)
    await bob.log.first(8, 0, lambda e: e["event"] == "message", 10, "what is in time")
    alice = await alice.again()
    processes.append(alice)
    await alice.log.first(8, 0, lambda e: e["event"] == "expired", 20, "expired")
    await alice.log.first(8, 0, lambda e: e["event"] == "delivered", 20, "delivered")
    texts = bob.texts_from(alice.id)
    assert sorted(texts) == sorted(f"{kind['priority']} {kind['ordered']} in time" for kind in KINDS)
    assert texts[0].startswith("urgent"), "what is most urgent was left first"


async def test_ten_thousand_messages_and_kills_at_any_moment(tmp_path: Path, processes) -> None:
    """Sender and relay are killed again and again: all that was said to be stored arrives without the sender, each message once, in the order of its lane.

    Every second message is of any priority, in order or not. What a killed sender had not put on its disk yet is gone with it: of each of its runs a first part arrives, at least up to what was stored.
    """
    seed = int(os.environ.get("SWARM_SEED", "0")) or random.randrange(1 << 32)
    print(f"SWARM_SEED={seed}")
    chance = random.Random(seed)
    supernode, alice, bob = await acquainted(tmp_path, processes)
    runs: list[list[str]] = [[]]
    lanes: dict[str, str] = {}
    highest: list[int] = [0]
    stored: list[int] = []

    async def send(count: int) -> None:
        for _ in range(count):
            text = f"{len(runs) - 1} {len(runs[-1])}"
            kind = chance.choice(KINDS) if chance.random() < 0.5 else KINDS[2]
            lanes[text] = kind["priority"] if kind["ordered"] else ""
            runs[-1].append(text)
            await alice.command(cmd="send", to=bob.id, text=text, **kind)

    def note() -> None:
        stored.extend(e["seq"] for e in alice.log.matching("stored"))
        highest[-1] = max([highest[-1], *(e["seq"] for e in alice.log.matching("stored"))])

    kills = 0
    while (total := sum(map(len, runs))) < MESSAGES - 1:
        await send(min(MESSAGES - 1 - total, chance.randrange(200, 1200)))
        await asyncio.sleep(chance.uniform(0, 2))
        victim = chance.choice(["alice", "relay", "nobody"])
        if victim == "relay":
            kills += 1
            await supernode.kill()
            supernode = await supernode.again()
            processes.append(supernode)
        elif victim == "alice":
            kills += 1
            note()
            await gone(alice)
            alice = await alice.again()
            processes.append(alice)
            runs.append([])
            highest.append(0)
    await send(1)
    await alice.taken()
    # Which number the last message has nobody can tell who was killed: it is stored when nothing more is said to be.
    quiet = -1
    while quiet != (quiet := len(alice.log.matching("stored"))) or not quiet:
        await asyncio.sleep(5)
    note()
    await gone(alice)
    bob = await bob.again()
    processes.append(bob)
    await bob.log.first(highest[-1] - 1, 0, lambda e: e["event"] == "message", 60, "everything")
    await asyncio.sleep(1)
    messages = bob.log.matching("message", **{"from": alice.id})
    assert {e["seq"] for e in messages}.issuperset(stored), "stored, and not there"
    texts = [e["text"] for e in messages]
    assert len(set(texts)) == len(texts) == len({e["seq"] for e in messages}), "one came twice"
    before = 1  # the greeting
    for number, run in enumerate(runs):
        came = {text for text in texts if text.startswith(f"{number} ")}
        assert came == set(run[: len(came)]), f"run {number}"
        before += len(came)
        assert highest[number] <= before, f"run {number}: stored, and not there"
    for lane in {lane for lane in lanes.values() if lane}:
        came = [[int(word) for word in text.split()] for text in texts if lanes[text] == lane]
        assert came == sorted(came), f"{lane}: out of order"
    assert kills > 0 and highest[-1] == before
