"""swarm-space as a child process: JSON objects, one a line, on its standard streams."""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import signal
import time
from pathlib import Path
from typing import Any

from event_log import EventLog

ROOT = Path(__file__).resolve().parents[2]
LOGS = ROOT / ".build" / "logs" / "processes"
LONGEST_LINE = 16 << 20

_libc = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """For `preexec_fn`: the child is killed when the test process ends, however it ends."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def binary() -> str:
    """The swarm-space to test: SWARM_SPACE_BIN, else the debug build."""
    return os.environ.get("SWARM_SPACE_BIN") or str(ROOT / ".build" / "debug" / "swarm-space")


def log_folder() -> Path:
    """Where the processes of the running test write their logs."""
    test = os.environ.get("PYTEST_CURRENT_TEST", "session").split(" ")[0]
    name = "".join(c if c.isalnum() or c in "-_[]" else "." for c in test.split("/")[-1])
    folder = LOGS / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


class JSONProcess:
    """A child whose stdout lines are events and whose stdin takes commands. stderr goes to a log file."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.log = EventLog(name)
        self.started = time.monotonic()

    async def start(
        self,
        *arguments: str,
        within: list[str] | None = None,
        environment: dict[str, str] | None = None,
        program: list[str] | None = None,
    ) -> None:
        """Starts swarm-space, or another program, with these arguments; `within` is a command before it (a network namespace)."""
        folder = log_folder()
        count = len(list(folder.glob(f"{self.name}*.stderr")))
        stem = f"{self.name}-{count}" if count else self.name
        self.stderr_path = folder / f"{stem}.stderr"
        self._record = (folder / f"{stem}.events").open("w")
        self._record.write(f"$ {' '.join(arguments)}\n")
        with self.stderr_path.open("w") as stderr:
            self.process = await asyncio.create_subprocess_exec(
                *(within or []),
                *(program or [binary()]),
                *arguments,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=stderr,
                env={**os.environ, **(environment or {})},
                limit=LONGEST_LINE,
                start_new_session=True,
                preexec_fn=die_with_parent,
            )
        self.not_json: list[bytes] = []
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self.process.stdout
        while line := await self.process.stdout.readline():
            self._record.write(f"{time.monotonic() - self.started:9.3f} {line.decode(errors='replace')}")
            try:
                event = json.loads(line)
                if not isinstance(event, dict):
                    raise ValueError("not an object")
            except ValueError:
                self.not_json.append(line)
                self.log.wake()
            else:
                self.log.append(event)
        status = await self.process.wait()
        self._record.write(f"{time.monotonic() - self.started:9.3f} exit status {status}\n")
        self._record.close()
        self.log.end(f"it exited with status {status}; stderr: {self.stderr()[-2000:]}")

    def stderr(self) -> str:
        return self.stderr_path.read_text(errors="replace")

    async def command(self, **members: Any) -> None:
        await self.write_line(json.dumps(members))

    async def write_line(self, line: str) -> None:
        assert self.process.stdin
        self.process.stdin.write(line.encode() + b"\n")
        await self.process.stdin.drain()

    def close_stdin(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()

    @property
    def running(self) -> bool:
        return self.process.returncode is None

    def signal(self, number: int) -> None:
        if self.running:
            self.process.send_signal(number)

    async def exit_status(self, timeout: float) -> int:
        """Its exit status; fails when it is still running after that many seconds. All its output has been read."""
        try:
            await asyncio.wait_for(asyncio.shield(self._reader), timeout)
        except TimeoutError:
            raise AssertionError(f"{self.name}: still running after {timeout} s\n{self.log.tail()}") from None
        assert self.process.returncode is not None
        return self.process.returncode

    async def end(self) -> None:
        """Kills whatever is left of it. Every test does this for each process it made."""
        if not hasattr(self, "process"):
            return
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        await self._reader
