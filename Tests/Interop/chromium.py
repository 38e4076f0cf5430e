"""Headless Chromium in a network namespace, driven by the DevTools protocol over a pipe."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import tempfile
from collections.abc import Callable
from typing import Any

from browser import Browser, Page
from event_log import EventLog
from processes import die_with_parent, log_folder

HIDE_ADDRESSES = "WebRtcHideLocalIpsWithMdns"


def find_chromium() -> str | None:
    return next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None)


class Chromium(Browser):
    name = "chromium"

    async def start(self) -> None:
        path = find_chromium()
        assert path, "no chromium in PATH: run scripts/setup"
        self._profile = tempfile.mkdtemp(prefix="swarm-space-chromium-")
        command_read, command_write = os.pipe()
        reply_read, reply_write = os.pipe()
        arguments = [
            path,
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-extensions",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-background-timer-throttling",
            "--disable-renderer-backgrounding",
            "--no-first-run",
            "--remote-debugging-pipe",
            f"--user-data-dir={self._profile}",
            f"--{'enable' if self._hide_addresses else 'disable'}-features={HIDE_ADDRESSES}",
            *([f"--unsafely-treat-insecure-origin-as-secure=http://{self._trusted}"] if self._trusted else []),
        ]
        # The browser reads commands from descriptor 3 and writes replies to 4.
        shell = ["bash", "-c", f'exec 3<&{command_read} 4>&{reply_write}; exec "$@"', "chromium", *arguments]
        with (log_folder() / "chromium.log").open("w") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self.host.within,
                *shell,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(command_read, reply_write),
                start_new_session=True,
                preexec_fn=die_with_parent,
                env={**os.environ, "HOME": self._profile},
            )
        os.close(command_read)
        os.close(reply_write)
        loop = asyncio.get_running_loop()
        self._replies = asyncio.StreamReader(limit=64 << 20)
        self._reply_transport, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(self._replies), os.fdopen(reply_read, "rb", buffering=0)
        )
        self._command_transport, protocol = await loop.connect_write_pipe(
            asyncio.streams.FlowControlMixin, os.fdopen(command_write, "wb", buffering=0)
        )
        self._commands = asyncio.StreamWriter(self._command_transport, protocol, None, loop)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._handlers: dict[str, Callable[[str, dict[str, Any]], None]] = {}
        self._last = 0
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        try:
            while True:
                message = json.loads((await self._replies.readuntil(b"\0"))[:-1])
                if "id" in message:
                    waiting = self._waiting.pop(message["id"], None)
                    if waiting and not waiting.done():
                        waiting.set_result(message)
                elif handler := self._handlers.get(message.get("sessionId", "")):
                    handler(message["method"], message["params"])
        except (asyncio.IncompleteReadError, ConnectionError):
            for waiting in self._waiting.values():
                if not waiting.done():
                    waiting.set_exception(AssertionError("chromium ended"))

    async def call(self, method: str, session: str | None = None, timeout: float = 30, **parameters: Any) -> dict[str, Any]:
        self._last += 1
        waiting = asyncio.get_running_loop().create_future()
        self._waiting[self._last] = waiting
        command: dict[str, Any] = {"id": self._last, "method": method, "params": parameters}
        if session:
            command["sessionId"] = session
        self._commands.write(json.dumps(command).encode() + b"\0")
        await self._commands.drain()
        message = await asyncio.wait_for(waiting, timeout)
        if "error" in message:
            raise AssertionError(f"chromium: {method}: {message['error']}")
        result: dict[str, Any] = message["result"]
        return result

    async def page(self) -> Page:
        target = (await self.call("Target.createTarget", url="about:blank"))["targetId"]
        session = (await self.call("Target.attachToTarget", targetId=target, flatten=True))["sessionId"]
        page = ChromiumPage(self, target, session)
        self._handlers[session] = page.handle
        await self.call("Runtime.enable", session)
        await self.call("Page.enable", session)
        await self.call("Page.setLifecycleEventsEnabled", session, enabled=True)
        await self.call("Network.enable", session)
        await self.call("Runtime.addBinding", session, name="report")
        return page

    async def close(self) -> None:
        with contextlib.suppress(AssertionError, ConnectionError, TimeoutError):
            await self.call("Browser.close", timeout=3)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._process.wait(), 3)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        await self._process.wait()
        self._reader.cancel()
        self._reply_transport.close()
        self._command_transport.close()
        shutil.rmtree(self._profile, ignore_errors=True)


class ChromiumPage(Page):
    def __init__(self, browser: Chromium, target: str, session: str) -> None:
        super().__init__()
        self._browser, self._target, self._session = browser, target, session
        self._loads = EventLog(f"page {target}")  # each by the id of what was loaded: a page before may still be loading
        self.faults: list[str] = []  # exceptions that nobody caught, and what could not be loaded

    def handle(self, method: str, parameters: dict[str, Any]) -> None:
        if method == "Runtime.bindingCalled" and parameters["name"] == "report":
            self.on_report(parameters["payload"])
        elif method == "Page.lifecycleEvent":
            self._loads.append({"event": parameters["name"], "loader": parameters["loaderId"]})
        elif method == "Runtime.exceptionThrown":
            details = parameters["exceptionDetails"]
            self.faults.append(details.get("exception", {}).get("description", details["text"]))
        elif method == "Network.loadingFailed" and not parameters.get("canceled") and parameters.get("blockedReason") != "inspector":
            self.faults.append(f"not loaded: {parameters['type']}: {parameters['errorText']}")

    async def open(self, url: str) -> None:
        begun = await self.command("Page.navigate", url=url)
        assert "errorText" not in begun, f"chromium: {url}: {begun['errorText']}"
        await self._loads.wait("load", loader=begun["loaderId"], timeout=60)

    async def reload(self) -> None:
        """As its button does; until the page is loaded anew."""
        since = self._loads.mark()
        before = (await self.command("Page.getFrameTree"))["frameTree"]["frame"]["loaderId"]
        await self.command("Page.reload")
        await self._loads.wait("load", since=since, timeout=60, where=lambda event: event["loader"] != before)

    async def before_each(self, script: str) -> None:
        await self.command("Page.addScriptToEvaluateOnNewDocument", source=script)

    async def command(self, method: str, **parameters: Any) -> dict[str, Any]:
        """A command of the DevTools protocol to this tab."""
        return await self._browser.call(method, self._session, **parameters)

    async def run(self, script: str) -> None:
        await self.evaluate(f"{script}; undefined")

    async def evaluate(self, expression: str, timeout: float = 60) -> Any:
        result = await self._browser.call(
            "Runtime.evaluate", self._session, timeout, expression=expression, awaitPromise=True, returnByValue=True
        )
        if details := result.get("exceptionDetails"):
            raise AssertionError(f"chromium: {details.get('exception', {}).get('description', details['text'])}")
        return result["result"].get("value")

    async def close(self) -> None:
        with contextlib.suppress(AssertionError, ConnectionError):
            await self._browser.call("Target.closeTarget", targetId=self._target)
