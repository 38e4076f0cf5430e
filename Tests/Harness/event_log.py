"""What a peer or process under test said, in order, with waiting for what is yet to come."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

Event = dict[str, Any]


class EventLog:
    """Events in order of arrival. Each has its time of arrival; waiting looks at those already there first."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.events: list[Event] = []
        self.times: list[float] = []
        self.ended: str | None = None  # why no more will come
        self._changed = asyncio.Event()

    def append(self, event: Event) -> None:
        self.events.append(event)
        self.times.append(time.monotonic())
        self.wake()

    def end(self, reason: str) -> None:
        self.ended = self.ended or reason
        self.wake()

    def wake(self) -> None:
        """What is waited for is looked at again."""
        self._changed.set()
        self._changed = asyncio.Event()

    def mark(self) -> int:
        """The place after the last event so far: a wait from here sees only what comes later."""
        return len(self.events)

    def matching(self, event: str | None = None, since: int = 0, **fields: Any) -> list[Event]:
        return [e for e in self.events[since:] if matches(e, event, fields)]

    async def wait(
        self, event: str | None = None, *, timeout: float = 30, since: int = 0, where: Callable[[Event], bool] | None = None, **fields: Any
    ) -> Event:
        """The first event after `since` of that name with those fields, for which `where` holds."""

        found = await self.first(1, since, lambda e: matches(e, event, fields) and (where is None or where(e)), timeout, f"{event} {fields or ''}")
        return found[0]

    async def first(self, count: int, since: int, wanted: Callable[[Event], bool], timeout: float, what: str) -> list[Event]:
        """The first `count` events after `since` that are wanted. Each event is looked at once, however many there are."""
        found: list[Event] = []
        seen = since

        def enough() -> bool:
            nonlocal seen
            found.extend(e for e in self.events[seen:] if wanted(e))
            seen = len(self.events)
            return len(found) >= count

        await self.until(enough, timeout, what)
        return found

    async def until(self, condition: Callable[[], Any], timeout: float, what: str) -> Any:
        """Waits until the condition, looked at after each event, is true; gives its value."""
        deadline = time.monotonic() + timeout
        while not (value := condition()):
            left = deadline - time.monotonic()
            if self.ended or left <= 0:
                why = f"ended ({self.ended})" if self.ended else f"nothing within {timeout} s"
                raise AssertionError(f"{self.name}: waited for {what}: {why}\n{self.tail()}")
            try:
                await asyncio.wait_for(self._changed.wait(), left)
            except TimeoutError:
                pass
        return value

    def tail(self, count: int = 15) -> str:
        shown = "\n".join(f"    {abbreviated(event)}" for event in self.events[-count:])
        return f"  the last of its {len(self.events)} events:\n{shown}"


def matches(candidate: Event, event: str | None, fields: dict[str, Any]) -> bool:
    return (event is None or candidate.get("event") == event) and all(
        key in candidate and candidate[key] == value for key, value in fields.items()
    )


def abbreviated(event: Event, limit: int = 300) -> str:
    text = json.dumps(event)
    return text if len(text) <= limit else text[:limit] + "…"
