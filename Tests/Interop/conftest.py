"""The peers: ours, aiortc and Chromium, in every pairing and with either side offering."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest
from aiortc_peer import AiortcPeer
from chromium import Browser, find_chromium
from chromium_peer import ChromiumPeer
from coturn import Coturn
from networks import Host, Network
from pair_peer import PairPeer
from peer import Peer

# Offerer and answerer. Without ours the harness itself is tested: when those fail, nothing else means anything.
WITH_OURS = [pair for other in ("aiortc", "chromium") for pair in (("ours", other), (other, "ours"))] + [("ours", "ours")]
WITHOUT_OURS = [("aiortc", "chromium"), ("chromium", "aiortc")]

MakePeer = Callable[..., Awaitable[Peer]]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that takes `kinds` runs for every pairing."""
    if "kinds" in metafunc.fixturenames:
        pairs = WITH_OURS + WITHOUT_OURS
        metafunc.parametrize("kinds", pairs, ids=[f"{offerer}-offers-{answerer}" for offerer, answerer in pairs])


class Browsers:
    """One browser for all tests, and one that hides its addresses, each started when first asked for."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._running: dict[bool, Browser] = {}

    async def get(self, *, hide_addresses: bool = False) -> Browser:
        if hide_addresses not in self._running:
            self._running[hide_addresses] = await Browser.start(self._host, hide_addresses=hide_addresses)
        return self._running[hide_addresses]

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
def coturn(network: Network) -> Iterator[Coturn]:
    """A TURN server in the tests' namespace."""
    if not Coturn.is_installed():
        pytest.skip("no turnserver in PATH: apt install coturn")
    server = Coturn.start()
    yield server
    server.close()


@pytest.fixture(scope="session")
def browser_host(network: Network) -> Host:
    """Where Chromium runs: it gives no candidates where only `lo` is up."""
    return network.host("browser")


@pytest.fixture(scope="session")
async def browsers(browser_host: Host) -> AsyncIterator[Browsers]:
    if find_chromium() is None:
        pytest.fail("no chromium in PATH: run scripts/setup")
    browsers = Browsers(browser_host)
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
        else:
            peer = await ChromiumPeer.start(await browsers.get(hide_addresses=hide_addresses), echo=echo)
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
