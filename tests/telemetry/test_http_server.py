"""The HTTP endpoint: what each path answers, and that no client can keep another one out."""

from __future__ import annotations

import base64
import gzip
import hashlib
import http.client
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from agent.errors import ConfigError
from agent.telemetry.http_server import HttpServer
from tests.support.children import wait_until
from tests.support.pages import FakePages
from tests.support.slack import within

HOST = "127.0.0.1"


@pytest.fixture
def pages() -> FakePages:
    """Return pages that are well."""
    return FakePages()


@pytest.fixture
def serve(pages: FakePages) -> Iterator[Callable[..., int]]:
    """Start a server and return its port; it is closed after the test."""
    servers: list[HttpServer] = []

    def start(**settings: Any) -> int:
        server = HttpServer((HOST, 0), pages, **settings)
        servers.append(server)
        server.start()
        return server.address[1]

    yield start
    for server in servers:
        server.close()


def ask(port: int, path: str, method: str = "GET", **headers: str) -> tuple[int, bytes, http.client.HTTPMessage]:
    """Send one request."""
    connection = http.client.HTTPConnection(HOST, port, timeout=5)
    try:
        connection.request(method, path, headers={name.replace("_", "-"): text for name, text in headers.items()})
        answer = connection.getresponse()
        return answer.status, answer.read(), answer.headers
    finally:
        connection.close()


def test_metrics_come_packed_and_in_the_format_that_is_preferred(serve: Callable[..., int]) -> None:
    """`Accept-Encoding: gzip` packs metrics, and metrics alone; `Accept` reaches the page; HEAD tells the same."""
    port = serve()
    code, plain, headers = ask(port, "/metrics", Accept="application/openmetrics-text")
    assert (code, headers["Content-Type"], headers["Content-Encoding"]) == (200, "application/openmetrics-text", None)
    code, packed, headers = ask(port, "/metrics", Accept_Encoding="br;q=1, gzip;q=0.5")
    assert (code, headers["Content-Encoding"], gzip.decompress(packed)) == (200, "gzip", plain)
    assert ask(port, "/metrics", "HEAD", Accept_Encoding="gzip")[2]["Content-Length"] == str(len(packed))
    assert ask(port, "/status", Accept_Encoding="gzip")[2]["Content-Encoding"] is None


def test_each_page_answers(serve: Callable[..., int]) -> None:
    """Metrics in Prometheus's format, status as JSON, probes as a line; a query does not change the page."""
    port = serve()
    code, body, headers = ask(port, "/metrics?name[]=x")
    assert (code, body) == (200, b"nodeos_failover_is_leader 1\n")
    assert headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert headers["Cache-Control"] == "no-store", "an old answer of a probe would lie"
    assert json.loads(ask(port, "/status")[1]) == {"role": "leading"}
    assert [ask(port, path)[0] for path in ("/livez", "/readyz", "/leader")] == [200, 200, 200]


def test_leader_and_ready_are_503_when_they_are_not(serve: Callable[..., int], pages: FakePages) -> None:
    """A load balancer that asks /leader never takes another node for it."""
    port = serve()
    pages.ok = False
    assert ask(port, "/leader")[:2] == (503, b"standby\n")
    assert ask(port, "/readyz")[:2] == (503, b"2 peers\n")
    assert ask(port, "/livez")[0] == 200


@pytest.mark.parametrize("path", ["/metric", "/metrics/", "/leader/x", "/%6ceader", "*"])
def test_other_paths_are_404(serve: Callable[..., int], path: str) -> None:
    """A mistyped probe must not pass."""
    assert ask(serve(), path)[0] == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "FLY"])
def test_other_methods_are_405(serve: Callable[..., int], method: str) -> None:
    """Nothing here changes state."""
    code, _, headers = ask(serve(), "/leader", method)
    assert (code, headers["Allow"]) == (405, "GET, HEAD")


def test_head_answers_without_a_body(serve: Callable[..., int], pages: FakePages) -> None:
    """HEAD has the code and the length of GET."""
    port = serve()
    pages.ok = False
    code, body, headers = ask(port, "/leader", "HEAD")
    assert (code, body, headers["Content-Length"]) == (503, b"", "8")


def test_a_defect_in_a_page_is_500_and_hurts_no_other(serve: Callable[..., int], pages: FakePages) -> None:
    """The probes go on when the status cannot be made."""
    port = serve()
    pages.defect = True
    assert ask(port, "/status")[0] == 500
    assert ask(port, "/livez")[0] == 200


