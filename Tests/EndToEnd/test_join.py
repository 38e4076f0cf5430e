"""The contract of `swarm-space join --json`, `invite` and `id`."""

from __future__ import annotations

import asyncio
import json
import re
import signal
from pathlib import Path

import pytest
from node import MakeMember, Member, Supernode, fields
from processes import JSONProcess
from stopwatch import Stopwatch
from streams import all_meet, all_on


async def run(*arguments: str, processes: list[JSONProcess], timeout: float = 30) -> JSONProcess:
    process = JSONProcess("-".join(["run", arguments[0]]))
    processes.append(process)
    await process.start(*arguments)
    process.close_stdin()
    await process.exit_status(timeout)
    return process


def printed(process: JSONProcess) -> str:
    """What a command without --json printed."""
    text = b"".join(process.not_json).decode()
    process.not_json = []
    return text


async def test_the_events_of_two_members(supernode: Supernode, make_member: MakeMember) -> None:
    alice, bob = [await make_member(supernode=supernode) for _ in range(2)]
    fields(alice.joined, self=str, infohash=str)
    assert re.fullmatch("[0-9a-f]{40}", alice.joined["infohash"])
    assert alice.joined["infohash"] == bob.joined["infohash"] and alice.id != bob.id
    for member, other in ((alice, bob), (bob, alice)):
        discovered = await member.log.wait("discovered", peer=other.id, timeout=60)
        fields(discovered, peer=str, plane=str)
        assert discovered["plane"] in ("tracker", "gun")
        peer = await member.log.wait("peer", peer=other.id, timeout=60)
        fields(peer, peer=str, name=str, path=str)
        assert peer["name"] == other.name
        await member.path(other, "direct")
    since = bob.log.mark()
    await alice.send(bob, "héllo 🦊\n")
    message = await bob.log.wait("message", since=since)
    fields(message, **{"from": str, "text": str, "path": str, "seq": int})
    assert (message["from"], message["text"], message["path"]) == (alice.id, "héllo 🦊\n", "direct")
    delivered = await alice.log.wait("delivered", to=bob.id)
    fields(delivered, to=str, seq=int)
    assert delivered["seq"] == message["seq"]
    moved = alice.log.matching("path", peer=bob.id)
    if moved:
        fields(moved[0], peer=str, path=str, rtt_ms=(int, float))
    await bob.leave()
    left = await alice.log.wait("left", peer=bob.id, timeout=60)
    fields(left, peer=str)


async def test_a_broadcast_reaches_everyone_else_once(supernode: Supernode, make_member: MakeMember) -> None:
    members = [await make_member(supernode=supernode) for _ in range(3)]
    await all_meet(members)
    await members[0].command(cmd="broadcast", text="to all")
    for member in members[1:]:
        await member.message(members[0], "to all")
    await asyncio.sleep(1)
    assert [m.texts_from(members[0].id) for m in members] == [[], ["to all"], ["to all"]]


async def test_shared_state_reaches_those_who_watch_and_those_who_come_later(
    supernode: Supernode, make_member: MakeMember
) -> None:
    alice, bob = [await make_member(supernode=supernode) for _ in range(2)]
    await all_meet([alice, bob])
    await bob.command(cmd="watch", soul="garden")
    await bob.taken()
    for key, value in (("rose", "red"), ("height", 1.5), ("wet", True), ("gone", None)):
        await alice.command(cmd="put", soul="garden", key=key, value=value)
        state = await bob.log.wait("state", soul="garden", key=key)
        assert set(state) == {"event", "soul", "key", "value"} and state["value"] == value
        assert type(state["value"]) is type(value)
    carol = await make_member(supernode=supernode)
    await carol.command(cmd="watch", soul="garden")
    await carol.log.wait("state", soul="garden", key="rose", value="red")


