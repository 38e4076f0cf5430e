"""Somebody who uses the page in Chromium: types, presses keys, looks."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from pathlib import Path
from typing import Any

from chromium import Chromium, ChromiumPage

FAULTS = (Path(__file__).parent / "accessibility.js").read_text()
# What is seen, and what is in its fields.
STATE = """[
  `${location.href}, ${document.readyState}`,
  ...[...document.querySelectorAll("input, button")].filter((field) => field.checkVisibility())
    .map((field) => `${field.id || field.innerText}: ${field.value}${field.disabled ? " (disabled)" : ""}${field === document.activeElement ? " (focused)" : ""}`),
  document.body.innerText,
].join("\\n")"""
DESKTOP, PHONE = (1280, 860), (390, 844)
KEYS = {"Tab": (9, ""), "Enter": (13, "\r"), "Escape": (27, "")}


class Visitor:
    def __init__(self, page: ChromiumPage) -> None:
        self.page = page

    @classmethod
    async def come(cls, browser: Chromium, url: str, *, size: tuple[int, int] = DESKTOP, dark: bool = False) -> Visitor:
        page = await browser.page()
        assert isinstance(page, ChromiumPage)
        visitor = cls(page)
        await visitor.see(size, dark=dark)
        await page.open(url)
        return visitor

    async def see(self, size: tuple[int, int], *, dark: bool = False) -> None:
        width, height = size
        await self.page.command("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.page.command("Emulation.setEmulatedMedia", features=[scheme])

    async def press(self, key: str) -> None:
        code, text = KEYS[key]
        await self.page.command("Input.dispatchKeyEvent", type="keyDown", key=key, windowsVirtualKeyCode=code, text=text)
        await self.page.command("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=code)

    async def type(self, text: str) -> None:
        await self.page.command("Input.insertText", text=text)

    async def focus(self, selector: str) -> None:
        await self.page.run(f"document.querySelector({json.dumps(selector)}).focus()")

    async def click(self, selector: str) -> None:
        await self.page.run(f"document.querySelector({json.dumps(selector)}).click()")

    async def focused(self) -> str:
        return await self.page.evaluate("document.activeElement.id || document.activeElement.className || document.activeElement.tagName")

    async def text(self, selector: str) -> str:
        return await self.page.evaluate(f"document.querySelector({json.dumps(selector)})?.innerText ?? ''")

    async def wait(self, condition: str, timeout: float = 60) -> Any:
        """Until a JavaScript expression is true."""
        deadline = time.monotonic() + timeout
        while not (value := await self.page.evaluate(condition)):
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {timeout} s: {condition}\n{await self.page.evaluate(STATE)}\n{self.page.faults}")
            await asyncio.sleep(0.1)
        return value

    async def join(self, name: str, swarm: str | None = None) -> None:
        """By the keyboard alone: the name has no focus yet, and Enter joins."""
        await self.focus("#nick")
        await self.page.run("document.activeElement.select()")
        await self.type(name)
        if swarm:
            await self.focus("#invite")
            await self.type(swarm)
        await self.press("Enter")
        await self.wait("document.body.dataset.stage === 'swarm'")

    async def say(self, text: str) -> None:
        await self.focus("#text")
        await self.type(text)
        await self.press("Enter")

    async def faults(self) -> list[str]:
        return await self.page.evaluate(FAULTS)

    async def picture(self) -> bytes:
        """A PNG of what is seen."""
        return base64.b64decode((await self.page.command("Page.captureScreenshot", format="png"))["data"])
