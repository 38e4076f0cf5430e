"""One side of a WebRTC connection, whoever plays it; all speak the events of `swarm-space pair --json`."""

from __future__ import annotations

import hashlib
import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from event_log import Event, EventLog, matches
from networks import Namespace

Description = dict[str, str]  # {"type": "offer" | "answer", "sdp": …}
Payload = str | bytes


@dataclass(frozen=True)
class Message:
    """A message as both sides can compare it."""

    kind: str
    size: int
    sha256: str

    @classmethod
    def of(cls, payload: Payload) -> Message:
        data = payload.encode() if isinstance(payload, str) else payload
        return cls("text" if isinstance(payload, str) else "binary", len(data), hashlib.sha256(data).hexdigest())


def message_event(label: str, identifier: int | None, payload: Payload) -> Event:
    message = Message.of(payload)
    return {"event": "message", "label": label, "id": identifier, "kind": message.kind, "bytes": message.size, "sha256": message.sha256}


class Peer(ABC):
    """Events: `open`, `message`, `closed` (a channel with `label`, the whole without), `state`, `error`."""

    def __init__(self, name: str, host: Namespace | None = None) -> None:
        self.log = EventLog(name)
        self.host = host  # the host it has to itself, if any

    @abstractmethod
    async def offer(self) -> Description:
        """The first offer, which makes the channel `main`; all candidates are in it."""

    @abstractmethod
    async def answer(self, offer: Description) -> Description: ...

    @abstractmethod
    async def accept(self, answer: Description) -> None: ...

    @abstractmethod
    async def restart(self) -> Description:
        """An offer that restarts ICE."""

    @abstractmethod
    async def open(self, label: str, **options: Any) -> None:
        """Opens another channel; options as of RTCDataChannelInit (protocol, ordered, maxRetransmits, maxPacketLifeTime)."""

    @abstractmethod
    async def send(self, label: str, *payloads: Payload) -> None: ...

    @abstractmethod
    async def close(self, label: str) -> None: ...

    @abstractmethod
    async def disconnect(self) -> None: ...

    @abstractmethod
    async def end(self) -> None:
        """Frees all that it holds; the test is over."""

    async def opened(self, label: str = "main", timeout: float = 60) -> Event:
        return await self.log.wait("open", label=label, timeout=timeout)

    async def messages(self, count: int, label: str = "main", timeout: float = 60, since: int = 0) -> list[Message]:
        """The messages of a channel after `since`, in order of arrival, as soon as there are `count`."""
        found = await self.log.first(
            count, since, lambda e: matches(e, "message", {"label": label}), timeout, f"{count} messages on {label}"
        )
        return [Message(e["kind"], e["bytes"], e["sha256"]) for e in found]


async def connect(offerer: Peer, answerer: Peer) -> tuple[Description, Description]:
    """Signals by hand, until `main` is open on both sides; gives offer and answer."""
    offer = await offerer.offer()
    answer = await negotiate(offerer, answerer, offer)
    await offerer.opened()
    await answerer.opened()
    return offer, answer


async def negotiate(offerer: Peer, answerer: Peer, offer: Description) -> Description:
    answer = await answerer.answer(offer)
    await offerer.accept(answer)
    return answer


def lines(description: Description, name: str) -> list[str]:
    """The values of the lines `a=name:value` in a description."""
    return re.findall(rf"^a={name}:(.*?)\r?$", description["sdp"], re.MULTILINE)


def with_wrong_fingerprint(description: Description) -> Description:
    """The same description with the first byte of every fingerprint changed."""

    def changed(match: re.Match[str]) -> str:
        return f"{match[1]}{int(match[2], 16) ^ 0x55:02X}"

    sdp, count = re.subn(r"(a=fingerprint:\S+ )([0-9A-Fa-f]{2})", changed, description["sdp"])
    assert count > 0, "a description without fingerprint"
    return {**description, "sdp": sdp}
