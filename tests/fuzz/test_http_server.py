"""The product's HTTP server, fed whatever a client may send. `make fuzz` does it for longer."""

from __future__ import annotations

import socket
from contextlib import closing
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.telemetry.http_server import HttpServer
from tests.fuzz.mutation import broken_bytes
from tests.fuzz.test_parsers import EXAMPLES, fuzzed


class Still:
    """Pages that say the same always; it stands for the agent's."""

    def metrics(self, accept: str) -> tuple[bytes, str]:
        """Return no metric."""
        return b"", accept

    def live(self) -> tuple[bool, str]:
        """Live."""
        return True, "ok"

    ready = leader = live

    def status(self) -> dict[str, Any]:
        """Return nothing."""
        return {}


@given(data=st.data())
@settings(fuzzed, max_examples=EXAMPLES // 3)
def test_broken_requests_end_well(data: st.DataObject, http_port: int) -> None:
    """Whatever bytes a client sends, the server answers or hangs up, and the next client is served."""
    request = b"GET /status HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: */*\r\nContent-Length: 3\r\n\r\nabc"
    raw = data.draw(
        broken_bytes([request, b"HEAD /metrics HTTP/1.0\r\n\r\n", b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 90])
    )
    with closing(socket.create_connection(("127.0.0.1", http_port), 2.0)) as sock:
        sock.settimeout(5.0)
        try:
            sock.sendall(raw)
            sock.shutdown(socket.SHUT_WR)
            answer = sock.recv(4096)
        except OSError as error:
            assert not isinstance(error, TimeoutError)
        else:
            assert b"Traceback" not in answer
    with closing(socket.create_connection(("127.0.0.1", http_port), 2.0)) as sock:
        sock.settimeout(5.0)
        sock.sendall(b"GET /livez HTTP/1.0\r\n\r\n")
        assert b" 200 " in sock.recv(4096)


@pytest.fixture(scope="module")
def http_port() -> Any:
    """Run the product's HTTP server on a free port."""
    server = HttpServer(("127.0.0.1", 0), Still())
    server.start()
    yield server.address[1]
    server.close()
