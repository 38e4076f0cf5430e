"""Our side: `swarm-space pair --json`."""

from __future__ import annotations

import base64
from typing import Any

from event_log import Event
from networks import Namespace
from peer import Description, Payload, Peer
from processes import JSONProcess


class PairPeer(Peer):
    """Drives a process that speaks as `swarm-space pair --json` does."""

    def __init__(self, process: JSONProcess, host: Namespace, name: str = "ours") -> None:
        super().__init__(name, host)
        self.process = process
        self.log = process.log
        self._described = 0

    @classmethod
    async def start(
        cls,
        host: Namespace,
        *,
        answering: bool,
        echo: bool = False,
        stun: str | None = None,
        turn: list[str] | None = None,
        roots: str | None = None,
        name: str | None = None,
    ) -> PairPeer:
        """`stun`: a server, as host:port; `turn`: URLs of TURN servers, for the user `u` with the password `p`; `roots`: a file
        of certificates that stands where the system keeps those it trusts; `name`: what its logs are called."""
        process = JSONProcess(name or ("pair-answer" if answering else "pair-offer"))
        arguments = ["pair", "--json"] + (["--answer"] if answering else []) + (["--echo"] if echo else [])
        arguments += ["--stun", stun] if stun else []
        for url in turn or []:
            arguments += ["--turn", url]
        if turn:
            arguments += ["--turn-user", "u", "--turn-password", "p"]
        within = host.within
        if roots:
            within = [*within, "unshare", "--mount", "sh", "-c", 'mount --bind "$0" /etc/ssl/certs/ca-certificates.crt && exec "$@"', roots]
        await process.start(*arguments, within=within)
        return cls(process, host)

    async def _description(self, kind: str) -> Description:
        """The next description it prints, which must be of that kind."""

        def described() -> list[Event] | None:
            found = [e for e in self.log.events if "sdp" in e]
            return found if len(found) > self._described else None

        found = (await self.log.until(described, 15, f"an {kind}"))[self._described]
        self._described += 1
        assert found.get("type") == kind, f"wanted an {kind}, got {found}"
        return {"type": found["type"], "sdp": found["sdp"]}

    async def offer(self) -> Description:
        return await self._description("offer")

    async def answer(self, offer: Description) -> Description:
        await self.process.command(**offer)
        return await self._description("answer")

    async def accept(self, answer: Description) -> None:
        await self.process.command(**answer)

    async def restart(self) -> Description:
        await self.process.command(cmd="restart")
        return await self._description("offer")

    async def open(self, label: str, **options: Any) -> None:
        await self.process.command(cmd="open", label=label, **options)

    async def send(self, label: str, *payloads: Payload) -> None:
        for payload in payloads:
            if isinstance(payload, str):
                await self.process.command(cmd="send", label=label, text=payload)
            else:
                await self.process.command(cmd="send", label=label, base64=base64.b64encode(payload).decode())

    async def close(self, label: str) -> None:
        await self.process.command(cmd="close", label=label)

    async def disconnect(self) -> None:
        await self.process.command(cmd="disconnect")

    async def end(self) -> None:
        """Also checks what holds for every run: nothing but JSON on stdout, and no crash."""
        status = self.process.process.returncode
        await self.process.end()
        assert not self.process.not_json, f"not JSON on stdout: {self.process.not_json[:3]}"
        assert status in (None, 0), f"exit status {status}: {self.process.stderr()[-2000:]}"
