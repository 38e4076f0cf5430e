"""The pictures of docs/images, taken anew: SWARM_PICTURES=docs/images pytest … -k pictures. Else they are not taken."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import pytest
from chromium import Chromium
from node import Supernode
from tab import MakeNative
from visitor import PHONE, Visitor

FOLDER = os.environ.get("SWARM_PICTURES")
LARGEST = 200 << 10

TALK = [("Alice", "Morning! I am on the train, so this goes by the relay in tunnels."), ("Bob", "Works fine here. Who is bringing the map?")]


@pytest.mark.skipif(not FOLDER, reason="SWARM_PICTURES names no folder")
@pytest.mark.parametrize("supernode", [["--status-token", "clover"]], indirect=True)
async def test_pictures(chromium: Chromium, supernode: Supernode, make_native: MakeNative, processes) -> None:
    folder = Path(str(FOLDER))
    folder.mkdir(parents=True, exist_ok=True)

    async def keep(visitor: Visitor, name: str) -> None:
        await asyncio.sleep(0.3)
        picture = await visitor.picture()
        assert len(picture) <= LARGEST, f"{name}: {len(picture)} bytes"
        (folder / f"{name}.png").write_bytes(picture)

    alice = await Visitor.come(chromium, supernode.http)
    await alice.focus("#nick")
    await alice.type("Alice")
    await alice.focus("#invite")
    await alice.type("meadow")
    await keep(alice, "start")
    await alice.press("Enter")
    await alice.wait("document.body.dataset.stage === 'swarm'")
    magnet = (await alice.page.evaluate("document.getElementById('link').value")).split("#", 1)[1]
    others = {}
    for name in ("Bob", "Carol"):
        others[name] = await Visitor.come(chromium, f"{supernode.http}#{magnet}")
        await others[name].join(name)
    for name in ("dave", "erin"):
        await make_native(name, magnet=magnet)
    await alice.wait("swarm.peers.length === 4 && swarm.peers.every(({ path, rtt }) => path === 'direct' && rtt !== null)", 60)
    await alice.page.run("globalThis.erin = swarm.peers.find(({ name }) => name === 'erin').id; swarm.block('direct', erin)")
    await alice.wait("swarm.peers.some(({ path }) => path === 'relay')")
    await alice.page.run("const bob = swarm.peers.find(({ name }) => name === 'Bob').id; swarm.block('direct', bob); swarm.block('relay', bob)")
    await alice.wait("swarm.peers.some(({ path, through }) => path === 'mesh' && through)")
    for name, text in TALK:
        await (alice if name == "Alice" else others[name]).say(text)
        await asyncio.sleep(0.4)
    dave = next(p for p in processes if p.name == "dave")
    await dave.command(cmd="broadcast", text="dave here, in a terminal: I have it. See the shared state.")
    await alice.wait("document.getElementById('log').innerText.includes('dave here')")
    for key, value in (("meeting", "10:30 at the gate"), ("map", "dave"), ("votes for the lake", "3")):
        await others["Carol"].page.run(
            f"document.getElementById('key').value = {json.dumps(key)}; document.getElementById('value').value = {json.dumps(value)};"
            "document.getElementById('put').requestSubmit()"
        )
    await others["Carol"].say("Perfect. I voted for the lake.")
    await alice.wait("document.getElementById('values').innerText.includes('lake') && document.getElementById('log').innerText.includes('Perfect')")
    await asyncio.sleep(1)
    await alice.page.run("document.activeElement.blur()")
    await alice.say("Then the lake it is.")
    await asyncio.sleep(0.05)
    await keep(alice, "swarm")
    await alice.see((1280, 860), dark=True)
    await keep(alice, "swarm-dark")
    await alice.see(PHONE)
    await keep(alice, "chat-phone")
    await alice.click("[data-show=map]")
    await keep(alice, "swarm-phone")

    operator = await Visitor.come(chromium, f"{supernode.http}status")
    await operator.wait("!document.getElementById('login').hidden")
    await operator.focus("#token")
    await operator.type("clover")
    await operator.press("Enter")
    await operator.wait("!document.getElementById('view').hidden")
    assert await operator.faults() == []
    for number in range(12):
        await alice.page.run(f"swarm.broadcast('a message of some length, number {number} ' + 'x'.repeat({number} * 300))")
        await asyncio.sleep(2)
    await asyncio.sleep(4)
    await operator.see((1280, 1000))
    await keep(operator, "status")
    await operator.see(PHONE)
    await keep(operator, "status-phone")
    assert await operator.faults() == []
