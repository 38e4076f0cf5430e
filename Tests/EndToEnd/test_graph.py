"""The shared graph of real members: offline first, over data channels, converging."""

from __future__ import annotations

import asyncio
import signal
import time

from node import MakeMember, MakeSupernode, Member, Supernode
from processes import JSONProcess
from stopwatch import Stopwatch
from streams import all_on
from websocket_client import JSONClient


def state(member: Member, soul: str) -> dict[str, object]:
    """What the member was told of the soul, the latest of each key."""
    return {event["key"]: event["value"] for event in member.log.matching("state", soul=soul)}


async def put(member: Member, soul: str, key: str, value: object) -> None:
    await member.command(cmd="put", soul=soul, key=key, value=value)


async def watch(member: Member, *souls: str) -> None:
    for soul in souls:
        await member.command(cmd="watch", soul=soul)
    await member.taken()


async def test_what_was_written_offline_survives_a_kill_and_arrives_within_two_seconds(
    supernode: Supernode, make_member: MakeMember, processes: list[JSONProcess]
) -> None:
    alice, bob = [await make_member("meadow", "--only", "relay", relay=supernode.gun) for _ in range(2)]
    await watch(bob, "garden")
    await supernode.kill()
    for number in range(40):
        await put(alice, "garden", f"k{number}", f"offline {number}")
    await alice.taken()
    # What was taken is written down; then the process dies without a word.
    alice.signal(signal.SIGKILL)
    await alice.exit_status(15)
    again = await alice.again()
    processes.append(again)
    await watch(again, "garden")
    await again.log.until(lambda: len(state(again, "garden")) == 40, 30, "its own writes, from disk")
    back = await supernode.again()
    processes.append(back)
    stopwatch = Stopwatch()
    await bob.log.until(lambda: len(state(bob, "garden")) == 40, 30, "what was written offline")
    print(f"after the relay was back: {stopwatch.seconds * 1000:.0f} ms")
    assert stopwatch.within(2), f"{watch_.seconds:.2f} s"
    assert state(bob, "garden")["k39"] == "offline 39"


async def test_the_state_goes_on_over_data_channels_when_no_relay_is_alive(
    supernode: Supernode, make_member: MakeMember
) -> None:
    members = [await make_member(supernode=supernode) for _ in range(3)]
    alice, bob, carol = members
    await all_on(members, "direct")
    await watch(bob, "garden")
    await supernode.kill()
    stopwatch = Stopwatch()
    await put(alice, "garden", "rose", "red")
    await bob.log.wait("state", soul="garden", key="rose", value="red")
    print(f"over the data channel: {stopwatch.seconds * 1000:.0f} ms")
    assert stopwatch.within(2)
    # Who comes to it later is told what is there.
    assert not carol.log.matching("state")
    await watch(carol, "garden")
    await carol.log.wait("state", soul="garden", key="rose", value="red")


async def test_two_sides_that_both_wrote_converge(
    supernode: Supernode, make_member: MakeMember
) -> None:
    alice, bob = [await make_member(supernode=supernode) for _ in range(2)]
    await all_on([alice, bob], "direct")
    for member in (alice, bob):
        await watch(member, "garden")
    await supernode.kill()
    await alice.block(bob)
    await bob.block(alice)
    for number in range(20):
        await put(alice, "garden", f"a{number}", number)
        await put(bob, "garden", f"b{number}", number)
        await put(alice if number % 2 else bob, "garden", "both", f"round {number}")
        await asyncio.sleep(0.02)
    await asyncio.sleep(0.5)
    assert not any(key.startswith("b") and key != "both" for key in state(alice, "garden"))
    for member, other in ((alice, bob), (bob, alice)):
        await member.unblock(other)
    stopwatch = Stopwatch()
    for member, letter in ((alice, "b"), (bob, "a")):
        await member.log.until(
            lambda: all(f"{letter}{number}" in state(member, "garden") for number in range(20)), 60, "the other's writes"
        )
    print(f"converged {stopwatch.seconds:.2f} s after the partition healed")
    # The last write of the key that both wrote is Alice's: she keeps it, and Bob has it.
    await bob.log.wait("state", soul="garden", key="both", value="round 19")


async def test_a_relay_refuses_what_the_owner_did_not_sign(supernode: Supernode, make_member: MakeMember) -> None:
    alice, bob = [await make_member("meadow", relay=supernode.gun) for _ in range(2)]
    own = f"~{alice.id}/profile"
    await watch(bob, own)
    await put(alice, own, "name", "Alice")
    await bob.log.wait("state", soul=own, key="name", value="Alice")
    await put(bob, own, "name", "Mallory")
    await bob.log.wait("error")
    client = await JSONClient.open(supernode.gun)
    node = {"_": {"#": own, ">": {"name": time.time() * 1000}}, "name": "Mallory"}
    await client.send({"#": "forged", "put": {own: node}})
    answer = await client.next(lambda message: message.get("@") == "forged")
    assert answer["err"] == "Unverified data."
    assert state(bob, own) == {"name": "Alice"}
    await client.close()
