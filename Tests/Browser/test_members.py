"""Browsers are members: they meet, talk, lose the direct path, talk on, get it back, are loaded again; nothing is lost or doubled."""

from __future__ import annotations

import asyncio
import json
from typing import Protocol

from event_log import EventLog
from node import Member
from presence import is_killed_and_missed
from processes import ROOT
from tab import MakeNative, MakeTab, Tab

COUNT = 500


class Talker(Protocol):
    """A tab or a native member."""

    id: str
    name: str
    log: EventLog

    def texts_from(self, sender_id: str) -> list[str]: ...


async def send(sender: Tab | Member, receiver: Tab | Member, text: str) -> None:
    if isinstance(sender, Tab):
        await sender.send(receiver.id, text)
    else:
        await sender.send(receiver, text)


class Stream:
    """Numbered messages from one to another, in the background: 500 in six seconds, and then some more until all is done that is to be done meanwhile."""

    def __init__(self, sender: Tab | Member, receiver: Tab | Member) -> None:
        self._sender, self._receiver = sender, receiver
        self._texts: list[str] = []
        self._may_end = asyncio.Event()
        # Held while a message is on its way to the sender: whoever holds it can load the sender's page again.
        self.turn = asyncio.Lock()
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while len(self._texts) < COUNT or not self._may_end.is_set():
            async with self.turn:
                self._texts.append(f"{self._sender.name} to {self._receiver.name}: {len(self._texts)}")
                await send(self._sender, self._receiver, self._texts[-1])
            await asyncio.sleep(0.012 if len(self._texts) < COUNT else 0.1)

    async def flows(self, path: str) -> None:
        """Until something has come on that path from now on."""
        await self._receiver.log.wait("message", since=self._receiver.log.mark(), path=path, timeout=60, **{"from": self._sender.id})

    async def complete(self) -> None:
        """Ends it, and waits until all has come; then fails unless each came once, in order."""
        self._may_end.set()
        await self._task
        sender, receiver = self._sender, self._receiver
        await receiver.log.until(lambda: len(receiver.texts_from(sender.id)) >= len(self._texts), 60, f"{len(self._texts)} messages of {sender.name}")
        await asyncio.sleep(1)  # what comes twice comes late
        assert receiver.texts_from(sender.id) == self._texts


async def on_path(a: Tab | Member, b: Tab | Member, path: str, since: int = 0, timeout: float = 60) -> None:
    await a.log.wait(
        timeout=timeout,
        since=since,
        where=lambda e: e.get("event") in ("peer", "path") and e.get("peer") == b.id and e.get("path") == path,
    )


async def everything(a: Tab, b: Tab | Member) -> None:
    """500 messages each way while the connection is closed from outside, the direct path is blocked, comes back, and the page of `a` is loaded again."""
    await on_path(a, b, "direct")
    await on_path(b, a, "direct")
    streams = Stream(a, b), Stream(b, a)

    async def flow(path: str) -> None:
        await asyncio.gather(*(stream.flows(path) for stream in streams))

    await flow("direct")
    since = a.log.mark()
    await a.cut()
    await on_path(a, b, "direct", since)
    await flow("direct")
    since = a.log.mark()
    await a.block()
    await on_path(a, b, "relay", since)
    await flow("relay")
    since = a.log.mark()
    await a.unblock()
    await on_path(a, b, "direct", since)
    await flow("direct")
    before = a.id
    async with streams[0].turn, streams[1].turn:
        await a.again()
    assert a.id == before
    await asyncio.gather(*(stream.complete() for stream in streams))
    assert {event["path"] for event in b.log.matching("message", **{"from": a.id})} == {"direct", "relay"}


async def test_chromium_and_native_through_everything(chromium, make_tab: MakeTab, make_native: MakeNative) -> None:
    tab, native = await make_tab(chromium, "tab"), await make_native()
    await everything(tab, native)


async def test_two_tabs_of_chromium_through_everything(chromium, make_tab: MakeTab) -> None:
    a, b = await make_tab(chromium, "a"), await make_tab(chromium, "b")
    assert a.id != b.id, "two tabs of one browser are two members"
    await everything(a, b)


async def test_firefox_and_native_through_everything(firefox, make_tab: MakeTab, make_native: MakeNative) -> None:
    tab, native = await make_tab(firefox, "fox"), await make_native()
    await everything(tab, native)


async def test_firefox_and_chromium(firefox, chromium, make_tab: MakeTab) -> None:
    a, b = await make_tab(firefox, "fox"), await make_tab(chromium, "tab")
    await on_path(a, b, "direct")
    await send(a, b, "from fox")
    await send(b, a, "from tab")
    await b.log.wait("message", text="from fox", **{"from": a.id})
    await a.log.wait("message", text="from tab", **{"from": b.id})


