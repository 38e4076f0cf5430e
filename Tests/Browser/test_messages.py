"""Priorities, deadlines, messages in any order, requests and byte streams between a browser and a native member."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
from pathlib import Path

from tab import MakeNative, MakeTab, Tab
from test_members import on_path

SIZE = 4 << 20

# Bytes that both sides can make, and an account of those that come.
TOOLS = """
globalThis.numbered = (length) => {
  const bytes = new Uint8Array(length);
  for (let index = 0; index < length; index += 1) bytes[index] = index * 31 + (index >> 8);
  return bytes;
};
globalThis.digest = async (bytes) => [...new Uint8Array(await crypto.subtle.digest("SHA-256", bytes))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
globalThis.whole = async (readable) => new Uint8Array(await new Response(readable).arrayBuffer());
globalThis.say = (event) => report(JSON.stringify(event));
"""


def numbered(length: int) -> bytes:
    return bytes((index * 31 + (index >> 8)) & 255 for index in range(length))


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


async def pair(chromium, make_tab: MakeTab, make_native: MakeNative):
    tab, native = await make_tab(chromium, "tab"), await make_native()
    await on_path(tab, native, "direct")
    await on_path(native, tab, "direct")
    await tab.page.run(TOOLS)
    return tab, native


async def run(tab: Tab, body: str) -> object:
    return await tab.page.evaluate(f"(async () => {{ {body} }})()")


async def test_what_is_urgent_overtakes_a_large_message(chromium, make_tab: MakeTab, make_native: MakeNative) -> None:
    tab, native = await pair(chromium, make_tab, make_native)
    to = json.dumps(native.id)
    # From the browser: the large one is larger than what a browser took before it knew lanes.
    await run(
        tab,
        f"const sent = [swarm.send({to}, numbered(3 << 20), {{ priority: 'low' }}), swarm.send({to}, 'now', {{ priority: 'urgent' }})];"
        "for (const receipt of await Promise.all(sent)) receipt.outcome().then((outcome) => say({ event: 'outcome', number: receipt.number, outcome }));",
    )
    outcomes = await tab.log.first(2, 0, lambda e: e.get("event") == "outcome", 60, "both outcomes")
    assert [event["outcome"] for event in outcomes] == ["delivered", "delivered"]
    assert [event["number"] for event in outcomes] == [2, 1], "the urgent one is there first"
    came = await native.log.first(2, 0, lambda e: e.get("event") == "message" and e.get("from") == tab.id, 30, "both messages")
    assert [event.get("text") for event in came] == ["now", None]
    # And to it.
    large = "x" * (4 << 20)
    await native.command(cmd="send", to=tab.id, text=large, priority="low")
    await native.command(cmd="send", to=tab.id, text="now", priority="urgent")
    await tab.log.until(lambda: len(tab.texts_from(native.id)) == 2, 60, "both messages")
    assert tab.texts_from(native.id) == ["now", f"{len(large)} bytes"]


async def test_a_deadline_expires_and_tells_so(chromium, make_tab: MakeTab, make_native: MakeNative) -> None:
    tab, native = await pair(chromium, make_tab, make_native)
    await native.leave()
    await tab.log.wait("left", peer=native.id)
    late = await run(tab, f"globalThis.late = await swarm.send({json.dumps(native.id)}, 'late', {{ priority: 'high', deadline: Date.now() + 300 }}); return late.number;")
    await run(tab, f"await swarm.send({json.dumps(native.id)}, 'there', {{ priority: 'high', deadline: new Date(Date.now() + 60_000) }});")
    assert await run(tab, "return late.outcome();") == "expired"
    again = await native.again()
    make_native.processes.append(again)  # type: ignore[attr-defined]
    await again.log.wait("message", text="there", **{"from": tab.id})
    # The other way: nobody takes it in time.
    await tab.page.open("about:blank")
    await again.log.wait("left", peer=tab.id)
    await again.command(cmd="send", to=tab.id, text="too late for you", priority="high", deadline_ms=300)
    await again.log.wait("expired", to=tab.id)
    await tab.again()
    await again.command(cmd="send", to=tab.id, text="in time", priority="high", deadline_ms=60_000)
    await tab.log.wait("message", text="in time", **{"from": native.id})
    assert again.texts_from(tab.id) == ["there"] and tab.texts_from(native.id) == ["in time"]
    assert [event["sequence"] for event in tab.log.matching("expired")] == [late]


async def test_messages_without_order_arrive_once(chromium, make_tab: MakeTab, make_native: MakeNative) -> None:
    """Through a blocked direct path and back, with large ones among them."""
    tab, native = await pair(chromium, make_tab, make_native)
    texts = [f"{number} {'x' * (30_000 if number % 20 == 0 else 5)}" for number in range(120)]

    async def from_tab() -> None:
        for text in texts:
            await run(tab, f"await swarm.send({json.dumps(native.id)}, {json.dumps(text)}, {{ ordered: false }});")

    async def from_native() -> None:
        for text in texts:
            await native.command(cmd="send", to=tab.id, text=text, ordered=False)
            await asyncio.sleep(0.02)

    since = tab.log.mark()
    sending = asyncio.gather(from_tab(), from_native())
    await tab.block()
    await on_path(tab, native, "relay", since)
    await asyncio.sleep(1)
    await tab.unblock()
    await sending
    await on_path(tab, native, "direct", since)
    for one, other in ((tab, native), (native, tab)):
        await other.log.until(lambda one=one, other=other: len(other.texts_from(one.id)) >= len(texts), 60, f"all of {one.name}")
    await asyncio.sleep(1)  # what comes twice comes late
    for one, other in ((tab, native), (native, tab)):
        assert sorted(other.texts_from(one.id)) == sorted(texts)


async def test_byte_streams_each_way_across_a_closed_connection(chromium, make_tab: MakeTab, make_native: MakeNative, tmp_path: Path) -> None:
    tab, native = await pair(chromium, make_tab, make_native)
    content = numbered(SIZE)
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(content)
    await native.command(cmd="accept", name="up", file=str(target))
    await native.taken()
    await run(
        tab,
        "swarm.acceptStreams('down', async (stream) => { const bytes = await whole(stream.readable); say({ event: 'down', length: bytes.length, digest: await digest(bytes) }); });"
        f"const stream = globalThis.up = await swarm.openStream({json.dumps(native.id)}, {{ name: 'up' }});"
        f"const bytes = numbered({SIZE});"
        "(async () => { const writer = stream.writable.getWriter();"
        "for (let at = 0; at < bytes.length; at += 65_536) { await writer.write(bytes.subarray(at, at + 65_536)); if (at % (1 << 20) === 0) say({ event: 'wrote', at }); }"
        "await writer.close(); say({ event: 'up', ...stream.progress }); })();",
    )
    await native.command(cmd="stream", to=tab.id, name="down", file=str(source))
    await tab.log.wait("wrote", timeout=30)
    await tab.cut()
    up = await tab.log.wait("up", timeout=60)
    assert up["acknowledged"] == SIZE
    down = await tab.log.wait("down", timeout=60)
    assert (down["length"], down["digest"]) == (SIZE, sha256(content))
    await native.log.wait("stream", timeout=60, name="up", state="received", bytes=SIZE)
    await native.log.wait("stream", timeout=60, name="down", state="sent", bytes=SIZE)
    assert sha256(target.read_bytes()) == sha256(content)

    # Nobody takes streams of another name, on either side.
    assert await run(tab, f"return (await swarm.openStream({json.dumps(native.id)}, {{ name: 'other' }})).drained().catch(({{ code }}) => code);") == 1
    await native.command(cmd="stream", to=tab.id, name="other", file=str(source))
    await native.log.wait("stream", timeout=30, name="other", state="reset")


async def test_requests_with_time_limits_and_cancellation_both_ways(chromium, make_tab: MakeTab, make_native: MakeNative) -> None:
    tab, native = await pair(chromium, make_tab, make_native)
    to = json.dumps(native.id)
    for action in ("echo", "slow"):
        await native.command(cmd="handle", action=action)
    await native.taken()
    await run(tab, f"swarm.request({to}, 'echo', 'hello').then((answer) => say({{ event: 'answer', text: answer.text }}));")
    request = await native.log.wait("request", action="echo", text="hello", **{"from": tab.id})
    await native.command(cmd="respond", id=request["id"], text="hello yourself")
    await tab.log.wait("answer", text="hello yourself")
    assert await run(tab, f"return swarm.request({to}, 'what').catch(({{ code }}) => code);") == "unknownAction"

    # Time limit and cancellation reach the native member.
    assert await run(tab, f"return swarm.request({to}, 'slow', '', {{ timeout: 300 }}).catch(({{ code }}) => code);") == "timedOut"
    late = await native.log.wait("request", action="slow")
    await native.log.wait("cancelled", id=late["id"])
    since = native.log.mark()
    await run(tab, f"globalThis.controller = new AbortController(); swarm.request({to}, 'slow', '', controller).catch(({{ name }}) => say({{ event: 'aborted', name }}));")
    unwanted = await native.log.wait("request", since=since, action="slow")
    await run(tab, "controller.abort();")
    await tab.log.wait("aborted", name="AbortError")
    await native.log.wait("cancelled", id=unwanted["id"])

    # And the browser.
    await run(
        tab,
        "swarm.handle('double', (payload) => payload.text + payload.text); swarm.handle('broken', () => { throw new Error('no'); });"
        "swarm.handle('slow', (_, peer, { signal }) => new Promise((done) => { say({ event: 'asked', peer }); signal.onabort = () => { say({ event: 'told' }); done(); }; }));",
    )
    await native.command(cmd="request", to=tab.id, action="double", text="ab")
    await native.log.wait("response", action="double", text="abab")
    await native.command(cmd="request", to=tab.id, action="broken", text="")
    assert "no" in (await native.log.wait("response", action="broken"))["error"]
    await native.command(cmd="request", to=tab.id, action="slow", text="", timeout_ms=300)
    await tab.log.wait("asked", peer=native.id)
    assert "timedOut" in (await native.log.wait("response", action="slow"))["error"]
    await tab.log.wait("told")


async def test_a_reload_amid_messages_of_all_lanes(chromium, make_tab: MakeTab, make_native: MakeNative) -> None:
    """What waits in every lane when the tab is loaded again goes out, once, in the order of its lane; so does what waits for the tab."""
    tab, native = await pair(chromium, make_tab, make_native)
    lanes = [(priority, ordered) for priority in ("low", "normal", "high", "urgent") for ordered in (True, False)]
    # Some arrive, some wait: nothing brings them meanwhile.
    for path in ("direct", "relay"):
        await tab.block(path)
    sent: dict[str, list[str]] = {"tab": [], "native": []}

    async def say(count: int) -> None:
        options = [random.Random(len(sent["tab"]) + number).choice(lanes) for number in range(count)]
        plan = [(f"{len(sent['tab']) + number} {priority} {ordered} {'x' * (20_000 if number % 7 == 0 else 3)}", priority, ordered) for number, (priority, ordered) in enumerate(options)]
        await run(tab, f"for (const [text, priority, ordered] of {json.dumps(plan)}) await swarm.send({json.dumps(native.id)}, text, {{ priority, ordered }});")
        for text, priority, ordered in plan:
            await native.command(cmd="send", to=tab.id, text=text, priority=priority, ordered=ordered)
            for side in sent.values():
                side.append(text)

    await say(40)
    for path in ("direct", "relay"):
        await tab.unblock(path)
    await say(40)
    before = tab.id
    await tab.again()
    assert tab.id == before
    await tab.page.run(TOOLS)
    await tab.session(native.id)
    await say(40)
    for one, other in ((tab, native), (native, tab)):
        await other.log.until(lambda one=one, other=other: len(other.texts_from(one.id)) >= 120, 90, f"all of {one.name}")
    await asyncio.sleep(1)  # what comes twice comes late
    for one, other in ((tab, native), (native, tab)):
        came = other.texts_from(one.id)
        assert sorted(came) == sorted(sent[one.name])
        for priority, ordered in lanes:
            if ordered:
                numbers = [int(text.split()[0]) for text in came if text.split()[1:3] == [priority, "True"]]
                assert numbers == sorted(numbers), (one.name, priority)
    assert await run(tab, "for (let tries = 0; swarm.peers[0].backlog && tries < 100; tries += 1) await new Promise((done) => setTimeout(done, 50)); return swarm.peers[0].backlog;") == 0
