"""Swarms behind NATs of every kind, each against each: messages at once everywhere, directly wherever a hole can be punched, without TURN."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest
from delaying_proxy import DelayingProxy
from nat_lab import KINDS, SERVERS, NATHost, NATLab
from networks import Network, NetworkUnavailable
from node import Member, Supernode
from stopwatch import Stopwatch
from test_nat_matrix import PAIRS

FIRST_MESSAGE = 3.0  # seconds from the start of the later of two
DIRECT = 5.0

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def hosts_of_both_sides(network: Network) -> Iterator[dict[str, list[NATHost]]]:
    """Two hosts behind each kind of NAT."""
    try:
        lab = NATLab(network)
        hosts = {side: [lab.host(f"{side}-{kind}", kind) for kind in KINDS] for side in "ab"}
    except NetworkUnavailable as error:
        pytest.skip(str(error))
    yield hosts
    lab.close()


async def test_messages_flow_at_once_and_directly_wherever_that_is_possible(hosts_of_both_sides, processes, tmp_path) -> None:
    supernode = Supernode(SERVERS[0], tmp_path / "serve")
    processes.append(supernode)
    await supernode.serve()
    stun = f"{SERVERS[0]}:{supernode.port}"
    members: dict[str, Member] = {}

    async def join(side: str, host: NATHost) -> None:
        member = members[f"{side}-{host.kind.name}"] = Member(f"{side}-{host.kind.name}")
        processes.append(member)
        # Nobody hands on anything for others: what is not direct goes through the relay.
        await member.join("matrix", "--stun", stun, "--only", "direct,relay", host=host, tracker=supernode.tracker, relay=supernode.gun)

    await asyncio.gather(*(join(side, host) for side, hosts in hosts_of_both_sides.items() for host in hosts))
    start = time.monotonic()

    async def until(member: Member, other: Member, wanted: str, limit: float) -> float | None:
        """How long after the start the other's message was there, or the direct path; `None` when it was not in time."""

        def at() -> float | None:
            for event, moment in zip(member.log.events, member.log.times):
                kind = event.get("event")
                if wanted == "message" and kind == "message" and event["from"] == other.id:
                    return moment - start
                if wanted == "direct" and kind in ("peer", "path") and event["peer"] == other.id and event["path"] == "direct":
                    return max(0.0, moment - start)
            return None

        try:
            await member.log.until(lambda: at() is not None, max(0.05, start + limit - time.monotonic()), wanted)
        except AssertionError:
            pass
        found = at()
        return found if found is not None and found <= limit else None

    pairs = {pair: (members[f"a-{pair[0]}"], members[f"b-{pair[1]}"]) for pair in PAIRS}
    for a, b in pairs.values():
        await a.send(b, "there")
        await b.send(a, "and back")

    async def outcome(a: Member, b: Member) -> tuple[bool, bool]:
        found = await asyncio.gather(
            *(until(member, other, "message", FIRST_MESSAGE) for member, other in ((a, b), (b, a))),
            *(until(member, other, "direct", DIRECT) for member, other in ((a, b), (b, a))),
        )
        return None not in found[:2], None not in found[2:]

    outcomes = dict(zip(pairs, await asyncio.gather(*(outcome(a, b) for a, b in pairs.values()))))
    assert {pair for pair, (flows, _) in outcomes.items() if not flows} == set(), "of these no message was there in time"
    assert {pair: direct for pair, (_, direct) in outcomes.items()} == PAIRS


async def test_with_no_udp_the_first_message_takes_two_seconds_at_most_over_a_far_relay(
    hosts_of_both_sides, processes, tmp_path
) -> None:
    """From the start of the processes, and with 50 ms for each round trip to relay and tracker."""
    supernode = Supernode(SERVERS[1], tmp_path / "serve")
    processes.append(supernode)
    await supernode.serve()
    async with DelayingProxy(SERVERS[0], SERVERS[1], supernode.port, delay=0.025) as proxy:
        blocked = [next(host for host in hosts_of_both_sides[side] if host.kind.name == "udp-blocked") for side in "ab"]
        members = [Member(side) for side in "ab"]
        processes.extend(members)
        stopwatch = Stopwatch()
        url = f"ws://{SERVERS[0]}:{proxy.port}"
        await asyncio.gather(
            *(member.join("far", host=host, tracker=f"{url}/", relay=f"{url}/gun") for member, host in zip(members, blocked))
        )
        a, b = members
        await a.send(b, "first")
        await b.send(a, "first")
        for member, other in ((a, b), (b, a)):
            message = await member.message(other, "first")
            assert message["path"] == "relay"
        assert stopwatch.within(2)
