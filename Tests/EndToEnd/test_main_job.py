"""The main job: a swarm forms, talks, falls back and recovers, and every message arrives once and in order."""

from __future__ import annotations

import asyncio
import itertools
import signal

import pytest
from node import Member, Supernode
from stopwatch import Stopwatch
from streams import Streams, all_meet, all_on

COUNT = 500


async def block_all(members: list[Member]) -> None:
    await asyncio.gather(*(a.block(b) for a, b in itertools.permutations(members, 2)))


async def unblock_all(members: list[Member]) -> None:
    await asyncio.gather(*(a.unblock(b) for a, b in itertools.permutations(members, 2)))


async def test_every_message_once_and_in_order_while_everything_breaks(make_supernode, make_member, processes) -> None:
    """The direct path is blocked and unblocked three times; the supernode is killed and restarted while it is blocked."""
    supernode: Supernode = await make_supernode()
    members = [await make_member(supernode=supernode) for _ in range(3)]
    await all_meet(members)
    await all_on(members, "direct")
    streams = Streams(members, COUNT, seconds=20)
    streams.start()
    for round_number in range(3):
        await asyncio.sleep(2)
        await block_all(members)
        if round_number == 1:  # no path at all for a while
            await asyncio.sleep(1)
            await supernode.kill()
            await asyncio.sleep(2)
            supernode = await supernode.again()
            processes.append(supernode)
        await asyncio.sleep(2.5)
        await unblock_all(members)
    await streams.sent()
    await streams.complete(timeout=60)
    await streams.delivered(timeout=60)
    assert {"direct", "relay"} <= streams.paths()


async def test_every_message_once_and_in_order_over_the_relay_only(make_supernode, make_member, processes) -> None:
    supernode: Supernode = await make_supernode()
    members = [await make_member("meadow", "--only", "relay", supernode=supernode) for _ in range(3)]
    await all_meet(members)
    streams = Streams(members, COUNT, seconds=15)
    streams.start()
    await asyncio.sleep(5)
    await supernode.kill()
    await asyncio.sleep(1)
    processes.append(await supernode.again())
    await streams.sent()
    await streams.complete(timeout=60)
    await streams.delivered(timeout=60)
    assert streams.paths() == {"relay"}


@pytest.mark.parametrize("only", [[], ["--only", "relay"]], ids=["all paths", "relay only"])
async def test_every_message_once_and_in_order_while_two_members_restart(
    make_supernode, make_member, processes, only: list[str]
) -> None:
    supernode: Supernode = await make_supernode()
    members = [await make_member("meadow", *only, supernode=supernode) for _ in range(3)]
    await all_meet(members)
    streams = Streams(members, COUNT, seconds=20)
    streams.start()
    for member in members[1:]:
        await asyncio.sleep(5)
        streams.pause(member.name)
        await member.taken()  # what is still in its stdin would be lost, and rightly
        member.signal(signal.SIGTERM)
        assert await member.exit_status(15) == 0
        await asyncio.sleep(1)
        successor = await member.again()
        processes.append(successor)
        streams.resume(successor)
    await streams.sent()
    await streams.complete(timeout=60)


async def test_a_cut_cable_is_survived_too(make_supernode, make_member, hosts) -> None:
    """No command blocks anything here: the packets between the members just vanish, and come back later."""
    supernode: Supernode = await make_supernode()
    members = [await make_member(supernode=supernode) for _ in range(3)]
    await all_meet(members)
    await all_on(members, "direct")
    streams = Streams(members, COUNT, seconds=15)
    streams.start()
    await asyncio.sleep(3)
    marks = {member.name: member.log.mark() for member in members}
    stopwatch = Stopwatch()
    for host in hosts[:3]:
        host.isolate()
    for a, b in itertools.permutations(members, 2):
        await a.log.wait("message", since=marks[a.name], path="relay", **{"from": b.id})
    assert stopwatch.within(5)
    marks = {member.name: member.log.mark() for member in members}
    for host in hosts[:3]:
        host.heal()
    await streams.sent()
    await streams.complete(timeout=60)
    for a, b in itertools.permutations(members, 2):
        await a.path(b, "direct", since=marks[a.name])


async def test_the_gap_is_short_when_the_direct_path_goes(make_supernode, make_member) -> None:
    """What is sent right after the direct path went arrives over the relay, soon."""
    supernode: Supernode = await make_supernode()
    alice, bob = [await make_member(supernode=supernode) for _ in range(2)]
    await all_on([alice, bob], "direct")
    await block_all([alice, bob])
    await alice.taken()
    await bob.taken()
    stopwatch = Stopwatch()
    await alice.send(bob, "after the cut")
    message = await bob.message(alice, "after the cut")
    assert message["path"] == "relay" and stopwatch.within(3)
    since = alice.log.mark()
    await unblock_all([alice, bob])
    await alice.path(bob, "direct", since=since)
    await alice.send(bob, "direct again")
    assert (await bob.message(alice, "direct again"))["path"] == "direct"
