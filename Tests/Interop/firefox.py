"""Headless Firefox in a network namespace, driven by WebDriver BiDi."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import tempfile
from collections.abc import Callable
from typing import Any

from browser import Browser, Page
from networks import Host
from processes import die_with_parent, log_folder
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

PREFERENCES: dict[str, Any] = {
    # A page of which nothing is seen keeps its timers.
    "dom.min_background_timeout_value": 4,
    "dom.timeout.enable_budget_timer_throttling": False,
    "dom.ipc.processPriorityManager.enabled": False,
    # It asks nothing of a network that is not there, and keeps nothing.
    "app.normandy.enabled": False,
    "app.update.auto": False,
    "browser.safebrowsing.downloads.enabled": False,
    "browser.safebrowsing.malware.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.page": 0,
    "browser.newtabpage.enabled": False,
    "browser.sessionstore.resume_from_crash": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "extensions.update.enabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "services.settings.server": "data:,#remote-settings-dummy/v1",
    "toolkit.telemetry.enabled": False,
}
HIDE_ADDRESSES = "media.peerconnection.ice.obfuscate_host_addresses"


def find_firefox() -> str | None:
    return next((path for name in ("firefox-esr", "firefox") if (path := shutil.which(name))), None)


class Firefox(Browser):
    name = "firefox"

    async def start(self) -> None:
        path = find_firefox()
        assert path, "no firefox in PATH: run scripts/setup"
        self._profile = tempfile.mkdtemp(prefix="swarm-space-firefox-")
        with open(f"{self._profile}/user.js", "w") as preferences:
            trusted = {"dom.securecontext.allowlist": self._trusted.split(":")[0]} if self._trusted else {}
            for name, value in {**PREFERENCES, **trusted, HIDE_ADDRESSES: self._hide_addresses}.items():
                preferences.write(f"user_pref({json.dumps(name)}, {json.dumps(value)});\n")
        self._process = await asyncio.create_subprocess_exec(
            *self.host.within,
            path,
            "--headless",
            "--no-remote",
            "--profile",
            self._profile,
            "--remote-debugging-port=0",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            limit=1 << 20,
            start_new_session=True,
            preexec_fn=die_with_parent,
            env={**os.environ, "HOME": self._profile, "MOZ_CRASHREPORTER_DISABLE": "1"},
        )
        self._listening: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._complaints = asyncio.create_task(self._note(log_folder() / "firefox.log"))
        port = await asyncio.wait_for(self._listening, 60)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._reports: dict[str, Callable[[str], None]] = {}
        self._last = 0
        self._socket = await open_in(self.host, port)
        self._reader = asyncio.create_task(self._read(self._socket))
        await self.call("session.new", capabilities={})
        await self.call("session.subscribe", events=["script.message"])

    async def _note(self, path: os.PathLike[str]) -> None:
        """Writes down what it says on stderr; there it also says its port."""
        assert self._process.stderr
        with open(path, "w") as log:
            while line := (await self._process.stderr.readline()).decode(errors="replace"):
                log.write(line)
                log.flush()
                if not self._listening.done() and (port := re.search(r"BiDi listening on ws://127\.0\.0\.1:(\d+)", line)):
                    self._listening.set_result(int(port[1]))
        if not self._listening.done():
            self._listening.set_exception(AssertionError(f"firefox ended before it listened: see {path}"))

    async def _read(self, socket: ClientConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            async for text in socket:
                message = json.loads(text)
                if message["type"] == "event":
                    if message["method"] == "script.message" and (report := self._reports.get(message["params"]["channel"])):
                        report(message["params"]["data"]["value"])
                elif (waiting := self._waiting.pop(message["id"], None)) and not waiting.done():
                    waiting.set_result(message)
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(AssertionError("firefox ended"))

    async def call(self, method: str, timeout: float = 60, **parameters: Any) -> dict[str, Any]:
        self._last += 1
        waiting = asyncio.get_running_loop().create_future()
        self._waiting[self._last] = waiting
        await self._socket.send(json.dumps({"id": self._last, "method": method, "params": parameters}))
        message = await asyncio.wait_for(waiting, timeout)
        if message["type"] == "error":
            raise AssertionError(f"firefox: {method}: {message['error']}: {message['message']}")
        result: dict[str, Any] = message["result"]
        return result

    async def page(self) -> Page:
        context = (await self.call("browsingContext.create", type="tab", background=True))["context"]
        page = FirefoxPage(self, context)
        self._reports[context] = lambda text: page.on_report(text)
        await page.connect_report()
        return page

    async def close(self) -> None:
        with contextlib.suppress(AssertionError, ConnectionClosed, TimeoutError):
            await self.call("browser.close", timeout=5)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._process.wait(), 5)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        await self._process.wait()
        await self._complaints
        await self._socket.close()
        await self._reader
        shutil.rmtree(self._profile, ignore_errors=True)


async def open_in(host: Host, port: int) -> ClientConnection:
    """The browser listens on the loopback address of its own namespace."""
    socket = host.open_socket()
    socket.settimeout(10)
    socket.connect(("127.0.0.1", port))
    return await connect(f"ws://127.0.0.1:{port}/session", sock=socket, max_size=None, compression=None, ping_interval=None)


class FirefoxPage(Page):
    def __init__(self, browser: Firefox, context: str) -> None:
        super().__init__()
        self._browser, self._context = browser, context

    async def connect_report(self) -> None:
        channel = {"type": "channel", "value": {"channel": self._context}}
        connect = {"functionDeclaration": "(say) => { globalThis.report = say; }", "arguments": [channel]}
        await self._script("callFunction", **connect)
        await self._browser.call("script.addPreloadScript", contexts=[self._context], **connect)

    async def open(self, url: str) -> None:
        await self._browser.call("browsingContext.navigate", context=self._context, url=url, wait="complete")

    async def before_each(self, script: str) -> None:
        await self._browser.call("script.addPreloadScript", contexts=[self._context], functionDeclaration=f"() => {{ {script} }}")

    async def _script(self, method: str, timeout: float = 60, **parameters: Any) -> dict[str, Any]:
        result = await self._browser.call(
            f"script.{method}", timeout, target={"context": self._context}, awaitPromise=True, **parameters
        )
        if result["type"] == "exception":
            raise AssertionError(f"firefox: {result['exceptionDetails']['text']}")
        value: dict[str, Any] = result["result"]
        return value

    async def run(self, script: str) -> None:
        await self._script("evaluate", expression=f"{script}; undefined")

    async def evaluate(self, expression: str, timeout: float = 60) -> Any:
        text = await self._script("evaluate", timeout, expression=f"(async () => JSON.stringify(await ({expression})))()")
        return json.loads(text["value"]) if text["type"] == "string" else None

    async def close(self) -> None:
        with contextlib.suppress(AssertionError, ConnectionClosed):
            await self._browser.call("browsingContext.close", context=self._context)
