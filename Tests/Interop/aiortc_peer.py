"""aiortc as the other side, in the tests' own process."""

from __future__ import annotations

import asyncio
from typing import Any

from aiortc import RTCConfiguration, RTCDataChannel, RTCPeerConnection, RTCSessionDescription
from peer import Description, Payload, Peer, message_event


class AiortcPeer(Peer):
    def __init__(self, *, echo: bool = False) -> None:
        super().__init__("aiortc")
        self._echo = echo
        self._connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._channels: dict[str, RTCDataChannel] = {}
        self._connection.on("datachannel", self._take)
        self._connection.on("connectionstatechange", self._state)

    def _state(self) -> None:
        state = self._connection.connectionState
        self.log.append({"event": "state", "state": state})
        if state == "closed":
            self.log.append({"event": "closed"})

    def _take(self, channel: RTCDataChannel) -> None:
        self._channels[channel.label] = channel
        label = channel.label

        def opened() -> None:
            self.log.append(
                {
                    "event": "open",
                    "label": label,
                    "id": channel.id,
                    "protocol": channel.protocol,
                    "ordered": channel.ordered,
                    "maxRetransmits": channel.maxRetransmits,
                    "maxPacketLifeTime": channel.maxPacketLifeTime,
                }
            )

        def received(payload: Payload) -> None:
            self.log.append(message_event(label, channel.id, payload))
            if self._echo:
                channel.send(payload)

        channel.on("open", opened)
        channel.on("message", received)
        channel.on("close", lambda: self.log.append({"event": "closed", "label": label, "id": channel.id}))
        if channel.readyState == "open":
            opened()

    async def _local(self, description: RTCSessionDescription) -> Description:
        await self._connection.setLocalDescription(description)
        local = self._connection.localDescription
        return {"type": local.type, "sdp": local.sdp}

    async def offer(self) -> Description:
        self._take(self._connection.createDataChannel("main"))
        return await self._local(await self._connection.createOffer())

    async def answer(self, offer: Description) -> Description:
        await self._connection.setRemoteDescription(RTCSessionDescription(**offer))
        return await self._local(await self._connection.createAnswer())

    async def accept(self, answer: Description) -> None:
        await self._connection.setRemoteDescription(RTCSessionDescription(**answer))

    async def restart(self) -> Description:
        """aiortc has no ICE restart: this offers again with the same credentials, which must be answered all the same."""
        return await self._local(await self._connection.createOffer())

    async def open(self, label: str, **options: Any) -> None:
        self._take(self._connection.createDataChannel(label, **options))

    async def send(self, label: str, *payloads: Payload) -> None:
        for payload in payloads:
            self._channels[label].send(payload)
            await asyncio.sleep(0)  # its connection lives in this event loop, and is to live on meanwhile

    async def close(self, label: str) -> None:
        self._channels[label].close()

    async def disconnect(self) -> None:
        await self._connection.close()

    async def end(self) -> None:
        await self._connection.close()