async def test_they_talk_through_a_third_when_the_relay_is_gone(chromium, supernode, make_tab: MakeTab, make_native: MakeNative) -> None:
    """Two tabs that do not reach each other, and a native member that both reach; then a tab is the third."""
    a, native = await make_tab(chromium, "a"), await make_native()
    await on_path(a, native, "direct")
    with_native = await a.page.evaluate("connections.length")
    b = await make_tab(chromium, "b")
    for one, other in ((a, b), (b, a), (b, native), (native, b)):
        await on_path(one, other, "direct")
    await a.block(peer=b.id)
    await b.block(peer=a.id)
    since = a.log.mark(), b.log.mark()
    await supernode.kill()
    await on_path(a, b, "mesh", since[0])
    await on_path(b, a, "mesh", since[1])
    await asyncio.gather(*(stream.complete() for stream in (Stream(a, b), Stream(b, a))))
    assert not native.texts_from(a.id) and a.paths_from(b.id) == b.paths_from(a.id) == {"mesh"}

    # They reach each other again; their connection ends; what makes a new one goes through the third.
    since = a.log.mark(), b.log.mark()
    await a.unblock(peer=b.id)
    await b.unblock(peer=a.id)
    await on_path(a, b, "direct", since[0])
    await on_path(b, a, "direct", since[1])
    since = a.log.mark(), b.log.mark()
    await a.page.run(f"for (const connection of connections.splice({with_native})) connection.close()")
    await on_path(a, b, "mesh", since[0])
    await on_path(a, b, "direct", since[0])
    await on_path(b, a, "direct", since[1])

    # A browser passes on as well.
    since = a.log.mark(), native.log.mark()
    await a.block(peer=native.id)
    await native.block(a)  # type: ignore[arg-type]
    await on_path(a, native, "mesh", since[0])
    await on_path(native, a, "mesh", since[1])
    await send(a, native, "through a browser")
    await native.log.wait("message", text="through a browser", path="mesh", **{"from": a.id})


async def test_state_is_shared(chromium, make_tab: MakeTab, make_native: MakeNative) -> None:
    tab, native = await make_tab(chromium, "tab"), await make_native()
    await tab.session(native.id)
    await tab.page.run('globalThis.seen = {}; swarm.graph.get("board").on((key, value) => { seen[key] = value; })')
    await native.command(cmd="watch", soul="board")
    await native.command(cmd="put", soul="board", key="colour", value="red")
    await tab.page.run('swarm.graph.get("board").put({ size: 3 })')
    event = await native.log.wait("state", soul="board", key="size")
    assert event["value"] == 3
    await tab.log.until(lambda: bool(tab.log.matching("state", key="colour")), 60, "the state that native put")
    assert await tab.page.evaluate("seen") == {"colour": "red", "size": 3}


async def test_state_converges_with_no_relay_alive(chromium, supernode, make_tab: MakeTab, make_native: MakeNative) -> None:
    """Over the members' own connections: between two tabs, and between a tab and a native member, either way; then the relay is back, knowing nothing."""
    a, b, native = await make_tab(chromium, "a"), await make_tab(chromium, "b"), await make_native()
    for one, other in ((a, b), (b, a), (a, native), (native, a), (b, native), (native, b)):
        await on_path(one, other, "direct")
    for tab in (a, b):
        await tab.page.run('swarm.graph.get("board").on(() => {})')
    await native.command(cmd="watch", soul="board")
    await supernode.kill()
    await a.page.run('swarm.graph.get("board").put({ "from a": 1 })')
    await native.command(cmd="put", soul="board", key="from native", value=2)
    await b.page.run('swarm.graph.get("board").put({ "from b": 3 })')
    whole = {"from a": 1, "from native": 2, "from b": 3}
    for key in ("from a", "from b"):
        await native.log.wait("state", soul="board", key=key)
    for tab in (a, b):
        await tab.log.until(lambda tab=tab: {e["key"] for e in tab.log.matching("state", soul="board")} | {f"from {tab.name}"} == set(whole), 60, "all of it")
        assert await tab.page.evaluate('swarm.graph.get("board").value') == whole

    # A node of one's own is signed, and taken for that by native members.
    await native.command(cmd="watch", soul=f"~{a.id}")
    await a.page.run('swarm.graph.own.put({ status: "here" })')
    await native.log.wait("state", soul=f"~{a.id}", key="status")


async def have_prekeys(tab: Tab, native: Member) -> None:
    """Until each has the keys that mail to the other is sealed to. No event tells of it, but the tab keeps both kinds, and its own before it gives them."""
    keys = """new Promise((done) => {
      indexedDB.open("swarm-space").onsuccess = ({ target: { result: database } }) => {
        database.transaction("state").objectStore("state").getAllKeys().onsuccess = ({ target: { result } }) => (database.close(), done(result));
      };
    })"""
    async with asyncio.timeout(60):
        while not {"held", "prekey"} <= {key.split("/")[2] for key in await tab.page.evaluate(keys)}:
            await asyncio.sleep(0.1)
    # What it gives goes before what it says afterwards.
    await tab.send(native.id, "there you are")
    await native.message(tab, "there you are")  # type: ignore[arg-type]


