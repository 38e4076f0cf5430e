"""The tracker, spoken to by a client that knows only the WebTorrent tracker protocol."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from typing import Any

import pytest
from node import Supernode
from websocket_client import Frame, JSONClient


def binary(length: int = 20) -> str:
    """Random bytes as the protocol writes them: one character, U+0000 to U+00FF, for each."""
    return secrets.token_bytes(length).decode("latin-1")


@pytest.fixture
async def open_client(supernode: Supernode) -> AsyncIterator[Any]:
    clients: list[JSONClient] = []

    async def make(path: str = "") -> JSONClient:
        client = await JSONClient.open(supernode.tracker.rstrip("/") + path)
        clients.append(client)
        return client

    yield make
    for client in clients:
        await client.close()


def announce(swarm: str, peer: str, offers: int = 0, **more: Any) -> Frame:
    frame: Frame = {
        "action": "announce",
        "info_hash": swarm,
        "peer_id": peer,
        "numwant": offers,
        "uploaded": 0,
        "downloaded": 0,
        "left": 1,
        "offers": [{"offer_id": binary(), "offer": {"type": "offer", "sdp": f"sdp {n} \u00e9"}} for n in range(offers)],
        **more,
    }
    return {name: value for name, value in frame.items() if value is not None}


def reply(frame: Frame) -> bool:
    return frame.get("action") == "announce" and "interval" in frame


def offered(frame: Frame) -> bool:
    return "offer" in frame


def answered(frame: Frame) -> bool:
    return "answer" in frame


async def announced(client: JSONClient, frame: Frame) -> Frame:
    await client.send(frame)
    return await client.next(reply)


async def test_an_announce_is_answered_with_interval_and_counts(open_client) -> None:
    swarm = binary()
    first, second = await open_client(), await open_client("/announce")
    answer = await announced(first, announce(swarm, binary(), event="started"))
    assert answer["info_hash"] == swarm
    assert 5 <= answer["interval"] <= 3600
    assert (answer["complete"], answer["incomplete"]) == (0, 1)
    answer = await announced(second, announce(swarm, binary(), event="started", left=0))
    assert (answer["complete"], answer["incomplete"]) == (1, 1)


async def test_an_offer_goes_to_one_other_and_its_answer_back(open_client) -> None:
    swarm = binary()
    (alice, a), (bob, b) = (await open_client(), binary()), (await open_client(), binary())
    await announced(alice, announce(swarm, a, event="started"))
    frame = announce(swarm, b, offers=5, event="started")
    await announced(bob, frame)
    offer = await alice.next(offered)
    assert offer["info_hash"] == swarm and offer["peer_id"] == b and "to_peer_id" not in offer
    assert offer["offer_id"] in [o["offer_id"] for o in frame["offers"]]
    assert offer["offer"] in [o["offer"] for o in frame["offers"]]
    await alice.nothing(offered)  # one other peer, so one offer
    answer = {"type": "answer", "sdp": "sdp answer"}
    await alice.send(
        {"action": "announce", "info_hash": swarm, "peer_id": a, "to_peer_id": b, "offer_id": offer["offer_id"], "answer": answer}
    )
    got = await bob.next(answered)
    assert {name: got[name] for name in ("action", "info_hash", "peer_id", "offer_id", "answer")} == {
        "action": "announce",
        "info_hash": swarm,
        "peer_id": a,
        "offer_id": offer["offer_id"],
        "answer": answer,
    }
    assert "to_peer_id" not in got


async def test_each_of_many_gets_one_offer_and_the_sender_none(open_client) -> None:
    swarm = binary()
    others = [await open_client() for _ in range(5)]
    for client in others:
        await announced(client, announce(swarm, binary(), event="started"))
    sender = await open_client()
    await announced(sender, announce(swarm, binary(), offers=5, event="started"))
    identifiers = {(await client.next(offered))["offer_id"] for client in others}
    assert len(identifiers) == 5
    await sender.nothing(offered)


async def test_swarms_are_apart_and_one_socket_may_be_in_many(open_client) -> None:
    one, two, peer = binary(), binary(), binary()
    both, other = await open_client(), await open_client()
    await announced(both, announce(one, peer, event="started"))
    await announced(both, announce(two, peer, event="started"))
    await announced(other, announce(two, binary(), offers=2, event="started"))
    assert (await both.next(offered))["info_hash"] == two
    await both.nothing(offered)


async def test_escaped_and_plain_bytes_are_the_same_swarm(open_client) -> None:
    swarm = bytes(range(0xF0, 0x100)).decode("latin-1") + "\r\n\u00e9e"
    first, second = await open_client(), await open_client()
    await announced(first, announce(swarm, binary(), event="started"))
    import json

    await second.send_text(json.dumps(announce(swarm, binary(), event="started"), ensure_ascii=False))
    assert (await second.next(reply))["incomplete"] == 2


async def test_scrape_counts_the_asked_and_refuses_all(open_client) -> None:
    swarm, empty = binary(), binary()
    client = await open_client()
    await announced(client, announce(swarm, binary(), event="started"))
    await client.send({"action": "scrape", "info_hash": swarm})
    files = (await client.next(lambda f: f.get("action") == "scrape"))["files"]
    assert set(files) == {swarm} and files[swarm]["incomplete"] == 1 and files[swarm]["complete"] == 0
    await client.send({"action": "scrape", "info_hash": [swarm, empty]})
    files = (await client.next(lambda f: f.get("action") == "scrape"))["files"]
    assert files[swarm]["incomplete"] == 1 and files.get(empty, {"incomplete": 0})["incomplete"] == 0
    await client.send({"action": "scrape"})
    assert "files" not in await client.next(lambda f: "failure reason" in f or f.get("action") == "scrape")


@pytest.mark.parametrize("how", ["stopped", "close"])
async def test_one_who_leaves_gets_no_more_offers(open_client, how: str) -> None:
    swarm, peer = binary(), binary()
    leaver, stayer = await open_client(), await open_client()
    await announced(leaver, announce(swarm, peer, event="started"))
    if how == "stopped":
        await leaver.send(announce(swarm, peer, event="stopped"))
    else:
        await leaver.close()
    answer = await announced(stayer, announce(swarm, binary(), offers=3, event="started"))
    if answer["incomplete"] != 1:  # the close may still be on its way
        answer = await announced(stayer, announce(swarm, binary(), offers=3))
    assert answer["incomplete"] <= 2
    if how == "stopped":
        await leaver.nothing(offered)


async def test_nobody_speaks_for_a_peer_on_another_socket(open_client) -> None:
    swarm, a, b, c = binary(), binary(), binary(), binary()
    alice, bob, mallory = [await open_client() for _ in range(3)]
    await announced(alice, announce(swarm, a, event="started"))
    await mallory.send(announce(swarm, a, event="stopped"))
    await mallory.send(announce(swarm, a, event="started"))
    answer = await announced(bob, announce(swarm, b, offers=1, event="started"))
    assert answer["incomplete"] == 2
    offer = await alice.next(offered)
    # An answer from one who did not get the offer, then a second one to the same offer.
    forged = {"action": "announce", "info_hash": swarm, "peer_id": c, "to_peer_id": b, "offer_id": offer["offer_id"]}
    await mallory.send(announce(swarm, c, event="started"))
    await mallory.send({**forged, "answer": {"type": "answer", "sdp": "forged"}})
    await bob.nothing(answered)
    for sdp in ("right", "again"):
        await alice.send({**forged, "peer_id": a, "answer": {"type": "answer", "sdp": sdp}})
    assert (await bob.next(answered))["answer"]["sdp"] == "right"
    await bob.nothing(answered)


MALFORMED = [
    "{",
    "[]",
    "null",
    "7",
    "{}",
    '{"action":"fly"}',
    '{"action":"announce"}',
    '{"action":"announce","info_hash":5,"peer_id":5}',
    '{"action":"announce","info_hash":"short","peer_id":"short"}',
    '{"action":"announce","info_hash":"aaaaaaaaaaaaaaaaaaaa","peer_id":"bbbbbbbbbbbbbbbbbbbb","offers":[null]}',
    '{"action":"announce","info_hash":"aaaaaaaaaaaaaaaaaaaa","peer_id":"bbbbbbbbbbbbbbbbbbbb","offers":{"a":1}}',
    '{"action":"announce","info_hash":"aaaaaaaaaaaaaaaaaaaa","peer_id":"bbbbbbbbbbbbbbbbbbbb","offers":[{"offer_id":5,"offer":5}]}',
    '{"action":"announce","info_hash":"aaaaaaaaaaaaaaaaaaaa","peer_id":"bbbbbbbbbbbbbbbbbbbb","answer":5,"to_peer_id":5,"offer_id":5}',
    '{"action":"announce","info_hash":"aaaaaaaaaaaaaaaaaaaa","peer_id":"bbbbbbbbbbbbbbbbbbbb","numwant":1e308,"left":-1,"event":"fly"}',
    '{"action":"announce","info_hash":"\u0100aaaaaaaaaaaaaaaaaaa","peer_id":"bbbbbbbbbbbbbbbbbbbb"}',
    '{"action":"announce","info_hash":"\\ud800aaaaaaaaaaaaaaaaaaa","peer_id":"bbbbbbbbbbbbbbbbbbbb"}',
    '{"action":"scrape","info_hash":5}',
    '{"action":"scrape","info_hash":[5,null]}',
    "[" * 60_000,
    '{"action":"announce","x":"' + "x" * 2_000_000 + '"}',
]


@pytest.mark.parametrize("text", MALFORMED, ids=lambda text: text[:100][-40:])
async def test_malformed_messages_do_no_harm(open_client, text: str) -> None:
    swarm = "a" * 20
    sender, other = await open_client(), await open_client()
    await announced(other, announce(swarm, "c" * 20, event="started"))
    await sender.send_text(text)
    assert (await announced(other, announce(swarm, "c" * 20)))["info_hash"] == swarm
