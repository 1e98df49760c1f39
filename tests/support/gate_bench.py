"""A real gate process between the test and a keosd, real or FAKE, and the agent's hand on its page."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import shutil
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from agent.errors import GateError
from agent.gate.client import FileGate, look
from agent.gate.wire import SIGN
from agent.host.clock import boot_id, boot_ms
from agent.host.page import identity
from agent.host.page_file import PageFile
from tests.lab.agents import to_toml
from tests.lab.nodeos import PUBLIC_KEY
from tests.lab.ports import Ports
from tests.lab.process import Process
from tests.lab.wait import until

LIMIT_S = 15.0
OTHER_KEY = "EOS5TZDdjMZKAARWPbNmrGYGhTbrC63pCyPYK68o49eLsnVYYDuok"
SIGNATURE = b'"SIG_K1_KWhgj5pDVFp2GeVDeRMhAiXpUj1B83RKooQtN27hFm9bmzq4ztk8VLuSpW64peqZAmsb6XSHrtT1V9FpkFFd37PkqRAdyQ"'
KEYS = json.dumps([PUBLIC_KEY]).encode()
COMMAND = ("-m", "agent", "gate", "--config")


def answer(status: int, body: bytes) -> bytes:
    """Return an answer as keosd writes it; the server's name says that it is none."""
    head = f"HTTP/1.1 {status} X\r\nServer: FAKE keosd\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    return head.encode() + b"\r\n\r\n" + body


@dataclass
class FakeKeosd:
    """A FAKE keosd on TCP: answers at once, or `held` until told; `raw` replaces what it says to a request to sign."""

    raw: bytes = field(default_factory=lambda: answer(201, SIGNATURE))
    held: threading.Event = field(default_factory=threading.Event)
    asked: list[str] = field(default_factory=list)
    connections: int = 0

    def __post_init__(self) -> None:
        self.held.set()
        self._over = False
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._server.getsockname()[1]}"
        self._open: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while not self._over:
                sock, _ = self._server.accept()
                self.connections += 1
                self._open.append(sock)
                threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        heard = b""
        with contextlib.suppress(OSError), sock:
            while more := sock.recv(4096):
                heard += more
                head, end, rest = heard.partition(b"\r\n\r\n")
                found = re.search(rb"Content-Length: (\d+)", head)
                if not end or not found or len(rest) < int(found[1]):
                    continue
                heard = rest[int(found[1]) :]
                target = head.split()[1].decode()
                self.asked.append(target)
                if target == SIGN:
                    self.held.wait(LIMIT_S)
                    sock.sendall(self.raw)
                else:
                    sock.sendall(answer(200, KEYS))

    def close(self) -> None:
        """End it."""
        self._over = True
        self.held.set()
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join(LIMIT_S)
        for sock in self._open:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()


class GateBench:
    """One gate process, asked as nodeos asks. `hand` is the agent's side of the page."""

    def __init__(self, root: Path, keosd: str, **settings: str) -> None:
        self.root = root
        self._ports = Ports()
        self._sockets = Path(tempfile.mkdtemp(prefix="nf-gate-"))
        self.port = self._ports.take()
        self.control = self._sockets / "control.sock"
        self.socket = self._sockets / "sign.sock"
        table = {
            "mode": "on",
            "public_key": PUBLIC_KEY,
            "keosd": keosd,
            "listen": f"http://127.0.0.1:{self.port}",
            "control": str(self.control),
            **settings,
        }
        places = {"SOCKETS": str(self._sockets), "PORT": str(self.port)}
        for word, place in places.items():
            table = {key: value.replace(word, place) for key, value in table.items()}
        config = root / "gate.toml"
        whole = {"group": "lab", "node": "bp-a", "runtime": {"dir": str(root)}, "gate": table}
        config.write_text(to_toml(whole) + "\n")
        self.page = root / "lab-bp-a.permit"
        self.process = Process("gate", [sys.executable, *COMMAND, config], root / "gate.log")
        self.hand = self.new_hand()

    def new_hand(self) -> FileGate:
        """Return the hand of an agent that starts."""
        return FileGate(PageFile(self.page, boot_id(), identity("lab", "bp-a")), self.control, boot_ms)

    def start(self) -> GateBench:
        """Start the gate, and return once it holds the page and keosd was looked at."""
        self.process.start()
        self.wait(lambda: look(self.control, 1.0).keosd != "not asked yet" and look(self.control, 1.0).holds)
        return self

    def wait(self, check: Callable[[], object]) -> None:
        """Wait for a condition."""
        until(lambda: bool(check()), LIMIT_S, f"the gate: {self.process.log_tail(5)}", retry_on=(GateError,))

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
        self.process.thaw()
        self.process.close()
        self.hand.let_go()
        self._ports.close()
        shutil.rmtree(self._sockets, ignore_errors=True)


@contextlib.contextmanager
def gate_on_fake(root: Path, **settings: str) -> Iterator[tuple[GateBench, FakeKeosd]]:
    """Run a gate before a FAKE keosd."""
    keosd = FakeKeosd()
    bench = GateBench(root, keosd.url, **settings)
    try:
        yield bench.start(), keosd
    finally:
        bench.close()
        keosd.close()
