"""Numbered messages between every pair of members, and the check that each came exactly once and in order."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time

from node import Member


class Streams:
    """From each member to each other: `count` messages with running numbers, spread evenly over some seconds."""

    def __init__(self, members: list[Member], count: int, seconds: float) -> None:
        self._names = [member.name for member in members]
        self._current = {member.name: member for member in members}
        self._generations = {member.name: [member] for member in members}
        self._ids = {member.name: member.id for member in members}
        self._count, self._gap = count, seconds / count
        self._sent = {pair: 0 for pair in itertools.permutations(self._names, 2)}
        self._may_send = {name: asyncio.Event() for name in self._names}
        for name in self._names:
            self._may_send[name].set()

    @staticmethod
    def text(sender: str, receiver: str, number: int) -> str:
        return f"{sender} to {receiver}: {number}"

    def start(self) -> None:
        """Begins to send, in the background."""
        self._sending = [asyncio.create_task(self._send(*pair)) for pair in self._sent]

    async def sent(self) -> None:
        """Until everything was given to its sender."""
        await asyncio.gather(*self._sending)

    async def _send(self, sender: str, receiver: str) -> None:
        with contextlib.suppress(ConnectionError):  # the process has ended: what is missing will be told
            await self._send_all(sender, receiver)

    async def _send_all(self, sender: str, receiver: str) -> None:
        next_time = time.monotonic()
        for number in range(self._count):
            await self._may_send[sender].wait()
            await self._current[sender].command(cmd="send", to=self._ids[receiver], text=self.text(sender, receiver, number))
            self._sent[sender, receiver] = number + 1
            next_time += self._gap
            await asyncio.sleep(max(0.0, next_time - time.monotonic()))

    def pause(self, name: str) -> None:
        self._may_send[name].clear()

    def resume(self, successor: Member) -> None:
        """Goes on with the process that took the member's place."""
        self._current[successor.name] = successor
        self._generations[successor.name].append(successor)
        self._may_send[successor.name].set()

    def received(self, sender: str, receiver: str) -> list[str]:
        """Everything from one to the other, over all processes that were the receiver."""
        return [text for member in self._generations[receiver] for text in member.texts_from(self._ids[sender])]

    def paths(self) -> set[str]:
        return {
            path
            for sender, receiver in self._sent
            for member in self._generations[receiver]
            for path in member.paths_from(self._ids[sender])
        }

    async def complete(self, timeout: float) -> None:
        """Until all has come; then fails unless each came exactly once, in order, everywhere."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline and any(len(self.received(*pair)) < self._count for pair in self._sent):
            await asyncio.sleep(0.1)
        await asyncio.sleep(1)  # what comes twice comes late
        problems = []
        for sender, receiver in self._sent:
            expected = [self.text(sender, receiver, number) for number in range(self._count)]
            received = self.received(sender, receiver)
            if received != expected:
                missing = [text for text in expected if text not in set(received)]
                twice = sorted({text for text in received if received.count(text) > 1})
                first = next((i for i, (a, b) in enumerate(zip(received, expected)) if a != b), min(len(received), len(expected)))
                problems.append(
                    f"{sender} to {receiver}: {len(received)} of {len(expected)}; {len(missing)} missing {missing[:5]}; "
                    f"{len(twice)} twice {twice[:5]}; first difference at {first}: {received[first:first + 3]}"
                )
        assert not problems, "\n".join(problems)

    async def delivered(self, timeout: float) -> None:
        """Until every sender was told that every message was delivered, once, in order."""
        for sender, receiver in self._sent:

            def told() -> list[int]:
                return [
                    event["seq"]
                    for member in self._generations[sender]
                    for event in member.log.matching("delivered", to=self._ids[receiver])
                ]

            await self._current[sender].log.until(lambda: len(told()) >= self._count, timeout, f"{self._count} deliveries to {receiver}")
            assert len(set(told())) == self._count, f"{sender} to {receiver}: a delivery told twice"


async def all_meet(members: list[Member], timeout: float = 45) -> None:
    """Until each has a session with each."""
    await asyncio.gather(*(a.session(b, timeout=timeout) for a, b in itertools.permutations(members, 2)))


async def all_on(members: list[Member], path: str, timeout: float = 45) -> None:
    await asyncio.gather(*(a.path(b, path, timeout=timeout) for a, b in itertools.permutations(members, 2)))
