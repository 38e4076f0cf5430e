"""`swarm-space serve --json` and `swarm-space join --json` as processes."""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from event_log import Event
from networks import Host
from processes import JSONProcess


class Supernode(JSONProcess):
    """Tracker, GUN relay, STUN server and page on one port; keeps its port and its data when restarted."""

    def __init__(self, address: str, data: Path, *options: str, name: str = "serve", dht: bool = False) -> None:
        super().__init__(name)
        self._address, self._data, self._options, self._dht = address, data, options, dht
        self.port = 0

    async def serve(self) -> None:
        dht = [] if self._dht else ["--no-dht"]
        await self.start("serve", "--json", *dht, "--host", self._address, "--port", str(self.port), "--data", str(self._data), *self._options)
        self.ready = await self.log.wait("ready", timeout=60)
        self.http, self.gun, self.tracker = self.ready["http"], self.ready["gun"], self.ready["tracker"]
        self.udp_host, udp_port = self.ready["udp"].rsplit(":", 1)
        self.port = int(udp_port)

    async def kill(self) -> None:
        self.signal(signal.SIGKILL)
        await self.exit_status(15)

    async def again(self) -> Supernode:
        """The same supernode, started anew after its end: same port, same data."""
        successor = Supernode(self._address, self._data, *self._options, name=self.name, dht=self._dht)
        successor.port = self.port
        await successor.serve()
        return successor


class Member(JSONProcess):
    """A member of a swarm. What it was told of others is kept apart for each sender, in order of arrival."""

    id: str

    async def join(
        self,
        swarm: str,
        *options: str,
        host: Host | None = None,
        data: Path | None = None,
        tracker: str | None = None,
        relay: str | None = None,
        lan: bool = False,
        dht: str | None = None,
    ) -> None:
        """`dht`: the node of the DHT to begin with; without one the DHT is not used."""
        self._again = (swarm, options, host, data, tracker, relay, lan, dht)
        arguments = ["join", swarm, "--json", "--name", self.name]
        arguments += [] if lan else ["--no-lan"]
        arguments += ["--dht-bootstrap", dht] if dht else ["--no-dht"]
        arguments += ["--data", str(data)] if data else []
        arguments += ["--tracker", tracker] if tracker else []
        arguments += ["--relay", relay] if relay else []
        await self.start(*arguments, *options, within=host.within if host else None)
        self.joined = await self.log.wait("joined", timeout=60)
        self.id = self.joined["self"]

    async def again(self) -> Member:
        """The same member, started anew after its end with the same data."""
        swarm, options, host, data, tracker, relay, lan, dht = self._again
        successor = Member(self.name)
        await successor.join(swarm, *options, host=host, data=data, tracker=tracker, relay=relay, lan=lan, dht=dht)
        assert successor.id == self.id, "another identity after a restart with the same --data"
        return successor

    async def session(self, *others: Member, timeout: float = 60) -> None:
        """Until a session with each of these is up."""
        for other in others:
            await self.log.wait("peer", peer=other.id, timeout=timeout)

    async def path(self, other: Member, path: str, *, since: int = 0, timeout: float = 60) -> None:
        """Until the session with the other is (after `since`) on that path."""
        await self.log.wait(
            timeout=timeout,
            since=since,
            where=lambda e: e.get("event") in ("peer", "path") and e.get("peer") == other.id and e.get("path") == path,
        )

    async def send(self, to: Member, text: str) -> None:
        await self.command(cmd="send", to=to.id, text=text)

    async def block(self, other: Member, path: str = "direct") -> None:
        await self.command(cmd="block", path=path, peer=other.id)

    async def unblock(self, other: Member, path: str = "direct") -> None:
        await self.command(cmd="unblock", path=path, peer=other.id)

    async def taken(self, timeout: float = 60) -> None:
        """Until every command given so far has been carried out: it answers `peers` after them."""
        since = self.log.mark()
        await self.command(cmd="peers")
        await self.log.wait("peers", since=since, timeout=timeout)

    async def leave(self) -> None:
        await self.command(cmd="leave")
        assert await self.exit_status(15) == 0

    def texts_from(self, sender_id: str) -> list[str]:
        return [event["text"] for event in self.log.matching("message", **{"from": sender_id})]

    def paths_from(self, sender_id: str) -> set[str]:
        return {event["path"] for event in self.log.matching("message", **{"from": sender_id})}

    async def message(self, sender: Member, text: str, timeout: float = 60) -> Event:
        return await self.log.wait("message", text=text, timeout=timeout, **{"from": sender.id})


MakeSupernode = Callable[..., Awaitable[Supernode]]
MakeMember = Callable[..., Awaitable[Member]]


def fields(event: Event, **types: Any) -> None:
    """Fails unless the event has exactly these members (beside `event`), each of its type."""
    assert set(event) == {"event", *types}, event
    for name, kind in types.items():
        assert isinstance(event[name], kind), (name, event)
