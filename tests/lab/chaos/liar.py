"""A proxy of the lab before one nodeos's producer API, which can swallow a pause. Every answer says that it is one."""

from __future__ import annotations

import contextlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.lab.errors import LabError
from tests.lab.nodeos import HOST, ApiError, Node

LIMIT = 3.0
"""Seconds for nodeos to answer; who asks has given up long before."""
PAUSE, IS_PAUSED = "/v1/producer/pause", "/v1/producer/paused"
LIES = ("unpaused", "paused")
"""What `paused` says while a pause is swallowed: the truth, or that it is."""


class Liar:
    """Passes everything on to `node` from its place, until `lie`. Starts at once; `close` ends it."""

    def __init__(self, node: Node, port: int) -> None:
        self.url = f"http://{HOST}:{port}"
        self.swallowed = 0
        self._node = node
        self._lie = ""

        class Handler(_Handler):
            liar = self

        with node.place.inside():
            self._server = _Server((HOST, port), Handler)
        name = f"liar-{node.name}"
        threading.Thread(target=self._server.serve_forever, args=(0.2,), name=name, daemon=True).start()

    def lie(self, how: str) -> None:
        """Swallow every pause from now on; `how` is one of LIES, empty: no more."""
        if how and how not in LIES:
            raise LabError(f"{how!r} is none of {', '.join(LIES)}")
        self._lie = how

    def answer(self, path: str, body: bytes) -> tuple[int, bytes]:
        """Return nodeos's answer, or a lie. ApiError when nodeos gives none."""
        if self._lie and path == PAUSE:
            self.swallowed += 1
            return 201, json.dumps({"result": "ok"}).encode()
        if self._lie == "paused" and path == IS_PAUSED:
            return 201, b"true"
        return self._node.ask(path, body, LIMIT)

    def close(self) -> None:
        """Listen no more."""
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64


class _Handler(BaseHTTPRequestHandler):
    """One connection, one request."""

    liar: Liar
    server_version = "a-proxy-of-the-lab-that-may-lie"
    sys_version = ""

    def do_POST(self) -> None:
        """Answer; where nodeos gives no answer there is none here either."""
        self.close_connection = True
        with contextlib.suppress(OSError, ApiError):  # who asked has gone, or nodeos has
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, answer = self.liar.answer(self.path, body)
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

    do_GET = do_POST  # noqa: N815 - the name that http.server looks for

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the method that it replaces
        """Say nothing."""
