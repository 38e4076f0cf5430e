"""The page that `serve` gives, as people use it: with a keyboard, on a phone, in the dark."""

from __future__ import annotations

import gzip
import http.client
import json
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from chromium import Chromium
from networks import ADDRESS
from node import Supernode
from tab import MakeNative
from visitor import PHONE, Visitor

Come = Callable[..., Awaitable[Visitor]]


@pytest.fixture
async def come(chromium: Chromium, supernode: Supernode) -> AsyncIterator[Come]:
    """Visitors of the page; nothing on it may fail unnoticed."""
    visitors: list[Visitor] = []

    async def come(path: str = "", **looks: object) -> Visitor:
        visitor = await Visitor.come(chromium, supernode.http + path, **looks)  # type: ignore[arg-type]
        visitors.append(visitor)
        return visitor

    yield come
    faults = [fault for visitor in visitors for fault in visitor.page.faults]
    for visitor in visitors:
        await visitor.page.close()
    assert not faults


def get(supernode: Supernode, path: str, **headers: str) -> tuple[http.client.HTTPResponse, bytes]:
    connection = http.client.HTTPConnection(ADDRESS, supernode.port, timeout=60)
    connection.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response, body


async def test_files_come_compressed_and_are_not_sent_twice(supernode: Supernode) -> None:
    plain, text = get(supernode, "/")
    assert plain.status == 200 and plain.headers["Content-Type"] == "text/html; charset=utf-8" and b"<title>" in text
    policy = plain.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy
    packed, body = get(supernode, "/", Accept_Encoding="br;q=1, gzip")
    assert packed.headers["Content-Encoding"] == "gzip" and gzip.decompress(body) == text and len(body) < len(text)
    assert packed.headers["ETag"] != plain.headers["ETag"] and packed.headers["Vary"] == "Accept-Encoding"
    again, body = get(supernode, "/", Accept_Encoding="gzip", If_None_Match=packed.headers["ETag"])
    assert again.status == 304 and not body
    assert get(supernode, "/", Accept_Encoding="gzip;q=0")[0].headers["Content-Encoding"] is None
    for path, kind in (("/swarm-space.js", "text/javascript"), ("/page/style.css", "text/css"), ("/page/icon.svg", "image/svg+xml")):
        assert get(supernode, path)[0].headers["Content-Type"].startswith(kind)
    for path in ("/tests/vectors.js", "/package.json", "/../Package.swift", "/page/"):
        assert get(supernode, path)[0].status == 404, path


def path_to(bob: str, path: str) -> str:
    return f"swarm.peers.find(({{ id }}) => id === {json.dumps(bob)})?.path === '{path}'"


def moved_to(bob: str, path: str) -> str:
    """Whether the path to Bob is that now, and is shown: the timeline says so last, and it is the only one drawn like that."""
    told = "[...document.querySelectorAll('#timeline .what')].find(({ innerText }) => innerText.startsWith('Bob: '))"
    drawn = f"document.querySelectorAll('#drawing .link.{path}').length === 1"
    return f"{path_to(bob, path)} && {told}?.innerText.includes('→ {path}') && {drawn}"


async def test_two_tabs_and_a_terminal_talk(come: Come, supernode: Supernode, make_native: MakeNative) -> None:
    alice = await come()
    await alice.join("Alice", "parlour")
    link = await alice.page.evaluate("document.getElementById('link').value")
    magnet = link.split("#", 1)[1]
    bob = await come("#" + magnet)
    assert "parlour" in await bob.wait("document.getElementById('invited').textContent")
    await bob.join("Bob")
    terminal = await make_native("terminal", magnet=magnet)
    for visitor, other in ((alice, "Bob"), (bob, "Alice")):
        await visitor.wait(f"document.getElementById('members').innerText.includes({json.dumps(other)})")
        await visitor.wait("swarm.peers.length === 2 && swarm.peers.every(({ path }) => path === 'direct')")
    await alice.say("hello, all")
    await bob.wait("document.getElementById('log').innerText.includes('hello, all')")
    await terminal.log.wait("message", text="hello, all", timeout=60)
    await alice.wait("document.querySelector('#log .own').innerText.includes('delivered') && !document.querySelector('#log .own').innerText.includes('of')")
    await terminal.command(cmd="broadcast", text="from the terminal")
    await alice.wait("document.getElementById('log').innerText.includes('from the terminal')")

    # State that one sets is the other's, and a number stays one.
    await alice.page.run("document.getElementById('key').value = 'votes'; document.getElementById('value').value = '3'; document.getElementById('put').requestSubmit()")
    await bob.wait("document.getElementById('values').innerText.includes('votes')")
    assert await bob.page.evaluate("swarm.graph.get('parlour/board').value") == {"votes": 3}

    # What was said is there after a reload, once, and so is the member.
    before = await bob.page.evaluate("swarm.peerID")
    await bob.page.reload()
    await bob.wait("globalThis.swarm?.peerID")
    assert await bob.page.evaluate("swarm.peerID") == before
    assert (await bob.text("#log")).count("hello, all") == 1
    await bob.wait("document.getElementById('members').innerText.includes('Alice')")

    # A path that changes is told. Nobody could bring Bob and the terminal together later on, so they are by then.
    await bob.wait("swarm.peers.length === 2 && swarm.peers.every(({ path }) => path === 'direct')")
    await alice.wait(path_to(before, "direct"))
    await alice.page.run(f"swarm.block('direct', {json.dumps(before)})")
    await alice.wait(moved_to(before, "relay"))

    # With the supernode gone they talk on: Alice and Bob through the terminal.
    await supernode.kill()
    await alice.wait(moved_to(before, "mesh"))
    assert await alice.page.evaluate("swarm.peers.find(({ path }) => path === 'mesh').through") == terminal.id
    await alice.say("through the terminal")
    await bob.wait("document.getElementById('log').innerText.includes('through the terminal')")
    assert await alice.faults() == [] and await bob.faults() == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", [(1280, 860), PHONE], ids=["desktop", "phone"])
