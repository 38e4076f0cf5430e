"""Networks that change and lose while two peers talk: no message is lost, none comes twice, all in order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from networks import Host
from pair_peer import PairPeer
from peer import Message, connect, lines, negotiate

COUNT = 150


@pytest.fixture
async def pair(hosts: list[Host]) -> AsyncIterator[tuple[PairPeer, PairPeer]]:
    """Offerer and answerer, connected."""
    sides = (await PairPeer.start(hosts[0], answering=False), await PairPeer.start(hosts[1], answering=True))
    try:
        await connect(*sides)
        yield sides
    finally:
        for side in sides:
            await side.end()


class Streams:
    """Numbered messages both ways, one after the other, as fast as the other side has taken those before."""

    def __init__(self, sides: tuple[PairPeer, PairPeer]) -> None:
        self._sides = sides
        self._since = [side.log.mark() for side in sides]
        self._sent: list[list[str]] = [[], []]
        self._running = [asyncio.create_task(self._stream(number)) for number in (0, 1)]

    async def _stream(self, number: int) -> None:
        sender, receiver = self._sides[number], self._sides[1 - number]
        for index in range(COUNT):
            # Up to eight are under way; they are on their way when the network changes.
            await receiver.messages(index - 8, since=self._since[1 - number], timeout=60)
            self._sent[number].append(f"{number}: {index} " + "x" * (index % 7 * 300))
            await sender.send("main", self._sent[number][-1])

    async def reach(self, count: int) -> None:
        """Until so many have arrived on both sides."""
        for side, since in zip(self._sides, self._since):
            await side.messages(count, since=since, timeout=60)

    async def finish(self) -> None:
        await asyncio.gather(*self._running)
        for number, side in enumerate(self._sides):
            sent = [Message.of(payload) for payload in self._sent[1 - number]]
            assert await side.messages(COUNT, since=self._since[number], timeout=60) == sent
            assert not side.log.matching("closed") and not side.log.matching("open", since=self._since[number])

    def cancel(self) -> None:
        for task in self._running:
            task.cancel()


@pytest.fixture
async def streams(pair: tuple[PairPeer, PairPeer]) -> AsyncIterator[Streams]:
    streams = Streams(pair)
    await streams.reach(10)
    yield streams
    streams.cancel()


_address = 100


def another_address() -> int:
    """One that no host of the tests' network had before."""
    global _address
    _address += 1
    return _address


@pytest.mark.parametrize("mover", [0, 1], ids=["offerer", "answerer"])
@pytest.mark.parametrize("restarter", [0, 1], ids=["offerer", "answerer"])
async def test_a_restart_after_a_move_carries_the_stream_on(
    hosts: list[Host], pair: tuple[PairPeer, PairPeer], streams: Streams, mover: int, restarter: int
) -> None:
    """The address of one side changes under it; then either side restarts ICE."""
    hosts[mover].move(another_address())
    starter, other = pair[restarter], pair[1 - restarter]
    await negotiate(starter, other, await starter.restart())
    await streams.finish()


@pytest.mark.parametrize("mover", [0, 1], ids=["offerer", "answerer"])
async def test_a_move_alone_is_mended_without_signaling(
    hosts: list[Host], pair: tuple[PairPeer, PairPeer], streams: Streams, mover: int
) -> None:
    """The other side learns of the new address by checks from it (RFC 8445 §7.3.1.3)."""
    hosts[mover].move(another_address())
    await streams.finish()


async def test_both_move_at_once_and_a_restart_brings_them_together(
    hosts: list[Host], pair: tuple[PairPeer, PairPeer], streams: Streams
) -> None:
    """Neither hears of the other's new address but by the offer."""
    for host in hosts[:2]:
        host.move(another_address())
    offer = await pair[0].restart()
    async with asyncio.timeout(20):
        while not any(f" {hosts[0].address} " in candidate for candidate in lines(offer, "candidate")):
            await asyncio.sleep(0.1)  # it has not noticed yet
            offer = await pair[0].restart()
    await negotiate(*pair, offer)
    await streams.finish()


@pytest.mark.parametrize("percent", [5, 20])
async def test_a_path_that_loses_packets_loses_no_message(hosts: list[Host], streams: Streams, percent: int) -> None:
    hosts[0].lose(percent)
    await streams.finish()


async def test_a_cut_in_the_middle_is_waited_out(hosts: list[Host], pair: tuple[PairPeer, PairPeer], streams: Streams) -> None:
    hosts[0].cut()
    for side in pair:
        await side.log.wait("state", state="disconnected", timeout=60)
    hosts[0].heal()
    await streams.finish()


async def test_a_restart_over_a_path_that_loses_packets(hosts: list[Host], pair: tuple[PairPeer, PairPeer], streams: Streams) -> None:
    hosts[1].lose(10)
    for restarter in (0, 1):
        starter, other = pair[restarter], pair[1 - restarter]
        await negotiate(starter, other, await starter.restart())
    await streams.finish()
