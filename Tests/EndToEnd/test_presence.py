"""Who is here, away and gone, and what happens when a machine changes networks."""

from __future__ import annotations

import asyncio

import pytest
from networks import Host
from node import MakeMember, Supernode
from presence import is_killed_and_missed
from stopwatch import Stopwatch
from streams import Streams, all_meet, all_on

pytestmark = pytest.mark.timeout(180)


async def test_one_of_three_that_is_killed_is_away_within_five_seconds(supernode: Supernode, make_member: MakeMember) -> None:
    alice, bob, carol = members = [await make_member(supernode=supernode) for _ in range(3)]
    await all_meet(members)
    await all_on(members, "direct")
    await is_killed_and_missed(bob, (alice, carol))
    await alice.send(bob, "when you are back")
    again = await bob.again()
    try:
        await again.message(alice, "when you are back")
    finally:
        await again.leave()
    for member in (alice, carol):
        await member.log.wait("left", peer=bob.id)


async def test_a_member_that_moves_to_another_address_is_heard_again_within_a_second(
    supernode: Supernode, make_member: MakeMember, hosts: list[Host]
) -> None:
    """The kernel tells of the change, sockets of the old address are dropped, and everything is dialled and asked anew at once."""
    alice, bob = [await make_member("meadow", "--stun", f"{supernode.udp_host}:{supernode.port}", supernode=supernode) for _ in range(2)]
    await all_meet([alice, bob])
    await all_on([alice, bob], "direct")
    marks = [member.log.mark() for member in (alice, bob)]
    stopwatch = Stopwatch()
    streams = Streams([alice, bob], 400, seconds=8)
    streams.start()
    await alice.log.wait("message", since=marks[0])
    for number in (201, 202):
        hosts[0].move(number)
        await asyncio.sleep(3)
    await streams.sent()
    await streams.complete(timeout=60)
    for member, mark in zip((alice, bob), marks):
        times = [at for event, at in zip(member.log.events[mark:], member.log.times[mark:]) if event["event"] == "message"]
        assert max(after - before for before, after in zip(times, times[1:])) <= 1.0 + stopwatch.stalled
