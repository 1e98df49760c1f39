"""The deadline over TLS, and which certificates are taken."""

from __future__ import annotations

import socket
import ssl
import time
from pathlib import Path

import pytest

from agent.errors import ConfigError
from agent.host.deadline import CallFailed
from agent.net import http
from agent.net.endpoint import Endpoint, parse_endpoint
from agent.net.resolver import Resolver
from agent.net.tls import tls_context
from tests.lab.tls import Certificates, make_certificates
from tests.support.slack import SLACK_S
from tests.support.slow_server import OK, Serve, Server, Talk, answer, hang, slowly

SHORT_S = 0.3


def post(endpoint: Endpoint, context: ssl.SSLContext) -> http.Answer:
    """Call with a short deadline, which must be kept however the call ends."""
    begin = time.monotonic()
    try:
        return http.call(endpoint, "/x", SHORT_S, names=Resolver(), context=context)
    finally:
        assert time.monotonic() - begin < SHORT_S + SLACK_S


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Return an authority, and a certificate of it for 127.0.0.1."""
    return make_certificates(tmp_path_factory.mktemp("tls"))


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
