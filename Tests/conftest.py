"""What all Python tests share: the network of their own, entered before anything else is started."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from coturn import Coturn
from networks import Network, NetworkUnavailable
from processes import LOGS, binary

_network: Network | None = None
_why_no_network = ""


def pytest_configure(config: pytest.Config) -> None:
    global _network, _why_no_network
    if config.option.collectonly:
        return
    worker = hasattr(config, "workerinput")
    if not worker:
        shutil.rmtree(LOGS, ignore_errors=True)
        if getattr(config.option, "numprocesses", None):
            return  # the workers run the tests, each in a network of its own
    try:
        _network = Network.enter()
    except NetworkUnavailable as error:
        _why_no_network = str(error)


def pytest_unconfigure() -> None:
    if _network:
        _network.close()


def pytest_report_header() -> list[str]:
    return [
        f"swarm-space: {binary()}",
        f"network: {'a namespace of its own' if _network else 'this machine: ' + _why_no_network}",
        f"logs of processes: {LOGS}",
    ]


@pytest.fixture(scope="session")
def network() -> Network:
    """The tests' own network; a test that needs it is skipped, aloud, where the machine has none to give."""
    if _network is None:
        pytest.skip(f"no network namespace: {_why_no_network}")
    return _network


@pytest.fixture(scope="session")
def coturn(network: Network) -> Iterator[Coturn]:
    """A TURN server in the tests' namespace."""
    if not Coturn.is_installed():
        pytest.skip("no turnserver in PATH: apt install coturn")
    server = Coturn.start()
    yield server
    server.close()
