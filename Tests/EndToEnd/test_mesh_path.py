"""The `mesh` path: two members that reach only a third one, and nothing else is alive."""

from __future__ import annotations

import pytest
from node import Member
from streams import Streams, all_meet, all_on

pytestmark = pytest.mark.timeout(120)


async def test_two_talk_through_a_third_when_the_supernode_is_dead(make_member, supernode) -> None:
    alice, bob, carol = members = [await make_member("meadow", supernode=supernode) for _ in range(3)]
    await all_meet(members)
    await all_on(members, "direct")
    marks = [member.log.mark() for member in (alice, bob)]
    await alice.block(bob)
    await bob.block(alice)
    await supernode.kill()
    pairs: list[tuple[Member, Member, int]] = [(alice, bob, marks[0]), (bob, alice, marks[1])]
    for member, other, mark in pairs:
        await member.path(other, "mesh", since=mark)
    streams = Streams([alice, bob], 200, seconds=4)
    streams.start()
    await streams.sent()
    await streams.complete(timeout=60)
    assert streams.paths() == {"mesh"}
    assert not carol.texts_from(alice.id) and not carol.texts_from(bob.id)
    marks = [member.log.mark() for member in (alice, bob)]
    await alice.unblock(bob)
    await bob.unblock(alice)
    for member, other, mark in zip((alice, bob), (bob, alice), marks):
        await member.path(other, "direct", since=mark, timeout=60)


async def test_only_mesh(make_member, supernode) -> None:
    """Members that take no other path are connected with those who forward, and only with those do they speak through."""
    alice, bob = [await make_member("meadow", "--only", "mesh", supernode=supernode) for _ in range(2)]
    await make_member("meadow", supernode=supernode)
    await alice.session(bob)
    await bob.session(alice)
    streams = Streams([alice, bob], 50, seconds=1)
    streams.start()
    await streams.sent()
    await streams.complete(timeout=60)
    assert streams.paths() == {"mesh"}


async def test_who_knows_one_member_learns_of_the_others(make_member, supernode, processes) -> None:
    """Peer exchange: no server is alive, and one member is known from before. It tells of the other, and brings their signals."""
    alice, carol = members = [await make_member("meadow", supernode=supernode) for _ in range(2)]
    await all_meet(members)
    await all_on(members, "direct")
    await carol.leave()
    bob = await make_member("meadow", supernode=supernode)
    await all_meet([alice, bob])
    await all_on([alice, bob], "direct")
    await supernode.kill()
    carol = await carol.again()
    processes.append(carol)
    await carol.path(alice, "direct")
    await carol.log.wait("discovered", peer=bob.id, plane="mesh")
    await carol.path(bob, "direct")
    await bob.path(carol, "direct")
    await carol.send(bob, "nobody introduced us but Alice")
    message = await bob.message(carol, "nobody introduced us but Alice")
    assert message["path"] == "direct"
