"""A TCP proxy that hands everything on a while later: a distance, where the kernel has none to offer."""

from __future__ import annotations

import asyncio
import contextlib


class DelayingProxy:
    """Listens on a free port of `host`; each connection goes on to `target:port`, and each byte takes `delay` seconds each way."""

    def __init__(self, host: str, target: str, port: int, delay: float) -> None:
        self._host, self._target, self._target_port, self._delay = host, target, port, delay
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0

    async def __aenter__(self) -> DelayingProxy:
        self._server = await asyncio.start_server(self._accept, self._host, 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(2 * self._delay)  # the handshake of TCP itself
        onward, back = await asyncio.open_connection(self._target, self._target_port)
        for source, sink in ((reader, back), (onward, writer)):
            task = asyncio.create_task(self._carry(source, sink))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _carry(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

        async def deliver() -> None:
            while True:
                due, chunk = await queue.get()
                await asyncio.sleep(due - loop.time())
                if not chunk:
                    sink.close()
                    return
                sink.write(chunk)
                await sink.drain()

        delivering = asyncio.create_task(deliver())
        try:
            with contextlib.suppress(ConnectionError):
                while chunk := await source.read(1 << 16):
                    queue.put_nowait((loop.time() + self._delay, chunk))
            queue.put_nowait((loop.time() + self._delay, b""))
            with contextlib.suppress(ConnectionError):
                await delivering
        finally:
            delivering.cancel()
