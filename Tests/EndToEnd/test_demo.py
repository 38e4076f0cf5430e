"""`swarm-space demo`: the main job in one command."""

from __future__ import annotations

import asyncio
import re

from networks import Network
from processes import binary, die_with_parent, log_folder


async def test_the_demo_ends_with_its_table_and_nothing_lost(network: Network, tmp_path) -> None:
    path = log_folder() / "demo.stdout"
    with path.open("w") as out:
        process = await asyncio.create_subprocess_exec(
            binary(), "demo", stdin=asyncio.subprocess.DEVNULL, stdout=out, stderr=out, cwd=tmp_path, preexec_fn=die_with_parent
        )
        try:
            status = await asyncio.wait_for(process.wait(), 150)
        finally:
            if process.returncode is None:
                process.kill()
    text = path.read_text()
    assert status == 0, text[-3000:]
    table = text[-2500:].lower()
    for row in ("discovery", "first message", "direct", "failover", "recover", "sent", "lost", "duplicated", "reordered"):
        assert row in table, f"no {row} in the table:\n{table}"
    for row in ("lost", "duplicated", "reordered"):
        assert re.search(rf"{row}\W+0\b", table), f"{row} is not zero:\n{table}"
    assert not list(tmp_path.iterdir()), "the demo left files behind"
