"""Members on one machine that has no network: nothing but `lo` is up."""

from __future__ import annotations

import asyncio

from networks import Namespace, Network
from node import Member
from processes import JSONProcess


async def test_two_members_meet_without_any_network(network: Network, processes: list[JSONProcess]) -> None:
    machine = Namespace("offline")
    try:
        alice, bob = Member("alice"), Member("bob")
        processes += [alice, bob]
        await asyncio.gather(*(member.join("meadow", host=machine, lan=True) for member in (alice, bob)))  # type: ignore[arg-type]
        await alice.path(bob, "direct")
        await bob.path(alice, "direct")
        assert alice.log.matching("discovered", peer=bob.id)[0]["plane"] == "lan"
        await alice.send(bob, "hello")
        assert (await bob.message(alice, "hello"))["path"] == "direct"
        await asyncio.gather(alice.leave(), bob.leave())
    finally:
        machine.close()
