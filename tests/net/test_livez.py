"""Asking the agent beside us whether it lives: any address that it may listen on, with and without TLS."""

from __future__ import annotations

import socket
import ssl
import threading
from pathlib import Path

import pytest

from agent.net.endpoint import parse_endpoint
from agent.net.livez import SHOWN, livez
from tests.lab.tls import make_certificates
from tests.support.slow_server import Serve, answer, drip


@pytest.mark.parametrize("host", ["127.0.0.1", "", "0.0.0.0"])
@pytest.mark.parametrize(("status", "alive"), [("200 OK", True), ("503 No", False), ("204 Empty", False)])
def test_its_status_tells_whether_it_lives(serve: Serve, host: str, status: str, alive: bool) -> None:
    """An agent that listens everywhere is asked on loopback; its words come with it, at most so many bytes."""
    server = serve(answer(status, b" its loop stands \n"))
    assert livez(host, server.port, 5.0) == (alive, "" if status.startswith("204") else "its loop stands")
    assert livez(host, serve(answer("200 OK", b"x" * 5000)).port, 5.0) == (True, "x" * SHOWN)


@pytest.mark.skipif(not socket.has_ipv6, reason="this host has no IPv6")
@pytest.mark.parametrize("host", ["::1", "::"])
def test_an_agent_on_ipv6_is_asked_there(host: str) -> None:
    """By its family, which is told by the colon."""
    with socket.socket(socket.AF_INET6) as listener:
        try:
            listener.bind(("::1", 0))
        except OSError:
            pytest.skip("this host has no address ::1")
        listener.listen()

        def serve() -> None:
            client, _ = listener.accept()
            with client:
                answer("200 OK", b"well")(client)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        assert livez(host, listener.getsockname()[1], 5.0) == (True, "well")
        thread.join(10)


def test_a_certificate_of_another_name_is_good_enough(serve: Serve, tmp_path: Path) -> None:
    """Nothing secret is said: an agent under a name that only others know it by lives all the same."""
    files = make_certificates(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.client, files.client_key)
    server = serve(answer("200 OK", b"well"), context)
    assert livez("127.0.0.1", server.port, 5.0, tls=True) == (True, "well")
    assert livez("127.0.0.1", server.port, 5.0)[0] is False


def test_no_answer_in_time_is_an_answer(serve: Serve) -> None:
    """Not alive, when nothing listens and when an answer has no end."""
    server = serve(drip)
    alive, words = livez("127.0.0.1", server.port, 0.3)
    server.close()
    assert not alive
    assert words.startswith("the agent does not answer: ")
    assert livez("127.0.0.1", server.port, 5.0)[0] is False


@pytest.mark.parametrize(
    ("url", "port", "header"),
    [
        ("http://bp.example", 80, "bp.example"),
        ("https://bp.example", 443, "bp.example"),
        ("http://bp.example:443", 443, "bp.example:443"),
        ("https://bp.example:80/", 80, "bp.example:80"),
        ("http://[::1]:8888", 8888, "[::1]:8888"),
        ("http://[::1]", 80, "[::1]"),
    ],
)
def test_a_port_that_is_not_named_is_the_usual_one(url: str, port: int, header: str) -> None:
    """80, with TLS 443; the Host header leaves out exactly that one, as clients do and nodeos expects."""
    found = parse_endpoint(url)
    assert (found.port, found.host_header) == (port, header)
    assert found.tls is url.startswith("https")
    assert str(found) == url
