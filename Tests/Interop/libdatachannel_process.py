"""A libdatachannel peer as a process: run by a Python that has libdatachannel-py, it speaks as `swarm-space pair --json` does.

    python libdatachannel_process.py [--answer] [--echo]
"""

from __future__ import annotations

import base64
import hashlib
import json
import sys
import threading
from datetime import timedelta
from typing import Any

import libdatachannel as rtc


class Process:
    def __init__(self, *, answering: bool, echo: bool) -> None:
        self._answering, self._echo = answering, echo
        self._lock = threading.Lock()
        self._channels: dict[str, rtc.DataChannel] = {}
        configuration = rtc.Configuration()
        configuration.disable_auto_negotiation = True
        self._connection = rtc.PeerConnection(configuration)
        self._connection.on_state_change(self._state)
        self._connection.on_gathering_state_change(self._gathered)
        self._connection.on_data_channel(self._take)

    def _say(self, **event: Any) -> None:
        with self._lock:  # callbacks come on threads of their own
            print(json.dumps(event), flush=True)

    def _state(self, state: rtc.PeerConnection.State) -> None:
        if state != rtc.PeerConnection.State.New:
            self._say(event="state", state=state.name.lower())
        if state == rtc.PeerConnection.State.Closed:
            self._say(event="closed")

    def _gathered(self, state: rtc.PeerConnection.GatheringState) -> None:
        if state == rtc.PeerConnection.GatheringState.Complete:
            self._describe()

    def _describe(self) -> None:
        description = self._connection.local_description()
        assert description is not None
        self._say(type=description.type_string(), sdp=str(description))

    def _take(self, channel: rtc.DataChannel) -> None:
        label = channel.label()
        self._channels[label] = channel

        def opened() -> None:
            reliability = channel.reliability()
            lifetime = reliability.max_packet_lifetime
            self._say(
                event="open",
                label=label,
                id=channel.id(),
                protocol=channel.protocol(),
                ordered=not reliability.unordered,
                maxRetransmits=reliability.max_retransmits,
                maxPacketLifeTime=None if lifetime is None else round(lifetime.total_seconds() * 1000),
            )

        def received(payload: bytes | str) -> None:
            data = payload.encode() if isinstance(payload, str) else bytes(payload)
            kind = "text" if isinstance(payload, str) else "binary"
            self._say(event="message", label=label, id=channel.id(), kind=kind, bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
            if self._echo:
                channel.send(payload)

        channel.on_message(received)
        channel.on_closed(lambda: self._say(event="closed", label=label, id=channel.id()))
        channel.on_open(opened)

    def run(self) -> None:
        if not self._answering:
            self._open({"label": "main"})
            self._connection.set_local_description(rtc.Description.Type.Offer)
        for line in sys.stdin:
            try:
                self._obey(json.loads(line))
            except Exception as error:  # whatever the binding throws is said, and the other side goes on
                self._say(event="error", message=f"{type(error).__name__}: {error}")
        self._connection.close()

    def _obey(self, order: dict[str, Any]) -> None:
        match order.get("cmd"):
            case None:
                self._connection.set_remote_description(rtc.Description(order["sdp"], order["type"]))
                if order["type"] == "offer":
                    first = self._connection.local_description() is None
                    self._connection.set_local_description(rtc.Description.Type.Answer)
                    if not first:
                        self._describe()  # nothing is gathered again
            case "open":
                self._open(order)
            case "send":
                payload = order["text"] if "text" in order else base64.b64decode(order["base64"])
                self._channels[order["label"]].send(payload)
            case "close":
                self._channels[order["label"]].close()
            case "disconnect":
                self._connection.close()
            case unknown:
                raise ValueError(f"no command {unknown}")

    def _open(self, options: dict[str, Any]) -> None:
        reliability = rtc.Reliability()
        reliability.unordered = not options.get("ordered", True)
        reliability.max_retransmits = options.get("maxRetransmits")
        if (lifetime := options.get("maxPacketLifeTime")) is not None:
            reliability.max_packet_lifetime = timedelta(milliseconds=lifetime)
        init = rtc.DataChannelInit()
        init.reliability = reliability
        init.protocol = options.get("protocol", "")
        self._take(self._connection.create_data_channel(options["label"], init))


if __name__ == "__main__":
    Process(answering="--answer" in sys.argv, echo="--echo" in sys.argv).run()
