"""What is in Examples/ does what it says: chats and boards, in Swift and in browsers."""

from __future__ import annotations

import asyncio
import functools
import http.server
import json
import re
import shutil
import subprocess
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from chromium import Chromium
from processes import ROOT, binary
from tab import MakeNative
from terminal import Terminal
from visitor import Visitor

MakeExample = Callable[[str, str], str]


@pytest.fixture
def site() -> Iterator[str]:
    """Any static host: `python3 -m http.server` in the project's folder."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(ROOT))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://localhost:{server.server_address[1]}/Examples"
        server.shutdown()


@pytest.fixture
def example(tmp_path: Path) -> MakeExample:
    """Compiles one of the Swift examples with the modules that the executable under test was built of: their own package would build everything anew."""
    products = Path(binary()).resolve().parent
    objects = products / "swarm-space.product" / "Objects.LinkFileList"
    if not objects.exists() or not shutil.which("swiftc"):
        pytest.skip(f"{products} is no folder of a build, or there is no swiftc")
    plan = next(path for path in (products.parent / f"{products.name}.yaml", products.parent.parent / f"{products.name}.yaml") if path.exists())
    maps = sorted(set(re.findall(r'"(-fmodule-map-file=[^"]*)"', plan.read_text())))
    others = [line for line in objects.read_text().splitlines() if "/swarm_space.build/" not in line]

    def compile(name: str, source: str) -> str:
        (tmp_path / "objects").write_text("\n".join(others))
        program = tmp_path / name
        command = ["swiftc", "-parse-as-library", "-swift-version", "6", "-I", str(products / "Modules"), "-I", str(ROOT / "Sources/COpenSSL")]
        command += [word for each in maps for word in ("-Xcc", each)]
        command += [str(ROOT / "Examples/Sources" / source), "-o", str(program), f"@{tmp_path / 'objects'}", "-lssl", "-lcrypto", "-lstdc++", "-lz"]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return str(program)

    return compile


@pytest.fixture
async def terminal(tmp_path: Path) -> AsyncIterator[Terminal]:
    terminal = Terminal("example", tmp_path)
    yield terminal
    await terminal.close()


async def log_shows(tab: Visitor, text: str) -> None:
    await tab.wait(f"document.getElementById('log').innerText.includes({json.dumps(text)})")


async def test_the_chats(chromium_here: Chromium, site: str, magnet: str, example: MakeExample, terminal: Terminal) -> None:
    alice = await Visitor.come(chromium_here, f"{site}/browser-chat/")
    await alice.focus("#name")
    await alice.type("alice")
    await alice.focus("#invite")
    await alice.type(magnet)
    await alice.press("Enter")
    # Its lines are to come one by one, as on a screen.
    await terminal.open("stdbuf", "-oL", await asyncio.to_thread(example, "chat", "chat/Chat.swift"), magnet, "bob")
    await log_shows(alice, "bob is here")
    await terminal.shows("alice is here")
    await alice.focus("#text")
    await alice.type("hello from a browser")
    await alice.press("Enter")
    await terminal.shows("): hello from a browser")
    await terminal.type("hello from Swift")
    await log_shows(alice, "): hello from Swift")
    await terminal.close()
    assert not alice.page.faults


async def test_the_boards(chromium_here: Chromium, site: str, magnet: str, example: MakeExample, terminal: Terminal, make_native: MakeNative) -> None:
    tab = await Visitor.come(chromium_here, f"{site}/browser-board/")
    await tab.focus("#invite")
    await tab.type(magnet)
    await tab.press("Enter")
    await tab.wait("!document.getElementById('board').hidden")
    painted = "[...document.getElementById('board').getContext('2d').getImageData(0, 0, 1000, 1000).data].filter((v, i) => i % 4 === 3 && v > 0).length"
    assert await tab.page.evaluate(painted) == 0

    # The native side draws a spiral: a stroke that grows.
    await terminal.open("stdbuf", "-oL", await asyncio.to_thread(example, "board", "board/Board.swift"), magnet)
    await tab.wait(f"{painted} > 500")

    # The browser draws a line with the mouse: the native side is told of it, and so is any other member.
    before = await tab.page.evaluate(painted)
    for kind, x, y in (("mousePressed", 60, 60), *(("mouseMoved", 60 + 20 * step, 60 + 5 * step) for step in range(1, 8)), ("mouseReleased", 200, 95)):
        await tab.page.command("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=1, clickCount=1)
    await terminal.shows(re.compile("[0-9a-f]{8}-[0-9a-f-]{27}: 8 points"))
    await tab.wait(f"{painted} > {before}")
    native = await make_native("watcher")
    await native.command(cmd="watch", soul="drawing-board")
    drawn = re.compile(r"hsl\(\S+( \d+,\d+){8}")
    await native.log.wait("state", soul="drawing-board", timeout=60, where=lambda event: drawn.fullmatch(str(event["value"])))
    assert not tab.page.faults