async def test_it_can_be_read_and_reached(come: Come, size: tuple[int, int], dark: bool) -> None:
    visitor = await come(size=size, dark=dark)
    assert await visitor.faults() == []
    order = []
    for _ in range(6):
        await visitor.press("Tab")
        order.append(await visitor.focused())
    assert order == ["skip", "brand", "nick", "invite", "SUMMARY", "primary"]
    await visitor.join("Alice", "quiet")
    assert await visitor.focused() == "text"
    assert await visitor.faults() == []
    for view in ("map", "members", "shared", "timeline", "chat") if size == PHONE else ():
        await visitor.click(f"[data-show={view}]")
        assert await visitor.page.evaluate(f"document.querySelector('[data-panel={view}]').checkVisibility()")
        assert await visitor.faults() == [], view
    await visitor.click("#share")
    assert await visitor.faults() == []
    await visitor.press("Escape")
    assert await visitor.page.evaluate("!document.getElementById('invitation').open")
    await visitor.click("#leave")
    await visitor.wait("document.body.dataset.stage === 'start'")


async def test_nothing_is_sent_as_a_form_before_the_page_is_there(come: Come, supernode: Supernode) -> None:
    visitor = await come("healthz")
    await visitor.page.command("Network.setBlockedURLs", urls=["*/app.js"])
    await visitor.page.open(supernode.http)
    await visitor.page.run("globalThis.sent = false; document.addEventListener('submit', () => { sent = true; })")
    for field in ("nick", "invite"):
        await visitor.focus(f"#{field}")
        await visitor.type("alice")
    await visitor.press("Enter")
    await visitor.click("#join button")
    assert await visitor.page.evaluate("sent") is False


async def test_what_is_no_invite_is_said(come: Come) -> None:
    visitor = await come("#magnet:?xt=urn:btih:short")
    await visitor.wait("document.getElementById('problem').textContent.includes('infohash')")


async def test_the_operators_view(come: Come, supernode: Supernode) -> None:
    """From elsewhere nobody sees it without a token; this supernode has none."""
    response, body = get(supernode, "/status.json")
    assert response.status == 403 and b"--status-token" in body
    visitor = await come("status")
    await visitor.wait("document.getElementById('why').textContent.includes('--status-token')")
    assert await visitor.faults() == []


@pytest.mark.parametrize("supernode", [["--status-token", "clover"]], indirect=True)
async def test_the_operators_view_with_a_token(come: Come, supernode: Supernode) -> None:
    assert get(supernode, "/status.json")[0].status == 401
    assert get(supernode, "/status.json", Authorization="Bearer daisy")[0].status == 401
    response, body = get(supernode, "/status.json", Authorization="Bearer clover")
    assert response.status == 200
    status = json.loads(body)
    assert {"uptime", "healthy", "now", "rates", "totals", "history", "talkers"} <= set(status)
    member = await come()
    await member.join("Alice", "busy")
    visitor = await come("status")
    await visitor.wait("!document.getElementById('login').hidden")
    await visitor.focus("#token")
    await visitor.type("daisy")
    await visitor.press("Enter")
    await visitor.wait("document.getElementById('problem').textContent.includes('not the token')")
    await visitor.page.run("document.getElementById('token').select()")
    await visitor.type("clover")
    await visitor.press("Enter")
    await visitor.wait("!document.getElementById('view').hidden")
    assert "healthy" in await visitor.text("#health")
    # The member's relay and tracker sockets are among the talkers.
    await visitor.wait("document.querySelectorAll('#talkers td:nth-child(2)').length >= 2")
    assert await visitor.faults() == []
