"""A member in a tab of a browser: the same questions as to `swarm-space join --json`."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Awaitable, Callable
from typing import Any

from browser import Page
from event_log import EventLog
from node import Member

# Each peer connection that a page makes, so that a test can cut it from outside.
COLLECT_CONNECTIONS = """
globalThis.connections = [];
globalThis.RTCPeerConnection = class extends globalThis.RTCPeerConnection {
  constructor(...parts) { super(...parts); connections.push(this); }
};
"""

JOIN = """
const { join } = await import("/swarm-space.js");
const swarm = globalThis.swarm = await join(MAGNET, OPTIONS);
const say = (event) => report(JSON.stringify(event, (_, value) => typeof value === "bigint" ? String(value) : value));
say({ event: "joined", self: swarm.peerID });
swarm.on(({ type, message, ...rest }) => { if (type !== "message") say({ event: type, ...rest, message }); });
// What a page took and reported just before it went away may not have reached the test: the next page reports it again.
const prefix = `taken/${swarm.peerID}/`;
const takenBefore = Object.keys(localStorage).filter((key) => key.startsWith(prefix)).map((key) => JSON.parse(localStorage[key]));
for (const event of takenBefore.sort((a, b) => a.place - b.place)) say({ ...event, isRepeated: true });
(async () => {
  for await (const { from, text, bytes, path, sequence, id } of swarm.messages) {
    if (localStorage[prefix + id]) continue;
    const event = { event: "message", from, text: bytes.length > 1_000_000 ? `${bytes.length} bytes` : text, path, seq: sequence, id, place: localStorage.length };
    localStorage[prefix + id] = JSON.stringify(event);
    say(event);
  }
})();
"""


class Tab:
    id: str

    def __init__(self, page: Page, origin: str, name: str) -> None:
        self.page, self.name = page, name
        self._origin = origin
        self.log = EventLog(name)
        self._taken: set[str] = set()
        page.on_report = self._report

    def _report(self, text: str) -> None:
        event = json.loads(text)
        if event["event"] == "message":
            if event.get("isRepeated") and event["id"] in self._taken:
                return
            self._taken.add(event["id"])
        self.log.append(event)

    async def join(self, magnet: str, **options: Any) -> None:
        self._join = JOIN.replace("MAGNET", json.dumps(magnet)).replace("OPTIONS", json.dumps({"name": self.name, **options}))
        await self.page.before_each(COLLECT_CONNECTIONS)
        await self.again()

    async def again(self) -> None:
        """Loads the page (again), and joins (again)."""
        since = self.log.mark()
        await self.page.open(f"{self._origin}healthz")  # of the right origin, and empty
        await self.page.evaluate(f"(async () => {{ {self._join} }})()")
        joined = await self.log.wait("joined", since=since, timeout=60)
        self.id = joined["self"]

    async def session(self, other_id: str, *, timeout: float = 60) -> None:
        await self.log.wait("peer", peer=other_id, timeout=timeout)

    async def path(self, other_id: str, path: str, *, since: int = 0, timeout: float = 60) -> None:
        await self.log.wait(
            timeout=timeout,
            since=since,
            where=lambda e: e.get("event") in ("peer", "path") and e.get("peer") == other_id and e.get("path") == path,
        )

    async def send(self, to_id: str, text: str) -> None:
        await self.page.evaluate(f"swarm.send({json.dumps(to_id)}, {json.dumps(text)})")

    async def cut(self) -> None:
        """Closes every peer connection of the page, from outside its code."""
        await self.page.run("for (const connection of connections.splice(0)) connection.close()")

    async def block(self, path: str = "direct", peer: str | None = None) -> None:
        await self.page.run(f"swarm.block({json.dumps(path)}, {json.dumps(peer)})")

    async def unblock(self, path: str = "direct", peer: str | None = None) -> None:
        await self.page.run(f"swarm.unblock({json.dumps(path)}, {json.dumps(peer)})")

    def texts_from(self, sender_id: str) -> list[str]:
        return [event["text"] for event in self.log.matching("message", **{"from": sender_id})]

    def paths_from(self, sender_id: str) -> set[str]:
        return {event["path"] for event in self.log.matching("message", **{"from": sender_id})}

    async def end(self) -> None:
        with contextlib.suppress(AssertionError):  # a page of no origin has no storage
            await self.page.run("localStorage.clear()")
        await self.page.close()


MakeTab = Callable[..., Awaitable[Tab]]
MakeNative = Callable[..., Awaitable[Member]]
