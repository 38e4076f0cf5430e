"""Who is noticed to be away."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from typing import Any

from stopwatch import Stopwatch


async def is_killed_and_missed(victim: Any, others: Sequence[Any]) -> None:
    """Kills a member; those directly connected with it notice within five seconds, and miss nobody else."""
    victim.signal(signal.SIGKILL)
    stopwatch = Stopwatch()
    for other in others:
        await other.log.wait("away", peer=victim.id)
    assert stopwatch.within(5.5)
    for other in others:
        assert not any(other.log.matching("away", peer=each.id) for each in others if each is not other)
