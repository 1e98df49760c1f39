"""HTTP, our own and that of alert channels, against peers that do what no server should: total deadlines, bounds."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.alerts import sinks
from agent.host.deadline import CallFailed
from agent.net import http
from agent.net.endpoint import Endpoint, parse_endpoint
from agent.net.http import TooMuch
from tests.support.slack import SLACK_S
from tests.support.slow_server import OK, Serve, Talk, answer, full_listener, hang, slowly

pytestmark = pytest.mark.usefixtures("no_leaks")

SHORT_S = 0.3


def post(endpoint: Endpoint, body: bytes = b"", most: int = 1 << 20) -> http.Answer:
    """Call as an alert channel does, with a short deadline."""
    channel = sinks.HttpSink("ops", "http://channel/x", lambda _notice: sinks.HttpRequest(b""))
    channel._endpoint = endpoint
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sinks, "MOST", most)
        return channel.exchange(sinks.HttpRequest(body), SHORT_S)


def ask(endpoint: Endpoint, **more: object) -> http.Answer:
    """Call nodeos with a short deadline."""
    return http.call(endpoint, "/x", SHORT_S, **more)  # type: ignore[arg-type] # call's own


def in_time(call: Callable[[], object]) -> float:
    """Return how long a call takes that must fail within its deadline."""
    begin = time.monotonic()
    with pytest.raises(CallFailed):
        call()
    spent = time.monotonic() - begin
    assert spent < SHORT_S + SLACK_S
    return spent


@pytest.mark.parametrize(
    "script",
    [
        hang,
        slowly(b"HTTP/1.1 201 Created\r\nX: " + b"x" * 999),
        slowly(b"HTTP/1.1 201 C\r\nContent-Length: 99\r\n\r\n" + b" " * 99),
    ],
    ids=["silence", "header", "body"],
)
def test_deadline_is_total(script: Talk, serve: Serve) -> None:
    """Neither client waits beyond its deadline for a peer that sends a byte now and then, nor gives up before it."""
    endpoint = serve(script).endpoint
    for call in (lambda: post(endpoint), lambda: ask(endpoint)):
        assert in_time(call) > SHORT_S - 0.05


def test_endless_informational_answers_end(serve: Serve) -> None:
    """A peer that says '100 Continue' for ever is late in the end."""

    def script(sock: socket.socket) -> None:
        while True:
            sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n" * 50)

    endpoint = serve(script).endpoint
    in_time(lambda: post(endpoint))
    in_time(lambda: ask(endpoint))


def test_request_that_nobody_takes_ends(serve: Serve) -> None:
    """A request larger than the buffers, which nobody reads, is given up in time, and counts as sent."""
    endpoint = serve(lambda _sock: time.sleep(1.0)).endpoint
    for call in (post, ask):
        with pytest.raises(CallFailed) as caught:
            call(endpoint, body=b"x" * (16 << 20))
        assert caught.value.sent


def test_not_sent_when_the_handshake_never_ends() -> None:
    """A listener whose queue is full is given up in time, and certainly got nothing."""
    with full_listener() as port:
        endpoint = parse_endpoint(f"http://127.0.0.1:{port}")
        for call in (post, ask):
            with pytest.raises(CallFailed, match="did not accept") as caught:
                call(endpoint)
            assert not caught.value.sent


def test_body_is_bounded(serve: Serve) -> None:
    """An answer above the bound is refused, and not read to its end."""
    endpoint = serve(answer(b"HTTP/1.1 200 OK\r\n\r\n" + b" " * 300_000)).endpoint
    for call in (post, ask):
        with pytest.raises(TooMuch):
            call(endpoint, most=200_000)
        assert len(call(endpoint, most=300_000).body) == 300_000


def test_packed_body_stays_packed(serve: Serve) -> None:
    """A body is taken as it was sent: what is packed could unpack to any size."""
    endpoint = serve(answer(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc")).endpoint
    assert post(endpoint).body == ask(endpoint).body == b"abc"


def test_redirect_is_an_answer(serve: Serve) -> None:
    """A redirect is not followed, nor read without bound, nor is what it says about its target looked at."""
    other = serve(answer(OK))
    for where in (f"http://127.0.0.1:{other.port}/", "http://[", "//", "\x00"):
        data = f"HTTP/1.1 302 Found\r\nLocation: {where}\r\n\r\n".encode() + b" " * 300_000
        for call in (post, ask):
            with pytest.raises(TooMuch):
                call(serve(answer(data)).endpoint, most=100_000)
    assert not other.connections


def test_environment_has_no_say(serve: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No proxy is used and no password from .netrc is sent, whatever the environment says."""
    netrc = tmp_path / ".netrc"
    netrc.write_text("default login somebody password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    heard: list[bytes] = []

    def script(sock: socket.socket) -> None:
        heard.append(sock.recv(65_536))
        sock.sendall(OK)

    assert post(serve(script).endpoint).status == 201
    assert b"Authorization" not in heard[0]
    assert heard[0].startswith(b"POST /x HTTP/1.1\r\n")


def test_each_call_has_its_own_connection(serve: Serve) -> None:
    """A connection is never used twice: what is left over on one cannot be taken for the answer to the next."""
    endpoint = serve(answer(OK + OK)).endpoint
    for _ in range(3):
        assert post(endpoint).body == b"true"
        assert ask(endpoint).status == 201


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\r\n\r\n",
        b"HTTP/1.1\r\n\r\n",
        b"SSH-2.0\r\n",
        OK[:-1],
        b"HTTP/1.1 abc OK\r\nContent-Length: 0\r\n\r\n",
        b"\xff" * 70_000,
    ],
)
def test_broken_answer_is_no_answer(data: bytes, serve: Serve) -> None:
    """Whatever is no whole HTTP answer is none, and the request counts as sent."""
    endpoint = serve(answer(data)).endpoint
    for call in (post, ask):
        with pytest.raises(CallFailed) as caught:
            call(endpoint)
        assert caught.value.sent


def test_our_client_starts_fast() -> None:
    """Our own client imports neither requests nor ssl: the guard must start fast."""
    code = "import sys, agent.net.http; print(any(name in sys.modules for name in ('requests', 'ssl')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=True)
    assert done.stdout.strip() == "False"
