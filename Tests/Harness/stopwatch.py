"""How long something took, on a machine that has other work too."""

from __future__ import annotations

import time
from pathlib import Path

_PRESSURE = Path("/proc/pressure/cpu")


def stalled() -> float:
    """Seconds, of all so far, in which somebody waited for a processor (Linux: Documentation/accounting/psi.rst); 0 where the kernel does not count."""
    try:
        return int(_PRESSURE.read_text().split("total=")[1].split()[0]) / 1e6
    except OSError:
        return 0


class Stopwatch:
    """Runs from its making. What is promised within so many seconds is not broken by a machine that lets us wait."""

    def __init__(self) -> None:
        self._start, self._stalled = time.monotonic(), stalled()

    @property
    def seconds(self) -> float:
        """As the clock on the wall has it."""
        return time.monotonic() - self._start

    @property
    def stalled(self) -> float:
        """Those of them in which somebody waited for a processor."""
        return stalled() - self._stalled

    def within(self, limit: float) -> bool:
        """Whether it took no longer than that, not counting those."""
        return self.seconds <= limit + self.stalled
