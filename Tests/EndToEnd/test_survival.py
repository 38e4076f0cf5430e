"""Any plane suffices: for every set of planes that are alive, two members meet and exchange a hundred messages.

The planes that are dead are there all the same, as the addresses of servers that do not answer: none may hold up another.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from networks import ADDRESS, Host
from node import Member, Supernode
from processes import JSONProcess, binary

PLANES = ("tracker", "dht", "gun", "lan", "known")
# Nobody listens there.
DEAD = {"tracker": f"ws://{ADDRESS}:9/", "gun": f"ws://{ADDRESS}:9/gun", "dht": f"{ADDRESS}:9"}
MESSAGES = 50  # each way
AT_ONCE = 6


@dataclass
class Row:
    """What came of one set of planes."""

    alive: tuple[str, ...]
    met: float = 0.0
    done: float = 0.0
    planes: str = ""
    paths: str = ""

    def text(self) -> str:
        marks = "  ".join(f"{'x' if plane in self.alive else '.':^7}" for plane in PLANES)
        return f"{marks}  {self.met:6.2f} s  {self.done:6.2f} s  {self.planes:24} {self.paths}"


async def has_dht() -> bool:
    process = await asyncio.create_subprocess_exec(binary(), "join", "--help", stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    return b"--dht-bootstrap" in output


def options(alive: tuple[str, ...], supernode: Supernode, with_dht: bool) -> list[str]:
    result = ["--tracker", supernode.tracker if "tracker" in alive else DEAD["tracker"]]
    result += ["--relay", supernode.gun if "gun" in alive else DEAD["gun"]]
    if "lan" not in alive:
        result.append("--no-lan")
    if with_dht:
        result += ["--dht-bootstrap", supernode.ready["udp"] if "dht" in alive else DEAD["dht"]]
    return result


async def join(name: str, swarm: str, host: Host, processes: list[JSONProcess], arguments: list[str], data: Path | None) -> Member:
    member = Member(name)
    processes.append(member)
    arguments = [*arguments, *(["--data", str(data)] if data else [])]
    await member.start("join", swarm, "--json", "--name", name, *arguments, within=host.within)
    member.joined = await member.log.wait("joined", timeout=60)
    member.id = member.joined["self"]
    return member


async def meet_first(swarm: str, hosts: list[Host], processes: list[JSONProcess], data: list[Path]) -> None:
    """Two members that met once, over a plane that is gone afterwards."""
    pair = [await join(f"{swarm}-once{number}", swarm, hosts[number], processes, [], data[number]) for number in range(2)]
    await pair[0].path(pair[1], "direct", timeout=60)
    await pair[1].path(pair[0], "direct", timeout=60)
    for member in pair:
        await member.leave()


async def survive(alive: tuple[str, ...], hosts: list[Host], processes: list[JSONProcess], supernode: Supernode, with_dht: bool, tmp: Path) -> Row:
    row = Row(alive)
    swarm = "survival-" + "-".join(alive)
    data: list[Path | None] = [None, None]
    if "known" in alive:
        data = [tmp / f"{swarm}{number}" for number in range(2)]
        await meet_first(swarm, hosts, processes, data)
    arguments = options(alive, supernode, with_dht)
    start = time.monotonic()
    alice, bob = await asyncio.gather(
        *(join(f"{swarm}-{number}", swarm, hosts[number], processes, arguments, data[number]) for number in range(2))
    )
    await asyncio.gather(alice.session(bob, timeout=90), bob.session(alice, timeout=90))
    row.met = time.monotonic() - start
    for number in range(MESSAGES):
        await alice.send(bob, f"a{number}")
        await bob.send(alice, f"b{number}")
    last = MESSAGES - 1
    await asyncio.gather(bob.message(alice, f"a{last}", timeout=60), alice.message(bob, f"b{last}", timeout=60))
    row.done = time.monotonic() - start
    assert bob.texts_from(alice.id) == [f"a{number}" for number in range(MESSAGES)]
    assert alice.texts_from(bob.id) == [f"b{number}" for number in range(MESSAGES)]
    found = {event["plane"] for member, other in ((alice, bob), (bob, alice)) for event in member.log.matching("discovered", peer=other.id)}
    row.planes = ",".join(sorted(found))
    row.paths = ",".join(sorted(alice.paths_from(bob.id) | bob.paths_from(alice.id)))
    if "gun" not in alive:
        assert row.paths == "direct", f"{alive}: nothing but the direct path can carry a message"
    await asyncio.gather(alice.leave(), bob.leave())
    return row


@pytest.mark.timeout(600)
async def test_any_plane_suffices(hosts: list[Host], processes: list[JSONProcess], tmp_path: Path, capsys) -> None:
    with_dht = await has_dht()
    supernode = Supernode(ADDRESS, tmp_path / "serve", dht=with_dht)
    processes.append(supernode)
    await supernode.serve()
    planes = PLANES if with_dht else tuple(plane for plane in PLANES if plane != "dht")
    subsets = [set_ for size in range(1, len(planes) + 1) for set_ in itertools.combinations(planes, size)]
    turn = asyncio.Semaphore(AT_ONCE)

    async def one(alive: tuple[str, ...]) -> Row:
        async with turn:
            return await survive(alive, hosts, processes, supernode, with_dht, tmp_path)

    rows = await asyncio.gather(*(one(alive) for alive in subsets), return_exceptions=True)
    failed = [(alive, row) for alive, row in zip(subsets, rows, strict=True) if not isinstance(row, Row)]
    with capsys.disabled():
        print("\n\n" + "  ".join(f"{plane:^7}" for plane in PLANES) + "       met  100 messages  found by                 path")
        for row in rows:
            if isinstance(row, Row):
                print(row.text())
        print(f"{len(rows) - len(failed)} of {len(rows)} sets of planes")
    assert not failed, failed