@pytest.mark.parametrize("size", [0, 1, 16_384, 65_536, 200_000])
@pytest.mark.parametrize("path", ["direct", "relay"])
async def test_long_texts_arrive_whole(supernode: Supernode, make_member: MakeMember, size: int, path: str) -> None:
    alice, bob = [await make_member("meadow", *(["--only", path] if path == "relay" else []), supernode=supernode) for _ in range(2)]
    await all_on([alice, bob], path)
    text = "0123456789abcde\n" * (size // 16) + "x" * (size % 16)
    await alice.send(bob, text)
    await bob.message(alice, text)
    await alice.log.wait("delivered", to=bob.id)


async def test_one_who_vanishes_is_noticed(supernode: Supernode, make_member: MakeMember) -> None:
    alice, bob = [await make_member(supernode=supernode) for _ in range(2)]
    await all_meet([alice, bob])
    bob.signal(signal.SIGKILL)
    await alice.log.wait("left", peer=bob.id, timeout=120)


async def test_messages_to_one_who_is_away_wait_for_it(supernode: Supernode, make_member: MakeMember, processes) -> None:
    alice, bob = [await make_member(supernode=supernode) for _ in range(2)]
    await all_meet([alice, bob])
    bob.signal(signal.SIGTERM)
    assert await bob.exit_status(15) == 0
    for number in range(20):
        await alice.command(cmd="send", to=bob.id, text=f"while away {number}")
    again = await bob.again()
    processes.append(again)
    await again.log.until(lambda: len(again.texts_from(alice.id)) >= 20, 60, "what was sent while away")
    assert again.texts_from(alice.id) == [f"while away {number}" for number in range(20)]


@pytest.mark.parametrize("how", ["leave", "SIGTERM", "SIGINT"])
async def test_a_member_leaves_cleanly(supernode: Supernode, make_member: MakeMember, how: str) -> None:
    alice, bob = [await make_member(supernode=supernode) for _ in range(2)]
    await all_meet([alice, bob])
    stopwatch = Stopwatch()
    if how == "leave":
        await bob.command(cmd="leave")
    else:
        bob.signal(getattr(signal, how))
    assert await bob.exit_status(15) == 0
    assert stopwatch.within(2.5)
    await alice.log.wait("left", peer=bob.id, timeout=60)


async def test_a_member_stops_at_once_while_nothing_answers(make_member: MakeMember, supernode: Supernode) -> None:
    alice, _ = [await make_member(supernode=supernode) for _ in range(2)]
    await supernode.kill()
    await asyncio.sleep(1)
    stopwatch = Stopwatch()
    alice.signal(signal.SIGTERM)
    assert await alice.exit_status(15) == 0 and stopwatch.within(2.5)


@pytest.mark.parametrize("plane", ["tracker", "relay"])
async def test_any_plane_suffices(supernode: Supernode, make_member: MakeMember, plane: str) -> None:
    address = {"tracker": supernode.tracker, "relay": supernode.gun}[plane]
    alice, bob = [await make_member("meadow", **{plane: address}) for _ in range(2)]
    await all_meet([alice, bob])
    await all_on([alice, bob], "direct")
    await alice.send(bob, "found you")
    await bob.message(alice, "found you")
    planes = {event["plane"] for event in alice.log.matching("discovered", peer=bob.id)}
    assert ("tracker" if plane == "tracker" else "gun") in planes


@pytest.mark.parametrize("dead", ["tracker", "relay"])
async def test_a_dead_plane_does_not_delay_the_other(supernode: Supernode, make_member: MakeMember, dead: str) -> None:
    addresses = {"tracker": supernode.tracker, "relay": supernode.gun, dead: "ws://10.77.0.1:9/x"}
    alice, bob = [await make_member("meadow", **addresses) for _ in range(2)]
    await all_meet([alice, bob], timeout=20)


async def test_only_those_who_know_the_secret_meet(supernode: Supernode, make_member: MakeMember) -> None:
    alice, bob, carol, dave = [
        await make_member("meadow", *options, supernode=supernode)
        for options in (["--secret", "clover"], ["--secret", "clover"], ["--secret", "Clover"], [])
    ]
    await all_meet([alice, bob])
    await alice.send(bob, "psst")
    await bob.message(alice, "psst")
    await asyncio.sleep(8)
    for member in (alice, bob, carol, dave):
        friends = {alice.id, bob.id} - {member.id} if member in (alice, bob) else set()
        assert {event["peer"] for event in member.log.matching("peer")} == friends, member.name
        assert {event["peer"] for event in member.log.matching("discovered")} <= friends, member.name
    assert carol.texts_from(alice.id) == dave.texts_from(alice.id) == []


async def test_an_invitation_is_all_one_needs(supernode: Supernode, make_member: MakeMember, processes) -> None:
    process = await run("invite", "meadow", "--tracker", supernode.tracker, "--relay", supernode.gun, processes=processes)
    magnet = printed(process).strip()
    assert process.process.returncode == 0
    assert re.match(r"magnet:\?xt=urn:btih:[0-9a-f]{40}&", magnet) and "\n" not in magnet
    assert "tr=" in magnet and "x.gun=" in magnet
    alice, bob = await make_member(magnet), await make_member(magnet)
    await all_meet([alice, bob])
    assert alice.joined["infohash"] in magnet
    carol = await make_member("meadow", supernode=supernode)
    await all_meet([alice, carol])


async def test_an_invitation_to_a_private_swarm_holds_no_secret(make_member: MakeMember, supernode: Supernode, processes) -> None:
    options = ["--secret", "clover-and-thyme"]
    process = await run("invite", "meadow", *options, "--tracker", supernode.tracker, "--relay", supernode.gun, processes=processes)
    magnet = printed(process).strip()
    assert "clover" not in magnet
    alice, bob = await make_member(magnet, *options), await make_member("meadow", *options, supernode=supernode)
    await all_meet([alice, bob])


async def test_the_identity_stays_and_nobody_else_may_read_it(
    supernode: Supernode, make_member: MakeMember, processes, tmp_path: Path
) -> None:
    data = tmp_path / "someone"
    first = printed(await run("id", "--data", str(data), processes=processes)).strip()
    assert first and first == printed(await run("id", "--data", str(data), processes=processes)).strip()
    readable = [path for path in data.rglob("*") if path.is_file() and path.stat().st_mode & 0o077]
    assert not readable, readable
    member = await make_member(supernode=supernode, data=data)
    assert member.id in first
    readable = [path for path in data.rglob("*") if path.is_file() and path.stat().st_mode & 0o077]
    assert not readable, readable


async def test_direct_connections_can_be_ruled_out(supernode: Supernode, make_member: MakeMember) -> None:
    alice, bob = [await make_member("meadow", "--only", "relay", supernode=supernode) for _ in range(2)]
    await all_meet([alice, bob])
    await asyncio.sleep(5)
    for member in (alice, bob):
        assert {e["path"] for e in member.log.events if "path" in e} == {"relay"}


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["fly"],
        ["join"],
        ["join", "meadow", "--port", "banana"],
        ["join", "meadow", "--only", "telepathy"],
        ["join", "meadow", "--tracker", "not a url"],
        ["join", "magnet:?xt=urn:btih:zzzz"],
        ["serve", "--port", "70000"],
        ["serve", "--no-such-option"],
        ["invite"],
    ],
    ids=" ".join,
)
async def test_bad_usage_is_status_64_and_says_what_to_do(arguments: list[str], processes) -> None:
    if not arguments:
        arguments = ["--no-such-option"]
    process = await run(*arguments, processes=processes)
    assert process.process.returncode == 64
    assert process.stderr().strip() and "Fatal" not in process.stderr()
    assert not process.log.events and not printed(process)


