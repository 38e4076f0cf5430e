"""Members in browsers, beside native ones."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from browser import Browser
from chromium import Chromium
from firefox import Firefox
from networks import ADDRESS, Host, Network
from node import Member, Supernode
from processes import JSONProcess, binary
from tab import MakeNative, MakeTab, Tab

PORT = 7750  # the namespace is ours alone
ORIGIN = f"http://{ADDRESS}:{PORT}/"


@pytest.fixture(scope="session")
async def chromium(network: Network) -> AsyncIterator[Browser]:
    browser = Chromium(network.host("chromium"), hide_addresses=False, trusted=f"{ADDRESS}:{PORT}")
    await browser.start()
    yield browser
    await browser.close()


class Here:
    """The tests' own namespace, as a host: its `localhost` is ours."""

    within: list[str] = []


@pytest.fixture
async def chromium_here(network: Network, native_host: Host) -> AsyncIterator[Browser]:
    """For pages from `localhost`. The host is there before it: a browser gives up what it is loading when its network changes."""
    browser = Chromium(Here(), hide_addresses=False)  # type: ignore[arg-type]
    await browser.start()
    yield browser
    await browser.close()


@pytest.fixture(scope="session")
async def firefox(network: Network) -> AsyncIterator[Browser]:
    browser = Firefox(network.host("firefox"), hide_addresses=False, trusted=f"{ADDRESS}:{PORT}")
    await browser.start()
    yield browser
    await browser.close()


@pytest.fixture(scope="session")
def native_host(network: Network) -> Host:
    return network.host("native")


@pytest.fixture
async def processes() -> AsyncIterator[list[JSONProcess]]:
    """After the test every process ends, and none of them has crashed."""
    processes: list[JSONProcess] = []
    yield processes
    crashed = [p for p in processes if p.process.returncode in (-4, -5, -6, -7, -8, -11)]
    for process in processes:
        await process.end()
    assert not crashed, [f"{p.name}: status {p.process.returncode}: {p.stderr()[-3000:]}" for p in crashed]


@pytest.fixture
async def supernode(network: Network, processes: list[JSONProcess], tmp_path: Path, request: pytest.FixtureRequest) -> Supernode:
    """With the options that the test is parametrized with, if it is."""
    supernode = Supernode(ADDRESS, tmp_path / "serve", *getattr(request, "param", []))
    supernode.port = PORT
    processes.append(supernode)
    await supernode.serve()
    return supernode


@pytest.fixture
def magnet(supernode: Supernode, request: pytest.FixtureRequest) -> str:
    """One for each test: what one leaves behind in a browser is not the other's."""
    command = [binary(), "invite", request.node.name, "--tracker", supernode.tracker, "--relay", supernode.gun]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
async def make_tab(magnet: str) -> AsyncIterator[MakeTab]:
    tabs: list[Tab] = []

    async def make(browser: Browser, name: str, **options: object) -> Tab:
        tab = Tab(await browser.page(), ORIGIN, name)
        tabs.append(tab)
        await tab.join(magnet, **options)
        return tab

    yield make
    for tab in tabs:
        await tab.end()


@pytest.fixture
def make_native(magnet: str, native_host: Host, processes: list[JSONProcess], tmp_path: Path) -> MakeNative:
    async def make(name: str = "native", *options: str, magnet: str = magnet) -> Member:
        member = Member(name)
        processes.append(member)
        await member.join(magnet, *options, host=native_host, data=tmp_path / name)
        return member

    make.processes = processes  # type: ignore[attr-defined]
    return make
