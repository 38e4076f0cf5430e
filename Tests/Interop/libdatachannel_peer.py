"""libdatachannel as the other side: a process of its own, for its package needs a newer Python than the tests do."""

from __future__ import annotations

from pathlib import Path

from networks import Namespace
from pair_peer import PairPeer
from peer import Description
from processes import ROOT, JSONProcess

SCRIPT = Path(__file__).parent / "libdatachannel_process.py"


def find_python() -> str | None:
    """The Python that has the package (scripts/setup)."""
    path = ROOT / ".venv-libdatachannel" / "bin" / "python"
    return str(path) if (path.parent.parent / "stamp").exists() else None


class LibdatachannelPeer(PairPeer):
    @classmethod
    async def start_with(cls, python: str, host: Namespace, *, answering: bool, echo: bool = False) -> LibdatachannelPeer:
        process = JSONProcess("libdatachannel")
        arguments = (["--answer"] if answering else []) + (["--echo"] if echo else [])
        await process.start(*arguments, within=host.within, program=[python, str(SCRIPT)])
        return cls(process, host, "libdatachannel")

    async def restart(self) -> Description:
        raise NotImplementedError("libdatachannel has no ICE restart")