async def test_a_network_that_refuses_everything_is_status_69(processes, network, tmp_path: Path) -> None:
    refused = ["--tracker", "ws://127.0.0.1:9/", "--relay", "ws://127.0.0.1:9/gun", "--no-dht", "--no-lan"]
    process = JSONProcess("join-refused")
    processes.append(process)
    await process.start("join", "meadow", *refused, "--json", "--data", str(tmp_path / "x"))
    assert await process.exit_status(60) == 69
    assert len(process.stderr().strip().splitlines()) == 1


@pytest.mark.parametrize(
    "line",
    ["{", "[]", "7", "hello", '{"cmd":"fly"}', '{"cmd":"send"}', '{"cmd":"send","to":"nobody","text":"x"}', "[" * 100_000, "\x00"],
    ids=lambda line: repr(line[:16]),
)
async def test_bad_commands_are_answered_with_an_error_and_nothing_stops(
    supernode: Supernode, make_member: MakeMember, line: str
) -> None:
    alice, bob = [await make_member(supernode=supernode) for _ in range(2)]
    await all_meet([alice, bob])
    since = alice.log.mark()
    await alice.write_line(line)
    fields(await alice.log.wait("error", since=since), message=str)
    await alice.send(bob, "still here")
    await bob.message(alice, "still here")


async def test_the_chat_without_json_is_usable(supernode: Supernode, make_member: MakeMember, hosts, processes) -> None:
    alice = await make_member(supernode=supernode)
    chat = Member("chatter")
    processes.append(chat)
    await chat.start(
        "join", "meadow", "--name", "chatter", "--no-dht", "--no-lan", "--tracker", supernode.tracker, "--relay", supernode.gun,
        within=hosts[1].within,
    )
    peer = await alice.log.wait("peer", name="chatter", timeout=60)
    await chat.write_line("hello from a terminal")
    assert (await alice.log.wait("message", **{"from": peer["peer"]}))["text"] == "hello from a terminal"
    await alice.command(cmd="send", to=peer["peer"], text="hello back")
    await chat.write_line("/peers")
    await alice.log.wait("delivered", to=peer["peer"])
    await chat.log.until(lambda: b"hello back" in b"".join(chat.not_json), 30, "what alice said")
    await chat.write_line("/quit")
    assert await chat.exit_status(15) == 0
    assert printed(chat).count("alice") >= 2
    await alice.log.wait("left", peer=peer["peer"], timeout=60)


async def test_everything_printed_is_one_object_a_line(supernode: Supernode, make_member: MakeMember) -> None:
    alice, bob = [await make_member(supernode=supernode) for _ in range(2)]
    await all_meet([alice, bob])
    await bob.leave()
    assert not alice.not_json and not bob.not_json
    assert all("event" in event for event in alice.log.events + bob.log.events), json.dumps(alice.log.events)
