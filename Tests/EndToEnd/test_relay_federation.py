"""Relays that are given to each other by `serve --peer`, as processes."""

from __future__ import annotations

import asyncio
import urllib.request
from pathlib import Path

import pytest
from networks import ADDRESS
from node import Supernode
from test_gun_relay import changes, get, put, read
from websocket_client import JSONClient


async def client_of(supernode: Supernode) -> JSONClient:
    return await JSONClient.open(supernode.gun.replace("http", "ws", 1))


async def metric(supernode: Supernode, name: str) -> float:
    text = await asyncio.to_thread(lambda: urllib.request.urlopen(supernode.http + "metrics", timeout=30).read().decode())
    return float(next(line for line in text.splitlines() if line.startswith(f"swarm_{name} ")).split()[1])


async def linked(supernode: Supernode, count: int, timeout: float = 60) -> None:
    async with asyncio.timeout(timeout):
        while await metric(supernode, "gun_peers_linked") < count:
            await asyncio.sleep(0.1)


@pytest.fixture
async def ring(make_supernode, processes, tmp_path: Path) -> list[Supernode]:
    """Three relays, each of which dials the next."""
    first = await make_supernode(name="first")
    second = await make_supernode("--peer", first.gun, name="second")
    third = await make_supernode("--peer", second.gun, name="third")
    await first.kill()
    again = Supernode(ADDRESS, tmp_path / "first", "--peer", third.gun, name="first")
    again.port = first.port
    processes.append(again)
    await again.serve()
    for relay in (again, second, third):
        await linked(relay, 1, timeout=30)
    return [again, second, third]


async def test_a_put_reaches_subscribers_at_every_relay_once(ring) -> None:
    clients = [await client_of(relay) for relay in ring]
    for client in clients:
        assert await read(client, "live") == {}
    await asyncio.sleep(0.5)
    for number, writer in enumerate(clients):
        message = put("live", **{f"k{number}": number})
        await writer.send(message)
        assert "ok" in await writer.next(lambda frame: frame.get("@") == message["#"])
        for client in clients:
            if client is not writer:
                assert (await client.next(changes("live", f"k{number}")))["put"]["live"][f"k{number}"] == number
                await client.nothing(changes("live", f"k{number}"), 0.3)
            client.from_the_start()
            client.received.clear()
    # No storm: once the values have gone round, nothing moves any more.
    before = [await metric(relay, "gun_frames_received_total") for relay in ring]
    await asyncio.sleep(1.5)
    after = [await metric(relay, "gun_frames_received_total") for relay in ring]
    assert sum(after) - sum(before) <= 3, (before, after)
    for client in clients:
        await client.close()


async def test_what_was_written_apart_comes_together(make_supernode, processes) -> None:
    """One relay is killed; both sides are written to, one of them restarted; then they hold the same."""
    hub = await make_supernode(name="hub")
    leaf = await make_supernode("--peer", hub.gun, name="leaf")
    await linked(leaf, 1)
    at_leaf = await client_of(leaf)
    await read(at_leaf, "both")
    await hub.kill()
    message = put("both", **{f"leaf{number}": number for number in range(50)})
    await at_leaf.send(message)
    assert "ok" in await at_leaf.next(lambda frame: frame.get("@") == message["#"])
    await at_leaf.close()
    # The leaf forgets what it has in memory: what it owes is on its disk.
    await leaf.kill()
    leaf = await leaf.again()
    processes.append(leaf)
    hub = await hub.again()
    processes.append(hub)
    at_hub = await client_of(hub)
    message = put("both", **{f"hub{number}": number for number in range(50)})
    await at_hub.send(message)
    assert "ok" in await at_hub.next(lambda frame: frame.get("@") == message["#"])
    await linked(leaf, 1, timeout=30)
    at_leaf = await client_of(leaf)
    await at_leaf.send(get("both"))
    expected = {f"{side}{number}": number for side in ("leaf", "hub") for number in range(50)}
    async with asyncio.timeout(60):
        while await read(at_hub, "both") != expected or await read(at_leaf, "both") != expected:
            await asyncio.sleep(0.2)
    await at_hub.close()
    await at_leaf.close()
