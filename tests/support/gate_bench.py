"""A real gate process between the test and a keosd, real or FAKE, and the agent's hand on its page."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from agent.errors import GateError
from agent.gate.client import look
from agent.gate.wire import SIGN
from agent.host.clock import boot_ms
from tests.lab.gates import Gate
from tests.lab.nodeos import PUBLIC_KEY
from tests.lab.places import LOOPBACK
from tests.lab.ports import Ports
from tests.lab.wait import until
from tests.support.slow_server import Server, request

LIMIT_S = 15.0
OTHER_KEY = "EOS5TZDdjMZKAARWPbNmrGYGhTbrC63pCyPYK68o49eLsnVYYDuok"
SIGNATURE = b'"SIG_K1_KWhgj5pDVFp2GeVDeRMhAiXpUj1B83RKooQtN27hFm9bmzq4ztk8VLuSpW64peqZAmsb6XSHrtT1V9FpkFFd37PkqRAdyQ"'
KEYS = json.dumps([PUBLIC_KEY]).encode()


def answer(status: int, body: bytes) -> bytes:
    """Return an answer as keosd writes it; the server's name says that it is none."""
    head = f"HTTP/1.1 {status} X\r\nServer: FAKE keosd\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    return head.encode() + b"\r\n\r\n" + body


class FakeKeosd:
    """A FAKE keosd on TCP: answers at once, or `held` until told; `raw` replaces what it says to a request to sign."""

    def __init__(self) -> None:
        self.raw = answer(201, SIGNATURE)
        self.held = threading.Event()
        self.held.set()
        self.asked: list[str] = []
        self._server = Server(self._talk)
        self.url = f"http://127.0.0.1:{self._server.port}"

    @property
    def connections(self) -> int:
        """How many there were."""
        return self._server.connections

    def _talk(self, sock: socket.socket) -> None:
        while head := request(sock)[0]:
            target = head.split()[1].decode()
            self.asked.append(target)
            if target == SIGN:
                self.held.wait(LIMIT_S)
                sock.sendall(self.raw)
            else:
                sock.sendall(answer(200, KEYS))

    def close(self) -> None:
        """End it."""
        self.held.set()
        self._server.close()


class GateBench(Gate):
    """One gate process, asked as nodeos asks. `hand` is the agent's side of the page."""

    def __init__(self, root: Path, keosd: str, **settings: str) -> None:
        self._ports = Ports()
        super().__init__(root, ("lab", "bp-a"), root, self._ports, keosd, LOOPBACK, **settings)
        self.hand = self.new_hand()

    def start(self) -> GateBench:
        """Start the gate, and return once it holds the page and keosd was looked at."""
        self.process.start()
        self.wait(lambda: look(self.control, 1.0).keosd != "not asked yet" and look(self.control, 1.0).holds)
        return self

    def wait(self, check: Callable[[], object]) -> None:
        """Wait for a condition."""
        until(lambda: bool(check()), LIMIT_S, lambda: f"the gate: {self.process.log_tail(5)}", retry_on=(GateError,))

    def open(self, span_ms: int = 60_000, epoch: int = 1) -> None:
        """Permit signatures."""
        self.hand.permit(epoch, boot_ms() + span_ms)

    def connect(self) -> http.client.HTTPConnection:
        """Return a connection as nodeos has one."""
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=LIMIT_S)

    def ask(self, key: str = PUBLIC_KEY, connection: http.client.HTTPConnection | None = None) -> tuple[int, str]:
        """Ask for a signature; return status, and the signature or the words of the refusal."""
        line = connection or self.connect()
        try:
            line.request("POST", SIGN, json.dumps([os.urandom(32).hex(), key]))
            found = line.getresponse()
            body = json.loads(found.read())
            return found.status, body if isinstance(body, str) else body["message"]
        finally:
            if connection is None:
                line.close()

    def refused(self, reason: str) -> int:
        """Return how often it refused for that reason."""
        return self.hand.status(LIMIT_S).refused[reason]

    def raw(self, *parts: bytes, between_s: float = 0.0) -> bytes:
        """Send bytes in parts; return all that comes back until the gate ends the connection, or a whole answer."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=LIMIT_S) as sock:
            got = b""
            with contextlib.suppress(ConnectionError):
                for part in parts:
                    sock.sendall(part)
                    time.sleep(between_s)
                while more := sock.recv(4096):
                    got += more
            return got

    def close(self) -> None:
        """End it."""
        super().close()
        self.hand.let_go()
        self._ports.close()


@contextlib.contextmanager
def gate_on_fake(root: Path, *, started: bool = True, **settings: str) -> Iterator[tuple[GateBench, FakeKeosd]]:
    """Run a gate before a FAKE keosd; unless `started`, the test starts it."""
    with contextlib.closing(FakeKeosd()) as keosd, contextlib.closing(GateBench(root, keosd.url, **settings)) as bench:
        yield bench.start() if started else bench, keosd
