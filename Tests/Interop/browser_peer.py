"""A page of a browser as the other side."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from browser import Browser, Page
from peer import Description, Payload, Peer, message_event

SCRIPT = (Path(__file__).parent / "browser_peer.js").read_text()


class BrowserPeer(Peer):
    def __init__(self, browser: Browser, page: Page) -> None:
        super().__init__(browser.name, browser.host)
        self._page = page
        page.on_report = self._report

    @classmethod
    async def start(cls, browser: Browser, *, echo: bool = False) -> BrowserPeer:
        peer = cls(browser, await browser.page())
        await peer._page.run(f"{SCRIPT}; globalThis.it = peer({json.dumps(echo)})")
        return peer

    def _report(self, text: str) -> None:
        event = json.loads(text)
        if event["event"] == "message":
            payload = event["text"] if "text" in event else base64.b64decode(event["base64"])
            event = message_event(event["label"], event["id"], payload)
        self.log.append(event)

    async def _call(self, method: str, *arguments: Any) -> Any:
        return await self._page.evaluate(f"it.{method}({', '.join(json.dumps(a) for a in arguments)})")

    async def offer(self) -> Description:
        return await self._call("offer")

    async def answer(self, offer: Description) -> Description:
        return await self._call("answer", offer)

    async def accept(self, answer: Description) -> None:
        await self._call("accept", answer)

    async def restart(self) -> Description:
        return await self._call("restart")

    async def open(self, label: str, **options: Any) -> None:
        await self._call("open", label, options)

    async def send(self, label: str, *payloads: Payload) -> None:
        encoded = [{"text": p} if isinstance(p, str) else {"base64": base64.b64encode(p).decode()} for p in payloads]
        await self._call("send", label, encoded)

    async def close(self, label: str) -> None:
        await self._call("close", label)

    async def disconnect(self) -> None:
        await self._call("disconnect")

    async def selected_pair(self) -> dict[str, Any]:
        """The candidates of the pair in use: {"local": …, "remote": …} as getStats() tells them."""
        return await self._call("pair")

    async def end(self) -> None:
        await self._page.close()
