"""What the peers ask of a browser, whichever it is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from networks import Host


class Page(ABC):
    """One tab. `report(text)` in its scripts calls `on_report` here."""

    def __init__(self) -> None:
        self.on_report: Callable[[str], None] = lambda _: None

    @abstractmethod
    async def run(self, script: str) -> None:
        """Runs statements in the page's global scope."""

    @abstractmethod
    async def evaluate(self, expression: str, timeout: float = 60) -> Any:
        """The value of a JavaScript expression; a promise is awaited."""

    @abstractmethod
    async def open(self, url: str) -> None:
        """Goes to a page, and waits until it is loaded. To go where it is already loads it again."""

    @abstractmethod
    async def before_each(self, script: str) -> None:
        """Runs statements before those of each page that it goes to from now on."""

    @abstractmethod
    async def close(self) -> None: ...


class Browser(ABC):
    """One browser process without a window, in a network namespace."""

    name: str

    def __init__(self, host: Host, *, hide_addresses: bool, trusted: str | None = None) -> None:
        self.host = host
        self._hide_addresses = hide_addresses  # behind multicast DNS names
        self._trusted = trusted  # HOST:PORT whose pages have cryptography although they come by http:

    @abstractmethod
    async def start(self) -> None: ...

    @abstractmethod
    async def page(self) -> Page:
        """A new tab, in which `report` is there."""

    @abstractmethod
    async def close(self) -> None: ...
