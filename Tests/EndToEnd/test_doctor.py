"""The doctor: what works from here, and why not."""

from __future__ import annotations

import pytest
from nat_lab import NATLab
from networks import ADDRESS, Host
from node import Supernode
from processes import JSONProcess


async def examine(processes: list[JSONProcess], *arguments: str, host: Host | None = None) -> tuple[int, list[dict], dict]:
    process = JSONProcess("doctor")
    processes.append(process)
    await process.start("doctor", "--json", *arguments, within=host.within if host else None)
    status = await process.exit_status(60)
    planes = process.log.matching("plane")
    (verdict,) = process.log.matching("verdict")
    return status, planes, verdict


async def test_everything_that_works_is_said_to(supernode: Supernode, hosts: list[Host], processes: list[JSONProcess]) -> None:
    servers = ["--tracker", supernode.tracker, "--relay", supernode.gun, "--stun", supernode.ready["udp"]]
    status, planes, verdict = await examine(processes, *servers, "--no-dht", host=hosts[0])
    assert status == 0 and verdict["works"] is True
    states = {plane["kind"]: plane for plane in planes}
    assert {kind: plane["state"] for kind, plane in states.items()} == dict.fromkeys(("tracker", "relay", "stun", "lan"), "working")
    assert all(plane["ms"] < 5000 for plane in planes)
    # The host is on the server's network: it is seen at its own address.
    assert verdict["nat"] == "none" and verdict["external"] == [states["stun"]["addresses"][0]]
    assert states["stun"]["addresses"][0].startswith(hosts[0].address + ":")
    assert verdict["text"].endswith(".")


async def test_how_many_members_a_tracker_knows(supernode: Supernode, make_member, hosts: list[Host], processes: list[JSONProcess]) -> None:
    await make_member(supernode=supernode)
    bob = await make_member(supernode=supernode)
    for swarm, members in (("meadow", 2), ("desert", 0)):
        _, planes, _ = await examine(processes, swarm, "--tracker", supernode.tracker, "--no-dht", "--no-lan", host=hosts[2])
        assert [(plane["kind"], plane["members"]) for plane in planes] == [("tracker", members)]
    await bob.leave()
    _, (plane,), _ = await examine(processes, "meadow", "--tracker", supernode.tracker, "--no-dht", "--no-lan", host=hosts[2])
    assert plane["members"] == 1


async def test_what_does_not_answer_is_named(processes: list[JSONProcess], hosts: list[Host]) -> None:
    dead = ["--tracker", f"ws://{ADDRESS}:9/", "--tracker", f"udp://{ADDRESS}:9", "--tracker", f"http://{ADDRESS}:9/announce"]
    status, planes, verdict = await examine(processes, *dead, "--relay", f"ws://{ADDRESS}:9/gun", "--no-lan", "--no-dht", "--seconds", "2", host=hosts[0])
    assert status == 69 and verdict["works"] is False and verdict["nat"] == "unknown"
    assert [plane["kind"] for plane in planes] == ["tracker", "tracker", "tracker", "relay"]
    assert all(plane["state"] != "working" and plane["ms"] is None for plane in planes)
    assert {plane["state"] for plane in planes if not plane["name"].startswith("udp")} == {"failing"}
    assert "Nobody can be found" in verdict["text"]


async def test_the_local_network_alone_is_something(processes: list[JSONProcess], hosts: list[Host]) -> None:
    status, planes, verdict = await examine(processes, "--no-dht", host=hosts[0])
    assert status == 0 and verdict["works"] is True
    assert [(plane["kind"], plane["state"]) for plane in planes] == [("lan", "working")]


async def test_a_dht_that_is_silent_is_named(processes: list[JSONProcess], hosts: list[Host]) -> None:
    status, planes, verdict = await examine(processes, "--dht-bootstrap", f"{ADDRESS}:9", "--no-lan", "--seconds", "2", host=hosts[0])
    assert status == 69 and verdict["works"] is False
    # Over both families: the host has addresses of both, or of IPv4 alone.
    assert {(plane["kind"], plane["state"]) for plane in planes} == {("dht", "trying")}
    assert planes[0]["name"] == "IPv4"
    assert "Nobody can be found" in verdict["text"]


NATS = {"none": "none", "full-cone": "endpoint-independent", "port-restricted": "endpoint-independent", "symmetric": "address-dependent"}


@pytest.mark.parametrize("witness", ["dht", "stun"])
async def test_the_kind_of_nat_is_told(witness: str, dht: str, lab: NATLab, processes: list[JSONProcess]) -> None:
    """By the DHT alone, without any server, and by two STUN servers."""
    asked = ["--dht-bootstrap", dht] if witness == "dht" else ["--no-dht", "--stun", "198.19.1.1:7750", "--stun", "198.19.2.1:7750"]
    for kind, expected in NATS.items():
        host = lab.host(f"{witness}-{kind}"[:11], kind)
        status, planes, verdict = await examine(processes, *asked, "--no-lan", "--seconds", "15", host=host)  # type: ignore[arg-type]
        assert verdict["nat"] == expected, (kind, planes, verdict)
        assert status == (0 if witness == "dht" else 69)
        if expected == "address-dependent":
            assert witness == "stun" or "symmetric" in verdict["text"]
        else:
            assert {address.rsplit(":", 1)[0] for address in verdict["external"]} == {host.external}
