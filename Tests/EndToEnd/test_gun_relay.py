"""The relay at /gun, spoken to by a client that knows only GUN's wire protocol."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from node import Supernode
from websocket_client import Frame, JSONClient, now_ms, random_id


@pytest.fixture
async def open_client(supernode: Supernode) -> AsyncIterator[Any]:
    clients: list[JSONClient] = []

    async def make() -> JSONClient:
        client = await JSONClient.open(supernode.gun.replace("http", "ws", 1))
        clients.append(client)
        return client

    yield make
    for client in clients:
        await client.close()


def put(soul: str, state: float | None = None, **values: Any) -> Frame:
    state = now_ms() if state is None else state
    return {"#": random_id(), "put": {soul: {"_": {"#": soul, ">": dict.fromkeys(values, state)}, **values}}}


def get(soul: str, key: str | None = None) -> Frame:
    return {"#": random_id(), "get": {"#": soul} if key is None else {"#": soul, ".": key}}


def answers(message: Frame) -> Any:
    return lambda frame: frame.get("@") == message["#"]


def changes(soul: str, key: str) -> Any:
    return lambda frame: key in (frame.get("put") or {}).get(soul, {})


async def acknowledged(client: JSONClient, message: Frame) -> Frame:
    await client.send(message)
    return await client.next(answers(message))


async def read(client: JSONClient, soul: str, key: str | None = None) -> dict[str, Any]:
    """The node as the relay answers it; {} when it is not found."""
    question = get(soul, key)
    await client.send(question)
    node = ((await client.next(answers(question))).get("put") or {}).get(soul, {})
    return {name: value for name, value in node.items() if name != "_"}


async def test_it_greets_and_answers_a_greeting(open_client) -> None:
    client = await open_client()
    greeting = await client.next(lambda frame: frame.get("dam") == "?")
    assert isinstance(greeting["#"], str) and isinstance(greeting["pid"], str) and "@" not in greeting
    await client.send({"dam": "hi", "#": random_id()}, {"dam": "?", "pid": "abcdefghi", "#": (question := random_id())})
    answer = await client.next(lambda frame: frame.get("@") == question)
    assert answer["dam"] == "?" and answer["pid"] == greeting["pid"]


async def test_put_is_acknowledged_and_read_back(open_client) -> None:
    writer, reader = await open_client(), await open_client()
    values = {"text": "é\u0000🦊", "number": 1.5, "big": 1e21, "yes": True, "none": None, "link": {"#": "other"}}
    ack = await acknowledged(writer, put("room", **values))
    assert "err" not in ack and "ok" in ack
    assert await read(reader, "room") == values
    assert await read(reader, "room", "number") == {"number": 1.5}
    assert await read(reader, "nowhere") == {} and await read(reader, "room", "nothing") == {}


async def test_a_get_subscribes_to_what_comes_later(open_client) -> None:
    writer, whole, one = await open_client(), await open_client(), await open_client()
    assert await read(whole, "live") == {} and await read(one, "live", "a") == {}
    await acknowledged(writer, put("live", a=1, b=2))
    for key in "ab":
        assert (await whole.next(lambda f: (f.get("put") or {}).get("live", {}).get(key) is not None))["put"]["live"]["_"]["#"] == "live"
        whole.from_the_start()
    assert (await one.next(changes("live", "a")))["put"]["live"]["a"] == 1
    await acknowledged(writer, put("live", b=3))
    await one.nothing(changes("live", "b"))
    await acknowledged(writer, put("live", a=4))
    assert (await one.next(changes("live", "a")))["put"]["live"]["a"] == 4


async def test_conflicts_are_settled_by_state_then_by_text(open_client) -> None:
    client = await open_client()
    state = now_ms() - 10_000
    for value, at in (("b", state), ("a", state), ("old", state - 1)):
        await acknowledged(client, put("ham", at, key=value))
        assert await read(client, "ham", "key") == {"key": "b"}
    await acknowledged(client, put("ham", state, key="c"))
    assert await read(client, "ham", "key") == {"key": "c"}
    await acknowledged(client, put("ham", state + 1, key="a"))
    assert await read(client, "ham", "key") == {"key": "a"}


async def test_a_value_of_the_future_waits(open_client) -> None:
    writer, reader = await open_client(), await open_client()
    due = now_ms() + 3000
    await writer.send(put("soon", due, key="later"))
    assert await read(writer, "soon", "key") == await read(reader, "soon", "key") == {}
    # It is told to those who follow the soul, when its time has come.
    assert (await reader.next(changes("soon", "key")))["put"]["soon"]["key"] == "later"
    assert now_ms() >= due and await read(reader, "soon", "key") == {"key": "later"}


async def test_what_it_acknowledged_survives_a_kill(supernode: Supernode, processes) -> None:
    client = await JSONClient.open(supernode.gun.replace("http", "ws", 1))
    for number in range(50):
        assert "ok" in await acknowledged(client, put("kept", **{f"k{number}": number}))
    await supernode.kill()
    again = await supernode.again()
    processes.append(again)
    client = await JSONClient.open(again.gun.replace("http", "ws", 1))
    assert await read(client, "kept") == {f"k{number}": number for number in range(50)}
    await client.close()


async def test_batches_and_heartbeats_are_understood(open_client) -> None:
    client = await open_client()
    first, second, third = put("batch", a=1), put("batch", b=2), put("batch", c=3)
    await client.send_text("[]")
    await client.send([first, second, json.dumps(third)])
    for message in (first, second, third):
        assert "ok" in await client.next(answers(message))
        client.from_the_start()
    assert await read(client, "batch") == {"a": 1, "b": 2, "c": 3}


async def test_an_id_seen_before_is_dropped(open_client) -> None:
    client = await open_client()
    message = put("twice", a=1)
    await acknowledged(client, message)
    await client.send({**put("twice", a=2), "#": message["#"]})
    assert await read(client, "twice") == {"a": 1}


async def test_an_answer_goes_back_to_who_asked(open_client) -> None:
    asker, other = await open_client(), await open_client()
    message = put("rpc", question="?")
    await read(other, "rpc")
    await acknowledged(asker, message)
    heard = await other.next(changes("rpc", "question"))
    await other.send({"#": random_id(), "@": heard["#"], "ok": {"answer": 42}})
    assert (await asker.next(lambda f: isinstance(f.get("ok"), dict) and "answer" in f["ok"]))["@"] == message["#"]


MALFORMED = [
    "{",
    "]",
    "+1",
    "null",
    "[1,2,3]",
    '{"#":5,"get":5}',
    '{"#":"a","get":{"#":5}}',
    '{"#":"b","put":5}',
    '{"#":"c","put":[]}',
    '{"#":"d","put":{"s":5}}',
    '{"#":"e","put":{"s":{}}}',
    '{"#":"f","put":{"s":{"_":{"#":"t",">":{"a":1}},"a":1}}}',
    '{"#":"g","put":{"s":{"_":{"#":"s",">":{"a":"1"}},"a":1}}}',
    '{"#":"h","put":{"s":{"_":{"#":"s",">":{"a":1}},"a":[1]}}}',
    '{"#":"i","put":{"s":{"_":{"#":"s",">":{"a":1}},"a":{"b":1}}}}',
    '{"#":"j","put":{"":{"_":{"#":"",">":{"a":1}},"a":1}}}',
    '{"#":"k","put":{"__proto__":{"_":{"#":"__proto__",">":{"a":1}},"a":1}}}',
    '{"#":"l","@":"put","put":{"constructor":{"_":{"#":"constructor",">":{"a":1}},"a":1}}}',
    '{"#":"m","get":{"#":"constructor"}}',
    '{"dam":"constructor"}',
    '{"dam":"length","#":"n"}',
    '{"dam":"mob","mob":1,"peers":{"ws://10.77.0.1:9/gun":{}}}',
    '{"dam":"opt","opt":{"peers":"ws://10.77.0.1:9/gun"},"#":"o"}',
    "[" * 100_000,
    '{"a":' * 50_000,
    '{"#":"' + "x" * 100_000 + '","get":{"#":"s"}}',
    '{"#":"p","put":{"s":{"_":{"#":"s",">":{"a":1e999}},"a":1}}}',
    '{"#":"q","put":{"s":{"_":{"#":"s",">":{"a":1}},"a":1e999}}}',
]


@pytest.mark.parametrize("text", MALFORMED, ids=lambda text: text[:40])
async def test_malformed_messages_do_no_harm(open_client, text: str) -> None:
    sender, other = await open_client(), await open_client()
    await sender.send_text(text)
    assert "ok" in await acknowledged(other, put("alive", a=1))
    assert await read(other, "s") == {}


async def test_binary_and_oversize_frames_do_no_harm(open_client) -> None:
    other = await open_client()
    for frame in (b"\xff\xfe\x00", b"{}" * 1000, "x" * (64 << 20)):
        sender = await open_client()
        try:
            await sender.send_text(frame)
        except Exception as error:  # the server may close while we still send
            assert "close" in str(error).lower() or isinstance(error, ConnectionError), error
        assert "ok" in await acknowledged(other, put("alive", **{random_id(): 1}))


async def test_one_that_never_reads_is_not_waited_for(open_client, supernode: Supernode) -> None:
    """A subscriber that takes nothing does not hold up the writer, nor make the relay keep everything for it."""
    reader, writer = await asyncio.open_connection(*supernode.http.split("//")[1].rstrip("/").split(":"))
    writer.write(
        b"GET /gun HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    assert b" 101 " in await reader.readline()
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    text = json.dumps(get("busy")).encode()
    writer.write(bytes([0x81, 0x80 | len(text), 0, 0, 0, 0]) + text)
    client = await open_client()
    before = resident(supernode)
    for number in range(200):
        assert "ok" in await acknowledged(client, put("busy", **{f"k{number}": "x" * 50_000}))
    assert resident(supernode) - before < 100 << 20
    writer.close()


def resident(process: Supernode) -> int:
    """Bytes of memory that it holds."""
    with open(f"/proc/{process.process.pid}/statm") as file:
        return int(file.read().split()[1]) * 4096


UPGRADES = json.loads((Path(__file__).parent / "upgrade.json").read_text())["cases"]


@pytest.mark.parametrize("case", UPGRADES, ids=lambda case: case["name"])
async def test_upgrades_are_answered_as_recorded(supernode: Supernode, case: dict[str, Any]) -> None:
    """What a recorded relay answers at `/gun` ours does too; other paths are the tracker's, which does not greet."""
    reader, writer = await asyncio.open_connection(*supernode.http.split("//")[1].rstrip("/").split(":"))
    headers = ["Host: x", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="]
    if not any("version" in header.lower() for header in case["headers"]):
        headers.append("Sec-WebSocket-Version: 13")
    writer.write("\r\n".join([f"GET {case['path']} HTTP/1.1", *headers, *case["headers"], "", ""]).encode())
    head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)).decode().lower().split("\r\n")
    status = int(head[0].split()[1])
    if case["path"] != "/gun":
        assert case["status"] == "(no answer)" and status == 101
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.3)
    elif "101" in case["status"]:
        assert status == 101
        assert {header.lower() for header in case["answerHeaders"]} <= set(head)
        assert not any(line.startswith("sec-websocket-extensions") for line in head)
        # The greeting: a text frame, unmasked.
        assert (await asyncio.wait_for(reader.readexactly(2), 10))[0] == 0x81
    else:
        # Ours says which version it speaks (RFC 6455 section 4.4), and leaves the connection for another attempt.
        assert " 400 " in case["status"] and status == 426 and "sec-websocket-version: 13" in head
    writer.close()
