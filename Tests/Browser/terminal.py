"""Somebody at a terminal: types lines, and reads what is shown."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from pathlib import Path

from processes import die_with_parent, log_folder


class Terminal:
    """A program whose standard streams are those of somebody who has only a home directory."""

    def __init__(self, name: str, home: Path) -> None:
        self.name, self._home, self.output = name, home, ""
        self._more = asyncio.Event()

    async def open(self, *program: str, folder: Path | None = None) -> None:
        # As Debian's ~/.profile has it once that directory is there.
        path = f"{self._home}/.local/bin:/usr/bin:/bin"
        self._process = await asyncio.create_subprocess_exec(
            *(program or ["bash"]),
            cwd=folder or self._home,
            env={"HOME": str(self._home), "PATH": path, "USER": "carol"},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=die_with_parent,
        )
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self._process.stdout
        with (log_folder() / f"{self.name}.log").open("w") as log:
            while chunk := (await self._process.stdout.read(65_536)).decode(errors="replace"):
                self.output += chunk
                log.write(chunk)
                log.flush()
                self._more.set()

    async def type(self, line: str) -> None:
        assert self._process.stdin
        self._process.stdin.write(f"{line}\n".encode())
        await self._process.stdin.drain()

    async def shows(self, text: str | re.Pattern[str], timeout: float = 60) -> None:
        pattern = re.compile(re.escape(text)) if isinstance(text, str) else text
        try:
            async with asyncio.timeout(timeout):
                while not pattern.search(self.output):
                    self._more.clear()
                    await self._more.wait()
        except TimeoutError:
            raise AssertionError(f"{self.name} does not show {text!r} within {timeout} s:\n{self.output}") from None

    async def close(self) -> None:
        """Ends it, if it runs."""
        if not hasattr(self, "_process") or self._process.returncode is not None:
            return
        os.killpg(self._process.pid, signal.SIGKILL)
        await self._process.wait()
        await self._reader
