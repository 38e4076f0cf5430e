"""The `turn` path: members that no direct path joins, through a real TURN server."""

from __future__ import annotations

import pytest
from coturn import Coturn
from node import Member
from streams import Streams, all_meet, all_on

pytestmark = pytest.mark.timeout(120)


def turn(coturn: Coturn, transport: str) -> list[str]:
    return ["--turn", coturn.url(transport), "--turn-user", "u", "--turn-password", "p"]


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_members_apart_talk_through_the_server(make_member, supernode, hosts, coturn: Coturn, transport: str) -> None:
    """One of them has the server; the GUN relay only carries signals."""
    for host in hosts[:2]:
        host.isolate()
    alice = await make_member("meadow", "--only", "direct,turn", *turn(coturn, transport), supernode=supernode)
    bob = await make_member("meadow", "--only", "direct,turn", supernode=supernode)
    await all_meet([alice, bob])
    streams = Streams([alice, bob], 100, seconds=2)
    streams.start()
    await streams.sent()
    await streams.complete(timeout=60)
    assert streams.paths() == {"turn"}


async def test_turn_takes_over_from_the_direct_path_and_gives_it_back(make_member, supernode, hosts, coturn: Coturn) -> None:
    members: list[Member] = [
        await make_member("meadow", "--only", "direct,turn", *turn(coturn, "udp"), supernode=supernode) for _ in range(2)
    ]
    await all_meet(members)
    await all_on(members, "direct")
    streams = Streams(members, 300, seconds=30)
    streams.start()
    marks = [member.log.mark() for member in members]
    for host in hosts[:2]:
        host.isolate()
    for member, other, mark in zip(members, reversed(members), marks):
        await member.path(other, "turn", since=mark)
    marks = [member.log.mark() for member in members]
    for host in hosts[:2]:
        host.heal()
    for member, other, mark in zip(members, reversed(members), marks):
        await member.path(other, "direct", since=mark)
    await streams.sent()
    await streams.complete(timeout=60)


async def test_only_turn(make_member, supernode, coturn: Coturn) -> None:
    """With `--only turn` no address of the member itself is used, though a direct path would be there."""
    members = [await make_member("meadow", "--only", "turn", *turn(coturn, "udp"), supernode=supernode) for _ in range(2)]
    await all_meet(members)
    streams = Streams(members, 50, seconds=1)
    streams.start()
    await streams.sent()
    await streams.complete(timeout=60)
    assert streams.paths() == {"turn"}


async def test_a_wrong_password_is_told(make_member, supernode, coturn: Coturn) -> None:
    options = ["--turn", coturn.url("udp"), "--turn-user", "u", "--turn-password", "wrong"]
    member = await make_member("meadow", *options, supernode=supernode)
    error = await member.log.wait("error")
    assert "refuses the user name or password" in error["message"]
