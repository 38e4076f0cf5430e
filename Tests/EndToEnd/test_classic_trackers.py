"""Trackers of the kind that WebTorrent's came after: over UDP (BEP 15) and HTTP (BEP 3)."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from classic_tracker import ClassicTracker
from networks import ADDRESS, Host, Network
from processes import JSONProcess


@pytest.fixture
async def tracker(network: Network) -> AsyncIterator[ClassicTracker]:
    tracker = await ClassicTracker.start(ADDRESS)
    yield tracker
    await tracker.stop()


@pytest.mark.parametrize(("first", "second"), [("udp", "udp"), ("http", "http"), ("udp", "http")])
async def test_one_is_enough_to_meet(first: str, second: str, tracker: ClassicTracker, make_member, processes: list[JSONProcess], hosts: list[Host]) -> None:
    """No other plane, no server that speaks of swarms: the address is enough to signal."""
    alice = await make_member(tracker=getattr(tracker, first))
    bob = await make_member(tracker=getattr(tracker, second))
    await alice.path(bob, "direct", timeout=30)
    await bob.path(alice, "direct", timeout=30)
    await alice.send(bob, "hello")
    assert (await bob.message(alice, "hello"))["path"] == "direct"
    assert {first, second} == set(tracker.announces)

    # And how many there are is told to who asks.
    doctor = JSONProcess("doctor")
    processes.append(doctor)
    await doctor.start(
        "doctor", "meadow", "--json", "--tracker", tracker.udp, "--tracker", tracker.http, "--no-dht", "--no-lan", within=hosts[2].within
    )
    assert await doctor.exit_status(60) == 0
    known = {plane["name"]: plane["members"] for plane in doctor.log.matching("plane")}
    assert known == {tracker.udp: 2, tracker.http: 2}

    # Who leaves says so.
    await bob.leave()
    (swarm,) = [swarm for swarm in tracker.swarms.values() if alice_is_in(swarm, hosts[0])]
    assert len(swarm) == 1
    await alice.leave()


def alice_is_in(swarm: dict[tuple[str, int], bytes], host: Host) -> bool:
    return any(address == host.address for address, _ in swarm)
