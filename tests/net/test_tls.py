"""The deadline over TLS, which certificates are taken, and asking the agent beside us whether it lives."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from pathlib import Path

import pytest

from agent.cli.status import SHOWN, livez
from agent.errors import ConfigError
from agent.host.deadline import CallFailed
from agent.net import http
from agent.net.endpoint import Endpoint, parse_endpoint
from agent.net.resolver import Resolver
from agent.net.tls import tls_context
from tests.lab.tls import Certificates, make_certificates
from tests.support.slack import SLACK_S
from tests.support.slow_server import OK, Serve, Server, Talk, answer, drip, hang, slowly

SHORT_S = 0.3


def post(endpoint: Endpoint, context: ssl.SSLContext) -> http.Answer:
    """Call with a short deadline, which must be kept however the call ends."""
    begin = time.monotonic()
    try:
        return http.call(endpoint, "/x", SHORT_S, names=Resolver(), context=context)
    finally:
        assert time.monotonic() - begin < SHORT_S + SLACK_S


def over_tls(certificates: Certificates, script: Talk) -> Talk:
    """Return `script` as the server's side of TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.server, certificates.server_key)

    def wrapped(sock: socket.socket) -> None:
        with context.wrap_socket(sock, server_side=True) as secure:
            script(secure)

    return wrapped


def secure(peer_: Server) -> Endpoint:
    """Return the https endpoint of a peer."""
    return parse_endpoint(peer_.endpoint.url.replace("http", "https"))


def test_tls_keeps_the_deadline(certificates: Certificates, serve: Serve) -> None:
    """Over TLS an answer comes through, and one that drips is given up in time."""
    context = tls_context(certificates.ca)
    good = secure(serve(over_tls(certificates, answer(OK))))
    assert post(good, context).body == b"true"
    late = secure(serve(over_tls(certificates, slowly(OK.replace(b"4", b"400") + b" " * 400))))
    with pytest.raises(CallFailed) as caught:
        post(late, context)
    assert caught.value.sent


@pytest.mark.parametrize("script", [hang, slowly(b"\x16\x03\x03\x00\x7a" + b"\x02" * 99)], ids=["silence", "drip"])
def test_tls_handshake_keeps_the_deadline(script: Talk, certificates: Certificates, serve: Serve) -> None:
    """A handshake that never ends is given up in time, and nothing of the request was delivered."""
    endpoint = secure(serve(script))
    with pytest.raises(CallFailed) as caught:
        post(endpoint, tls_context(certificates.ca))
    assert not caught.value.sent


def test_tls_certificate_must_be_right(certificates: Certificates, serve: Serve) -> None:
    """A certificate of an unknown authority, or for another host, is refused before anything is sent."""
    for host, context in (("127.0.0.1", tls_context()), ("127.0.0.2", tls_context(certificates.ca))):
        with pytest.raises(CallFailed, match="certificate") as caught:
            post(secure(serve(over_tls(certificates, answer(OK)), host=host)), context)
        assert not caught.value.sent


def test_ca_file_that_cannot_be_used(tmp_path: Path) -> None:
    """A CA file that is missing, or holds no certificates, is a fault of the configuration."""
    (tmp_path / "empty.pem").write_text("nothing\n")
    for name in ("missing.pem", "empty.pem"):
        with pytest.raises(ConfigError, match=name):
            tls_context(tmp_path / name)


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
