"""The HTTP side of a SIMULATED nodeos: listeners, and every fault that a server can have. It knows no blocks.

A fault has two halves: what is answered, and when the request acts. So one can have a resume that is never answered
and acts later, or a pause that is answered and never acts.
"""

from __future__ import annotations

import contextlib
import json
import socket
import socketserver
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

ANSWERS = (
    "normal",
    "hang",  # takes the request, never answers
    "drip",  # a byte of the header now and then, for ever
    "drip_body",  # the same with the body
    "endless",  # a body that never ends, as fast as it goes
    "cut",  # the connection ends in the middle of the body
    "empty",  # the connection ends without an answer
    "reset",  # the same, with RST
    "error",  # an HTTP error in nodeos's form
    "garbage",  # the right status, and no JSON
    "not_http",  # no HTTP at all
    "refuse",  # nothing listens any more; only for all paths at once
)
ALL = ""
"""The prefix of every path."""
DRIP_S = 0.02
NO_LINGER = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True)
class Fault:
    """`answer`: one of ANSWERS. `act`: seconds after which the request acts (None: never). `status` of an error."""

    answer: str = "normal"
    act: float | None = 0.0
    status: int = 503

    def __post_init__(self) -> None:
        if self.answer not in ANSWERS:
            raise ValueError(f"{self.answer!r} is none of {', '.join(ANSWERS)}")


@dataclass(frozen=True, slots=True)
class Reply:
    """What a request comes to: an answer, and what it does (`act`), if anything."""

    status: int
    value: Any
    act: Callable[[], None] = lambda: None


class Listener:
    """Answers HTTP on TCP (`port`, 0 chooses one) and on a Unix socket. `respond` takes a path and a body."""

    def __init__(
        self,
        respond: Callable[[str, bytes], Reply],
        port: int,
        unix: Path | None = None,
        *,
        validate_host: bool = False,
    ) -> None:
        self.respond = respond
        self.validate_host = validate_host
        self.port = port
        self.over = threading.Event()
        self._unix = unix
        self._lock = threading.Lock()
        self._faults: dict[str, Fault] = {}
        self._late: list[threading.Timer] = []
        self._servers: list[socketserver.BaseServer] = []

    def start(self) -> None:
        """Listen. OSError when the port is in use."""
        tcp = _TCP(("127.0.0.1", self.port), _handler(self, tcp=True))
        self.port = tcp.server_address[1]
        self._servers = [tcp]
        if self._unix is not None:
            self._unix.unlink(missing_ok=True)
            self._servers.append(_Unix(str(self._unix), _handler(self, tcp=False)))
        for server in self._servers:
            threading.Thread(target=server.serve_forever, args=(0.05,), name="simulated-http", daemon=True).start()

    def close(self) -> None:
        """Stop listening, let go of every request, and forget what was to act later."""
        self.over.set()
        with self._lock:
            for timer in self._late:
                timer.cancel()
            self._stop()

    def _stop(self) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()
        self._servers = []

    def set_fault(self, prefix: str, fault: Fault) -> None:
        """Have every request whose path begins with `prefix` suffer `fault`, from now on."""
        if fault.answer == "refuse" and prefix != ALL:
            raise ValueError("a connection is refused before its path is known: refuse all paths")
        with self._lock:
            self._faults[prefix] = fault
            if fault.answer == "refuse":
                self._stop()

    def clear_faults(self) -> None:
        """Answer as usual again. What was to act later still does."""
        with self._lock:
            self._faults.clear()
            if not self._servers and not self.over.is_set():
                self.start()

    def fault_of(self, path: str) -> Fault:
        """Return the fault of a path: that of the longest prefix."""
        with self._lock:
            found = [prefix for prefix in self._faults if path.startswith(prefix)]
            return self._faults[max(found, key=len)] if found else Fault()

    def act(self, reply: Reply, fault: Fault) -> None:
        """Have a request act, now or later."""
        if fault.act == 0:
            reply.act()
        elif fault.act is not None:
            timer = threading.Timer(fault.act, reply.act)
            timer.daemon = True
            with self._lock:
                self._late.append(timer)
            timer.start()


class _TCP(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64


class _Unix(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64


def _handler(listener: Listener, *, tcp: bool) -> type[BaseHTTPRequestHandler]:
    class Handler(_Handler):
        pass

    Handler.listener = listener
    Handler.tcp = Handler.disable_nagle_algorithm = tcp
    return Handler


class _Handler(BaseHTTPRequestHandler):
    """One connection, one request."""

    listener: Listener
    tcp: bool

    def do_POST(self) -> None:
        """Answer, or do what the fault says instead; nodeos does not look at the method."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.close_connection = True
        fault = self.listener.fault_of(self.path)
        host = self.headers.get("Host", "")
        if self.tcp and self.listener.validate_host and host not in ("127.0.0.1", f"127.0.0.1:{self.listener.port}"):
            text = "Disallowed HTTP HOST header in the request"
            reply = Reply(400, {"code": 400, "message": text, "error": {"code": 0, "what": "", "details": []}})
        else:
            reply = self.listener.respond(self.path, body)
        if reply.status < 300:
            self.listener.act(reply, fault)
        with contextlib.suppress(OSError):  # the client has gone: that is what faults are for
            self._answer(reply, fault)

    do_GET = do_POST  # noqa: N815 - the name that http.server looks for

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the method that it replaces
        """Say nothing."""

    def _answer(self, reply: Reply, fault: Fault) -> None:
        body = json.dumps(reply.value, separators=(",", ":")).encode()
        match fault.answer:
            case "normal":
                self._send(reply.status, body)
            case "hang":
                self.listener.over.wait()
            case "drip":
                self._drip(f"HTTP/1.1 200 OK\r\nX-Simulated: {'x' * 60_000}\r\n".encode())
            case "drip_body":
                self._send(reply.status, b"", 100_000)
                self._drip(b" " * 100_000)
            case "endless":
                self._send(reply.status, b"", None)
                while not self.listener.over.is_set():
                    self.connection.sendall(b" " * 65_536)
            case "cut":
                self._send(reply.status, body[:-1], len(body))
            case "reset":
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
            case "error":
                text = HTTPStatus(fault.status).phrase
                details = [{"message": "this fault is simulated"}]
                error = {"code": 3_080_000, "name": "simulated", "what": text, "details": details}
                self._send(fault.status, json.dumps({"code": fault.status, "message": text, "error": error}).encode())
            case "garbage":
                self._send(reply.status, b"<html>it works</html>")
            case "not_http":
                self.connection.sendall(b"220 mail.example ESMTP\r\n")

    def _send(self, status: int, body: bytes, length: int | None = -1) -> None:
        """Send an answer that says to have `length` bytes: -1 stands for the truth, None for saying nothing."""
        lines = [
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
            "Content-Type: application/json",
            "Connection: close",
        ]
        if length is not None:
            lines.append(f"Content-Length: {len(body) if length < 0 else length}")
        self.connection.sendall("\r\n".join([*lines, "Server: SIMULATED nodeos", "", ""]).encode() + body)

    def _drip(self, data: bytes) -> None:
        for byte in data:
            if self.listener.over.wait(DRIP_S):
                return
            self.connection.sendall(bytes([byte]))
