"""A client of the supernode's WebSockets that knows nothing of swarm-space: JSON in, JSON out."""

from __future__ import annotations

import asyncio
import json
import secrets
import string
import time
from collections.abc import Callable
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

Frame = dict[str, Any]


class JSONClient:
    """Collects what arrives; batches (arrays) are taken apart."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self.received: list[Frame] = []
        self._taken = 0

    @classmethod
    async def open(cls, url: str, **options: Any) -> JSONClient:
        return cls(await connect(url, compression=None, max_size=None, ping_interval=None, **options))

    async def send(self, *messages: Any) -> None:
        for message in messages:
            await self.send_text(json.dumps(message))

    async def send_text(self, text: str | bytes) -> None:
        await self._connection.send(text)

    async def next(self, where: Callable[[Frame], bool] = lambda _: True, timeout: float = 30) -> Frame:
        """The next message not yet taken for which `where` holds; the ones before it are passed over."""
        deadline = time.monotonic() + timeout
        while True:
            while self._taken < len(self.received):
                self._taken += 1
                if where(self.received[self._taken - 1]):
                    return self.received[self._taken - 1]
            left = deadline - time.monotonic()
            try:
                text = await asyncio.wait_for(self._connection.recv(), max(0.001, left))
            except TimeoutError:
                raise AssertionError(f"nothing such within {timeout} s; received: {self.received[-5:]}") from None
            parsed = json.loads(text)
            self.received += parsed if isinstance(parsed, list) else [parsed]

    def from_the_start(self) -> None:
        """The next wait looks at everything that ever arrived."""
        self._taken = 0

    async def nothing(self, where: Callable[[Frame], bool], seconds: float = 0.7) -> None:
        try:
            unwanted = await self.next(where, seconds)
        except AssertionError:
            return
        raise AssertionError(f"should not have come: {unwanted}")

    async def closed(self, timeout: float = 30) -> int:
        """Waits until the server has closed the socket; its close code."""
        await asyncio.wait_for(self._connection.wait_closed(), timeout)
        return self._connection.close_code or 1006

    async def close(self) -> None:
        await self._connection.close()


def random_id(length: int = 12) -> str:
    return "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(length))


def now_ms() -> int:
    return int(time.time() * 1000)
