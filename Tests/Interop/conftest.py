"""The peers: ours, aiortc, libdatachannel, Chromium and Firefox, in every pairing with ours and with either side offering."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiortc_peer import AiortcPeer
from browser import Browser
from browser_peer import BrowserPeer
from chromium import Chromium
from firefox import Firefox
from libdatachannel_peer import LibdatachannelPeer, find_python
from networks import Host, Network
from pair_peer import PairPeer
from peer import Peer

# Offerer and answerer. Without ours the harness itself is tested: when those fail, nothing else means anything.
WITH_OURS = [pair for other in ("aiortc", "libdatachannel", "chromium", "firefox") for pair in (("ours", other), (other, "ours"))] + [("ours", "ours")]
WITHOUT_OURS = [("aiortc", "chromium"), ("firefox", "aiortc")]

BROWSERS = {browser.name: browser for browser in (Chromium, Firefox)}

MakePeer = Callable[..., Awaitable[Peer]]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that takes `kinds` runs for every pairing."""
    if "kinds" in metafunc.fixturenames:
        left_out = {kind for mark in metafunc.definition.iter_markers("without") for kind in mark.args}
        pairs = [pair for pair in WITH_OURS + WITHOUT_OURS if left_out.isdisjoint(pair)]
        metafunc.parametrize("kinds", pairs, ids=[f"{offerer}-offers-{answerer}" for offerer, answerer in pairs])


class Browsers:
    """Of each browser one for all tests, and one that hides its addresses, each started when first asked for."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._running: dict[tuple[str, bool], Browser] = {}

    async def get(self, kind: str, *, hide_addresses: bool = False) -> Browser:
        if (kind, hide_addresses) not in self._running:
            browser = BROWSERS[kind](self._host(kind), hide_addresses=hide_addresses)
            await browser.start()
            self._running[kind, hide_addresses] = browser
        return self._running[kind, hide_addresses]

    def _host(self, kind: str) -> Host:
        """Each kind has a host to itself: browsers give no candidates where only `lo` is up."""
        return next((b.host for b in self._running.values() if b.name == kind), None) or self._network.host(kind)

    async def close(self) -> None:
        for browser in self._running.values():
            await browser.close()


@pytest.fixture(scope="session")
def node_host(network: Network) -> Host:
    """Where swarm-space runs that offers."""
    return network.host("node")


@pytest.fixture(scope="session")
def answering_host(network: Network) -> Host:
    """Where swarm-space runs that answers."""
    return network.host("answering")


@pytest.fixture(scope="session")
async def browsers(network: Network) -> AsyncIterator[Browsers]:
    browsers = Browsers(network)
    yield browsers
    await browsers.close()


@pytest.fixture
async def make_peer(node_host: Host, answering_host: Host, browsers: Browsers) -> AsyncIterator[MakePeer]:
    """Makes peers by kind, and ends them all after the test."""
    peers: list[Peer] = []

    async def make(kind: str, *, answering: bool, echo: bool = False, hide_addresses: bool = False, turn: list[str] | None = None, roots: str | None = None) -> Peer:
        peer: Peer
        if kind == "ours":
            peer = await PairPeer.start(answering_host if answering else node_host, answering=answering, echo=echo, turn=turn, roots=roots)
        elif kind == "aiortc":
            peer = AiortcPeer(echo=echo)
        elif kind == "libdatachannel":
            if not (python := find_python()):
                pytest.skip("no libdatachannel-py in .venv-libdatachannel: it needs Python 3.13 or newer (scripts/setup)")
            host = answering_host if answering else node_host
            peer = await LibdatachannelPeer.start_with(python, host, answering=answering, echo=echo)
        else:
            peer = await BrowserPeer.start(await browsers.get(kind, hide_addresses=hide_addresses), echo=echo)
        peers.append(peer)
        return peer

    yield make
    failures = []
    for peer in peers:
        try:
            await peer.end()
        except AssertionError as error:
            failures.append(str(error))
    assert not failures, failures


@pytest.fixture
async def sides(kinds: tuple[str, str], make_peer: MakePeer) -> tuple[Peer, Peer]:
    """Offerer and answerer, not connected yet."""
    return await make_peer(kinds[0], answering=False), await make_peer(kinds[1], answering=True)
