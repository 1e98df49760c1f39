"""The HTTP endpoint: metrics, probes, status and its page. Nothing in here changes state, and nobody can hold it up.

One request a connection, a bound on connections, a total deadline on each. At the bound the oldest gives way, so that
clients which never finish cannot keep a scrape or a probe out.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import logging
import socket
import socketserver
import ssl
import sys
import threading
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from agent.errors import ConfigError
from agent.net.endpoint import bracketed
from agent.telemetry.http_auth import ANYBODY, CHALLENGE, AccessPolicy
from agent.telemetry.pages import AgentPages
from agent.telemetry.web import page

log = logging.getLogger(__name__)

MAX_CONNECTIONS = 32
TIMEOUT_S = 5.0
TICK_S = 0.2
"""How often connections are looked at for their deadline."""
PAGES = {
    "/": "page",
    "/metrics": "metrics",
    "/livez": "live",
    "/readyz": "ready",
    "/leader": "leader",
    "/status": "status",
}
TEXT = "text/plain; charset=utf-8"
GZIP_LEVEL = 1
"""A tenth of the size for a millisecond; the levels above cost more than they save."""


class HttpServer(ThreadingHTTPServer):
    """Listens on `address` from the moment it is made, and answers once it was started. Port 0 takes a free one."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(
        self,
        address: tuple[str, int],
        pages: AgentPages,
        access: Callable[[], AccessPolicy] = lambda: ANYBODY,
        *,
        max_connections: int = MAX_CONNECTIONS,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        """Listen; `access` is asked for each connection. ConfigError, naming http.listen, on a bad address."""
        self.pages = pages
        self.access = access
        self.timeout_s = timeout_s
        self._max = max_connections
        self._lock = threading.Lock()
        self._open: dict[socket.socket, float] = {}  # in the order of their beginning
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="http", daemon=True)
        try:
            found = socket.getaddrinfo(*address, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
            self.address_family = found[0][0]
            super().__init__(found[0][4], _Handler)  # type: ignore[arg-type] # by its family it is one
        except OSError as error:
            where = bracketed(*address)
            raise ConfigError(
                [f"http.listen: cannot listen on {where} ({error.strerror}): free it, or set another address or port"]
            ) from error

    @property
    def address(self) -> tuple[str, int]:
        """Host and port that it listens on."""
        host, port = self.socket.getsockname()[:2]
        return str(host), int(port)

    def admit(self, access: Callable[[], AccessPolicy]) -> None:
        """Let others read from the next connection on, or show another certificate."""
        self.access = access

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def close(self, timeout_s: float = 1.0) -> None:
        """Stop listening and drop all connections, within `timeout_s`."""
        self._stop.set()
        with contextlib.suppress(OSError):  # the thread waits for connections, and there will be none
            self.socket.shutdown(socket.SHUT_RDWR)
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        self.server_close()
        self.end_older_than(0)

    def _run(self) -> None:
        while not self._stop.is_set():
            self.timeout = TICK_S if self._open else None
            self.handle_request()
            self.end_older_than(self.timeout_s)

    def server_bind(self) -> None:
        """Bind without looking up our own name, as http.server does: a dead resolver would hold up the start."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]  # type: ignore[assignment] # typeshed: bytes too

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept; when there are no descriptors left, wait a moment instead of spinning."""
        try:
            request, address = super().get_request()
        except OSError:
            time.sleep(TICK_S)
            raise
        context = self.access().context
        if context is not None:  # hands are shaken by the connection's own thread
            request = context.wrap_socket(request, server_side=True, do_handshake_on_connect=False)
        return request, address

    def process_request(self, request: Any, client_address: Any) -> None:
        """Give the connection a thread; at the bound the oldest connection ends."""
        with self._lock:
            self._open[request] = time.monotonic()
            oldest = next(iter(self._open)) if len(self._open) > self._max else None
            if oldest is not None:
                del self._open[oldest]
                _end(oldest)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Forget a connection that is over."""
        with self._lock:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def end_older_than(self, age_s: float) -> None:
        """End all connections that have lasted longer: the total deadline of a request."""
        limit = time.monotonic() - age_s
        with self._lock:
            late = [request for request, since in self._open.items() if since <= limit]
        for request in late:
            _end(request)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - the signature is the library's
        """Log what went wrong with a connection; most often the client just left."""
        log.debug("a connection to the HTTP endpoint broke: %r", sys.exc_info()[1])


def _end(request: socket.socket) -> None:
    """Wake the thread that reads from or writes to a connection; it cleans up itself."""
    with contextlib.suppress(OSError):  # it was over already
        request.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    server: HttpServer
    server_version = "nodeos-failover"
    sys_version = ""

    def setup(self) -> None:
        self.request.settimeout(self.server.timeout_s)
        if isinstance(self.request, ssl.SSLSocket):
            self.request.do_handshake()
        super().setup()

    def do_GET(self) -> None:
        name = PAGES.get(self.path.split("?", 1)[0])
        if name is None:
            self._answer(HTTPStatus.NOT_FOUND, f"here there are {', '.join(PAGES)}\n".encode(), TEXT)
            return
        if not self.server.access().admits(name, self.headers.get("Authorization", "")):
            self._answer(HTTPStatus.UNAUTHORIZED, b"show the token\n", TEXT, CHALLENGE)
            return
        headers: Mapping[str, str] = {}
        try:
            if name == "page":
                code, (body, headers), kind = HTTPStatus.OK, page(), "text/html; charset=utf-8"
            else:
                code, body, kind = self._page(name)
            if name == "metrics":
                from prometheus_client.exposition import gzip_accepted  # a start has no use for the library

                if gzip_accepted(self.headers.get("Accept-Encoding", "")):
                    body, headers = gzip.compress(body, GZIP_LEVEL), {"Content-Encoding": "gzip"}
        except Exception:  # a defect in one page must not look like an outage of the others
            log.exception("a defect in the page %s", self.path)
            code, body, kind = HTTPStatus.INTERNAL_SERVER_ERROR, b"a defect; see the log\n", TEXT
        self._answer(code, body, kind, headers)

    do_HEAD = do_GET  # noqa: N815 - the name is the library's

    def _page(self, name: str) -> tuple[HTTPStatus, bytes, str]:
        pages = self.server.pages
        if name == "metrics":
            return HTTPStatus.OK, *pages.metrics(self.headers.get("Accept", ""))
        if name == "status":
            return HTTPStatus.OK, (json.dumps(pages.status(), indent=2) + "\n").encode(), "application/json"
        ok, text = {"live": pages.live, "ready": pages.ready, "leader": pages.leader}[name]()
        return HTTPStatus.OK if ok else HTTPStatus.SERVICE_UNAVAILABLE, f"{text}\n".encode(), TEXT

    def _answer(self, code: HTTPStatus, body: bytes, kind: str, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(code)
        for key, value in {"Content-Type": kind, "Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(key, value)
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:  # noqa: ARG002
        """Answer what http.server refuses by itself, in plain text; a method that it does not know is not allowed."""
        if code == HTTPStatus.NOT_IMPLEMENTED:
            self._answer(HTTPStatus.METHOD_NOT_ALLOWED, b"only GET and HEAD\n", TEXT, {"Allow": "GET, HEAD"})
        else:
            self._answer(HTTPStatus(code), f"{HTTPStatus(code).phrase}\n".encode(), TEXT)
        self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the library's
        """Log requests only for those who look for them."""
        log.debug(format, *args)