async def test_mail_for_who_is_away(chromium, supernode, make_tab: MakeTab, make_native: MakeNative) -> None:
    """A tab and a native member that are never there at the same time, either way, while the relay is."""
    tab, native = await make_tab(chromium, "tab"), await make_native()
    await on_path(tab, native, "direct")
    await on_path(native, tab, "direct")
    await have_prekeys(tab, native)

    await native.leave()
    await tab.send(native.id, "from a tab, while you were away")
    await tab.log.wait("stored", to=native.id, timeout=60)
    await tab.page.open("about:blank")
    again = await native.again()
    make_native.processes.append(again)  # type: ignore[attr-defined]
    await again.log.wait("message", text="from a tab, while you were away", **{"from": tab.id})

    await again.command(cmd="send", to=tab.id, text="from a terminal, while you were away")
    await again.log.wait("stored", to=tab.id, timeout=60)
    await again.leave()
    await tab.again()
    await tab.log.wait("message", text="from a terminal, while you were away", **{"from": native.id})
    await tab.log.until(lambda: bool(tab.log.matching("delivered", to=native.id)), 60, "that the first was delivered")


async def test_the_page_cache_and_a_new_network(chromium, make_tab: MakeTab, make_native: MakeNative) -> None:
    """The browser puts the page away and brings it back: the same member, a new run; what was said meanwhile arrives. Then the network changes."""
    tab, native = await make_tab(chromium, "tab"), await make_native()
    await on_path(native, tab, "direct")
    since = native.log.mark()
    await tab.page.run('dispatchEvent(new PageTransitionEvent("pagehide", { persisted: true }))')
    await native.log.wait("left", since=since, peer=tab.id)
    since = native.log.mark()
    await send(native, tab, "while you were away")
    await tab.page.run('dispatchEvent(new PageTransitionEvent("pageshow", { persisted: true }))')
    await tab.log.wait("message", text="while you were away", **{"from": native.id})
    await on_path(native, tab, "direct", since)
    await tab.page.run('dispatchEvent(new Event("online"))')
    await send(tab, native, "from a new network")
    await native.log.wait("message", text="from a new network", **{"from": tab.id})
    await tab.log.until(lambda: bool(tab.log.matching("delivered", to=native.id)), 60, "its delivery")


async def test_who_is_killed_is_away_within_five_seconds(chromium, make_tab: MakeTab, make_native: MakeNative) -> None:
    tab, other, native = await make_tab(chromium, "tab"), await make_tab(chromium, "other"), await make_native()
    for member in (tab, other):
        await on_path(member, native, "direct")
    await on_path(tab, other, "direct")
    await is_killed_and_missed(native, (tab, other))
    assert await tab.page.evaluate(f"swarm.roster.find(({{ id }}) => id === {json.dumps(native.id)}).isAway")
    await tab.send(native.id, "when you are back")
    again = await native.again()
    make_native.processes.append(again)  # type: ignore[attr-defined]
    await again.log.wait("message", text="when you are back", **{"from": tab.id})
    # Another run: of the former it is told that it has left.
    await tab.log.wait("left", peer=native.id)


async def test_the_known_answers(chromium, firefox, supernode) -> None:
    """What Tests/SwarmEngineTests checks in Swift, in both browsers."""
    # The modules come from the supernode; the checks themselves are no part of it.
    for browser in (chromium, firefox):
        page = await browser.page()
        await page.open(f"{supernode.http}healthz")
        lanes, all_ = ((ROOT / "Web/tests" / name).read_text().replace('from "../', f'from "{supernode.http}') for name in ("lane-vectors.js", "vectors.js"))
        answers = {name: (ROOT / "Tests/SwarmEngineTests/Resources" / f"{name}.json").read_text() for name in ("lanes", "protocol")}
        count = await page.evaluate(
            "(async () => { const module = (source) => URL.createObjectURL(new Blob([source], { type: 'text/javascript' }));"
            f"const lanes = module({json.dumps(lanes)}); const {{ checkLanes }} = await import(lanes);"
            f"const {{ check, parse }} = await import(module({json.dumps(all_)}.replace('./lane-vectors.js', lanes)));"
            f"const answers = {json.dumps(answers)}; return [await check(parse(answers.protocol)), checkLanes(JSON.parse(answers.lanes))]; }})()"
        )
        assert count[0] > 100 and count[1] > 150
        await page.close()