def test_rubbish_is_400_or_dropped(serve: Callable[..., int]) -> None:
    """What is no HTTP ends its own connection only."""
    port = serve()
    for rubbish in (b"\x16\x03\x01\x02\x00\r\n\r\n", b"GET\r\n\r\n", b"GET /livez HTTP/9.9\r\n\r\n", b"\r\n\r\n"):
        with socket.create_connection((HOST, port), timeout=5) as client:
            client.sendall(rubbish)
            client.shutdown(socket.SHUT_WR)
            assert b"200 OK" not in b"".join(iter(lambda c=client: c.recv(4096), b""))  # type: ignore[misc] # a default in a lambda
    assert ask(port, "/livez")[0] == 200


def test_clients_that_never_finish_keep_nobody_out(serve: Callable[..., int]) -> None:
    """Three times as many idle connections as are allowed: each probe is still answered at once."""
    port = serve(max_connections=4, timeout_s=60)
    idle = [socket.create_connection((HOST, port), timeout=5) for _ in range(12)]
    try:
        for client in idle:
            client.sendall(b"GET /livez HT")
        begin = time.monotonic()
        assert [ask(port, "/livez")[0] for _ in range(5)] == [200] * 5
        assert time.monotonic() - begin < 2
        wait_until(
            lambda: sum(thread.name.endswith("(process_request_thread)") for thread in threading.enumerate()) <= 4
        )
    finally:
        for client in idle:
            client.close()


def test_a_dripping_client_is_cut_off_at_the_total_deadline(serve: Callable[..., int]) -> None:
    """A byte now and then does not prolong a request."""
    port = serve(timeout_s=0.5)
    begin = time.monotonic()
    with socket.create_connection((HOST, port), timeout=5) as client:

        def drip() -> bool:
            try:
                client.sendall(b"G")
            except OSError:
                return True
            return False

        wait_until(drip)
    assert 0.4 < time.monotonic() - begin < 3


def test_a_client_that_does_not_read_is_cut_off(serve: Callable[..., int], pages: FakePages) -> None:
    """A large answer that nobody takes ends with the deadline too."""
    pages.metrics = lambda accept: (b"x" * 20_000_000, "text/plain")  # type: ignore[method-assign] # a larger page for this test
    port = serve(timeout_s=0.5)
    with socket.create_connection((HOST, port), timeout=5) as client:
        client.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        name = "(process_request_thread)"
        wait_until(lambda: any(thread.name.endswith(name) for thread in threading.enumerate()))
        wait_until(lambda: not any(thread.name.endswith(name) for thread in threading.enumerate()))
    assert ask(port, "/livez")[0] == 200


def test_an_address_in_use_is_an_error_that_names_the_setting(serve: Callable[..., int], pages: FakePages) -> None:
    """The operator reads which setting to change."""
    port = serve()
    with pytest.raises(ConfigError) as caught:
        HttpServer((HOST, port), pages)
    assert str(caught.value).startswith(f"http.listen: cannot listen on {HOST}:{port} (Address already in use)")


def test_an_address_that_is_not_ours_is_an_error_too(pages: FakePages) -> None:
    """So is one that this host does not have."""
    with pytest.raises(ConfigError, match=r"http\.listen"):
        HttpServer(("192.0.2.1", 0), pages)


def test_close_is_bounded_and_frees_the_port(pages: FakePages) -> None:
    """With a client hanging on it, closing takes no longer than it may, and the port can be used again."""
    server = HttpServer((HOST, 0), pages)
    server.start()
    address = server.address
    with socket.create_connection(address, timeout=5) as client:
        client.sendall(b"GET")
        with within(1.0):
            server.close(1.0)
        again = HttpServer(address, pages)
        assert again.address == address
        again.close()


def test_the_page_lets_nothing_else_in(serve: Callable[..., int]) -> None:
    """The page comes with a policy that names its own script and style by their hashes, and allows no other source."""
    connection = http.client.HTTPConnection(HOST, serve(), timeout=5)
    connection.request("GET", "/")
    answer = connection.getresponse()
    policy, body = answer.headers["Content-Security-Policy"], answer.read().decode()
    connection.close()
    assert answer.headers["Content-Type"].startswith("text/html")
    parts = dict(part.split(" ", 1) for part in policy.split("; "))
    assert parts["default-src"] == "'none'"
    for kind, tag in (("style-src", "style"), ("script-src", "script")):
        inner = body.split(f"<{tag}>")[1].split(f"</{tag}>")[0]
        digest = base64.b64encode(hashlib.sha256(inner.encode()).digest()).decode()
        assert parts[kind] == f"'sha256-{digest}'"
    assert set(parts.values()) - {parts["style-src"], parts["script-src"]} == {"'none'", "'self'"}
    assert not re.search(r"(src|href)=\"?(https?:)?//", body)
