"""The doctor: what works from here, and why not."""

from __future__ import annotations

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
    status, planes, verdict = await examine(processes, *servers, host=hosts[0])
    assert status == 0 and verdict["works"] is True
    states = {plane["kind"]: plane for plane in planes}
    assert {kind: plane["state"] for kind, plane in states.items()} == dict.fromkeys(("tracker", "relay", "stun", "lan"), "working")
    assert all(plane["ms"] < 5000 for plane in planes)
    # The host is on the server's network: it is seen at its own address.
    assert verdict["nat"] == "none" and verdict["external"] == [states["stun"]["addresses"][0]]
    assert states["stun"]["addresses"][0].startswith(hosts[0].address + ":")
    assert verdict["text"].endswith(".")


async def test_what_does_not_answer_is_named(processes: list[JSONProcess], hosts: list[Host]) -> None:
    dead = ["--tracker", f"ws://{ADDRESS}:9/", "--tracker", f"udp://{ADDRESS}:9", "--tracker", f"http://{ADDRESS}:9/announce"]
    status, planes, verdict = await examine(processes, *dead, "--relay", f"ws://{ADDRESS}:9/gun", "--no-lan", "--seconds", "2", host=hosts[0])
    assert status == 69 and verdict["works"] is False and verdict["nat"] == "unknown"
    assert [plane["kind"] for plane in planes] == ["tracker", "tracker", "tracker", "relay"]
    assert all(plane["state"] != "working" and plane["ms"] is None for plane in planes)
    assert {plane["state"] for plane in planes if not plane["name"].startswith("udp")} == {"failing"}
    assert "Nobody can be found" in verdict["text"]


async def test_the_local_network_alone_is_something(processes: list[JSONProcess], hosts: list[Host]) -> None:
    status, planes, verdict = await examine(processes, host=hosts[0])
    assert status == 0 and verdict["works"] is True
    assert [(plane["kind"], plane["state"]) for plane in planes] == [("lan", "working")]
