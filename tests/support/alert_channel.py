"""Alert channels of tests: one with a secret URL, a sink that is played, and a server that keeps what it is sent."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from agent.alerts.sinks import make_sink
from agent.config.alerts import AlertChannel
from agent.config.section import SecretStr
from agent.core.alerts.notice import Notice
from agent.ports import Delivery
from tests.support.slow_server import Server, request

SECRET = "T0-B0-secretpath"
OK = Delivery(ok=True)
HANGS = Delivery(ok=False, retry=True, detail="hangs")
NOTICE = Notice(
    "stop/eos/7", "leader_stops", "critical", "bp-a stops: <!channel> & co", fields={"node": "bp-a", "do": ""}
)


def channel(port: int, kind: str = "webhook", scheme: str = "http", **other: Any) -> AlertChannel:
    """Return a channel whose URL has a secret path."""
    fields = {
        "name": "ops",
        "type": kind,
        "url": SecretStr(f"{scheme}://127.0.0.1:{port}/services/{SECRET}?k={SECRET}"),
    }
    return AlertChannel.model_validate(fields | other)


def send(port: int, timeout_s: float = 2.0, **settings: Any) -> Delivery:
    """Send the notice once; whatever comes of it, nothing of the URL is in it."""
    delivery = make_sink(channel(port, **settings)).send(NOTICE, timeout_s)
    assert SECRET not in repr(delivery)
    assert "services" not in repr(delivery)
    return delivery


class PlayedSink:
    """A sink that answers what the test says, keeps what it got, and hangs while its gate is closed."""

    def __init__(self, answer: Delivery | Callable[[int], Delivery] = OK, name: str = "ops", *, opened: bool = True):
        self.answer, self.name = answer, name
        self.tries: list[tuple[str, float]] = []
        self.got: list[str] = []
        self.arrived: list[str] = []
        self.timeouts: list[float] = []
        self.gate = threading.Event()
        if opened:
            self.gate.set()

    def send(self, told: Notice, timeout_s: float) -> Delivery:
        """Note the try; hang; answer, by the number of the try where a function says it."""
        self.tries.append((told.key, time.monotonic()))
        self.got.append(("-" if told.resolved else "") + told.event)
        self.timeouts.append(timeout_s)
        if not self.gate.wait(timeout_s):
            return HANGS
        self.arrived.append(told.key)
        return self.answer(len(self.tries)) if callable(self.answer) else self.answer

    @property
    def keys(self) -> list[str]:
        """The keys that were tried, in order."""
        return [key for key, _ in self.tries]


class Keeper:
    """A server that keeps what it is sent: (request line, headers, body)."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, dict[str, str], bytes]] = []
        self._server = Server(self._talk)
        self.port = self._server.port
        self.close = self._server.close

    def _talk(self, client: socket.socket) -> None:
        head, body = request(client)
        lines = head.decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines[1:])
        self.seen.append((lines[0].rsplit(" ", 1)[0], headers, body))
        client.sendall(b"HTTP/1.1 202 Accepted\r\nContent-Length: 20\r\n\r\n" + b'{"status":"success"}')

    @property
    def sent(self) -> list[Any]:
        """The bodies, as JSON."""
        return [json.loads(body) for _, _, body in self.seen]

    def told(self, event: str, status: str = "firing") -> list[dict[str, Any]]:
        """Return what a webhook was told of an event."""
        return [each for each in self.sent if (each["event"], each["status"]) == (event, status)]
