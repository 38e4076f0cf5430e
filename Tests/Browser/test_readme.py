"""The three steps of README.md, "In a browser", as somebody new takes them: what is written there, on a machine without the sources."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

from chromium import Chromium
from processes import ROOT, binary
from terminal import Terminal
from visitor import Visitor


async def test_from_serve_to_two_tabs_and_a_terminal(chromium_here: Chromium, tmp_path: Path) -> None:
    steps = (ROOT / "README.md").read_text().split("## In a browser")[1].split("\n## ")[0]
    commands = [line.strip() for line in re.search(r"```sh\n(.*?)```", steps, re.DOTALL)[1].strip().splitlines()]  # type: ignore[index]
    url, swarm = re.search(r"Open `(http://\S+)` .* say `(\w+)`", steps).groups()  # type: ignore[union-attr]

    # What `scripts/demo` leaves behind, of which nothing but the executable is there.
    home, sources = tmp_path / "home", tmp_path / "swarm-space"
    home.mkdir()
    (sources / ".build" / "release").mkdir(parents=True)
    shutil.copy(binary(), sources / ".build" / "release" / "swarm-space")
    first, second = Terminal("first", home), Terminal("second", home)
    await first.open(folder=sources)
    try:
        for command in commands:
            await first.type(command)
        await first.shows("7750")
        shutil.rmtree(sources)

        tabs = [await Visitor.come(chromium_here, url) for _ in range(2)]
        for tab, name in zip(tabs, ("Alice", "Bob"), strict=True):
            await tab.join(name, swarm)
        await tabs[0].click("#share")
        line = await tabs[0].page.evaluate("document.getElementById('command').value")
        await second.open()
        await second.type(line)
        for tab in tabs:
            await tab.wait("swarm.peers.length === 2", 40)
        await tabs[0].press("Escape")
        await tabs[0].say("hello from a tab")
        await tabs[1].wait("document.getElementById('log').innerText.includes('hello from a tab')")
        await second.shows("hello from a tab")
        await second.type("hello from the terminal")
        for tab in tabs:
            await tab.wait("document.getElementById('log').innerText.includes('hello from the terminal')")
            await tab.wait("document.getElementById('members').innerText.includes('carol')")

        # "End `serve`, and they talk on."
        for tab in tabs:
            await tab.wait("swarm.peers.every(({ path }) => path === 'direct')", 40)
        await first.close()
        await tabs[1].say("hello without it")
        await tabs[0].wait("document.getElementById('log').innerText.includes('hello without it')")
        await second.shows("hello without it")
        assert not [fault for tab in tabs for fault in tab.page.faults], json.dumps([tab.page.faults for tab in tabs])
    finally:
        for terminal in (first, second):
            await terminal.close()
