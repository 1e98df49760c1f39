"""A connection and what follows on it share one deadline: each step gets what is left, and a failure closes all."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.alerts import sinks
from agent.host.deadline import CallFailed, Deadline, DeadlineSocket, NoAnswer, NotSent
from agent.net import dial, http
from agent.net import tls as deadline_tls
from agent.net.endpoint import Endpoint, parse_endpoint
from agent.net.resolver import Resolver
from tests.support.moved_time import MovedTime
from tests.support.recorder import Recorder

pytestmark = pytest.mark.usefixtures("no_leaks")
NAMED = parse_endpoint("http://nodeos.example:8888")


def near(seconds: float) -> object:
    """Return a figure to compare with."""
    return pytest.approx(seconds, abs=0.003)


class Steps:
    """Each system call of a socket is recorded with the time-out that stands then, and takes `takes_ms`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, time: MovedTime) -> None:
        self.spans: list[tuple[str, float]] = []
        self.takes_ms = 100
        self.fails: list[OSError] = []
        self.brings: list[bytes] = []
        self._time, self._left = time, 0.0
        monkeypatch.setattr(socket.socket, "settimeout", lambda _sock, seconds: setattr(self, "_left", seconds))
        monkeypatch.setattr(socket.socket, "connect", lambda _sock, _address: self._step("connect"))
        monkeypatch.setattr(socket.socket, "sendall", lambda _sock, _data, _flags=0: self._step("sendall"))
        monkeypatch.setattr(socket.socket, "recv", lambda _sock, _size, _flags=0: self._recv())

    def _step(self, name: str) -> None:
        self.spans.append((name, self._left))
        self._time.go(self.takes_ms)
        if self.fails:
            raise self.fails.pop(0)

    def _recv(self) -> bytes:
        self._step("recv")
        return self.brings.pop(0) if self.brings else b""


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch, moved: MovedTime) -> Steps:
    """Record what sockets are given."""
    return Steps(monkeypatch, moved)


def names(*hosts: str) -> Any:
    """Return names that know these addresses."""
    return Recorder({"find": [[(socket.AF_INET, (host, 8888)) for host in hosts]]})


def test_each_address_gets_its_share_of_what_is_left(steps: Steps) -> None:
    """Three addresses, two of which refuse: a third of the time, a half of what is left, and then all of it."""
    steps.fails = [ConnectionRefusedError(), ConnectionRefusedError()]
    sock = dial.dial(NAMED, Deadline(3.0), names("10.0.0.1", "10.0.0.2", "10.0.0.3"))
    assert steps.spans == [("connect", near(1.0)), ("connect", near(1.45)), ("connect", near(2.8))]
    assert sock.deadline.remaining() == near(2.7), "what comes next has all that is left, not a share"
    sock.close()


def test_addresses_that_all_fail_leave_nothing_open_and_are_forgotten(steps: Steps) -> None:
    """The name is looked up anew next time, for its addresses may have changed."""
    steps.fails = [ConnectionRefusedError(), ConnectionRefusedError()]
    known = names("10.0.0.1", "10.0.0.2")
    with pytest.raises(NotSent):
        dial.dial(NAMED, Deadline(3.0), known)
    assert known.names == ["find", "forget"]


def test_request_and_answer_have_what_the_connection_left(steps: Steps) -> None:
    """A POST of 1 s in all: connection, request and each part of the answer get what is left of it."""
    steps.brings = [b"HTTP/1.0 201 Created\r\n", b"Content-Length: 2\r\n\r\n", b"ok"]
    found = http.call(parse_endpoint("http://10.0.0.1:8888"), "/v1/x", 1.0)
    assert (found.status, found.body) == (201, b"ok")
    names_ = ["connect", "sendall", "recv", "recv", "recv"]
    assert steps.spans == [(name, near(1.0 - 0.1 * index)) for index, name in enumerate(names_)]


def test_an_answer_that_trickles_ends_at_the_deadline(steps: Steps) -> None:
    """A byte in 0.1 s is progress, and no answer: after the time of the call nothing more is read."""
    steps.brings = [b"x"] * 100
    with pytest.raises(NoAnswer, match="within 1 s"):
        http.call(parse_endpoint("http://10.0.0.1:8888"), "/v1/x", 1.0)
    assert len(steps.spans) == 10


def test_an_answer_without_end_is_given_up(steps: Steps) -> None:
    """More than a bound of it is not kept."""
    steps.takes_ms, steps.brings = 0, [b"x" * 1000] * 100
    with pytest.raises(NoAnswer, match="more than"):
        http.call(parse_endpoint("http://10.0.0.1:8888"), "/v1/x", 1.0, most=5_000)
    assert len(steps.brings) == 100 - 6


def test_a_full_queue_is_tried_again_until_the_deadline(steps: Steps, moved: MovedTime) -> None:
    """A Unix socket whose queue is full refuses at once: a hundred tries a second at most, each closed, and an end."""
    steps.takes_ms, steps.fails = 0, [BlockingIOError() for _ in range(1000)]
    with pytest.raises(NoAnswer):
        dial.dial(Endpoint("unix:///x", path="/x"), Deadline(0.5), Resolver())
    assert moved.passed_s == near(0.5)
    assert 40 <= len(steps.spans) <= 52


def test_a_handshake_has_what_the_connection_left(steps: Steps, monkeypatch: pytest.MonkeyPatch) -> None:
    """TLS is shaken hands for within the same deadline; a handshake that fails closes the connection below."""
    given: list[float] = []
    context = Recorder()
    monkeypatch.setattr(context, "wrap_socket", None, raising=False)

    def wrap_socket(plain: DeadlineSocket, server_hostname: str) -> None:
        given.append(steps._left)
        assert server_hostname == "10.0.0.1"
        raise TimeoutError

    context.wrap_socket = wrap_socket  # type: ignore[attr-defined]  # a recorder stands for anything
    found: Any = context
    with pytest.raises(NoAnswer):
        dial.dial(parse_endpoint("https://10.0.0.1:8888"), Deadline(1.0), Resolver(), found)
    assert given == [near(0.9)]


def test_a_resolver_gets_what_is_left(moved: MovedTime, monkeypatch: pytest.MonkeyPatch) -> None:
    """A look-up that hangs costs what is left of the call's time, and one that began earlier is joined, not doubled."""
    over, asked = threading.Event(), list[str]()

    def getaddrinfo(host: str, *_: Any, **__: Any) -> list[Any]:
        asked.append(host)
        over.wait()
        return []

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    known = Resolver()
    for ahead_ms, span in ((0, 1.0), (600, 0.4), (999, 0.001)):
        deadline = Deadline(1.0)
        moved.go(ahead_ms)
        before = len(moved.slept)
        with pytest.raises(TimeoutError):
            known.find("slow.example", 80, deadline)
        assert moved.slept[before:] == [near(span)]
    assert asked == ["slow.example"]
    over.set()


@pytest.mark.parametrize("call", ["connect", "sendall", "send", "recv", "recv_into"])
def test_no_step_begins_after_the_deadline(moved: MovedTime, call: str) -> None:
    """Whatever is called on a socket whose time is over is told so before anything happens."""
    sock = DeadlineSocket(socket.AF_INET, Deadline(0.5))
    moved.go(500)
    arguments: dict[str, tuple[Any, ...]] = {"connect": (("127.0.0.1", 1),), "recv": (1,), "recv_into": (bytearray(1),)}
    with pytest.raises(TimeoutError, match=r"not within 0\.5 s"):
        getattr(sock, call)(*arguments.get(call, (b"x",)))
    assert not sock.sent, "nothing has left"
    sock.close()


@pytest.mark.parametrize("call", ["sendall", "send"])
def test_what_was_tried_to_be_sent_may_have_left(moved: MovedTime, call: str) -> None:
    """R2: from the first try on a request counts as delivered, whatever the call says."""
    ours, theirs = socket.socketpair()
    sock = DeadlineSocket(socket.AF_UNIX, Deadline(0.5))
    try:
        with pytest.raises(OSError, match="not connected"):
            getattr(sock, call)(b"x")
        assert sock.sent
    finally:
        for each in (ours, theirs, sock):
            each.close()


@pytest.fixture
def pairs() -> Iterator[Callable[[Deadline], tuple[DeadlineSocket, socket.socket]]]:
    """Return what makes a connected pair, ours with a deadline."""
    made: list[socket.socket] = []

    def make(deadline: Deadline) -> tuple[DeadlineSocket, socket.socket]:
        server = socket.create_server(("127.0.0.1", 0))
        sock = DeadlineSocket(socket.AF_INET, deadline)
        sock.connect(server.getsockname())
        theirs = server.accept()[0]
        made.extend((server, sock, theirs))
        return sock, theirs

    yield make
    for each in made:
        each.close()


def test_every_call_sets_the_time_that_is_left(
    moved: MovedTime, pairs: Callable[[Deadline], tuple[DeadlineSocket, socket.socket]]
) -> None:
    """The time-out of the socket is what is left of its deadline at each call, not what was left at the first."""
    sock, theirs = pairs(Deadline(2.0))
    theirs.sendall(b"abc")
    for call, argument in (("sendall", b"x"), ("send", b"x"), ("recv", 1), ("recv_into", bytearray(1))):
        moved.go(100)
        getattr(sock, call)(argument)
        assert sock.gettimeout() == near(sock.deadline.remaining())
    assert sock.deadline.remaining() == near(1.6)


def test_tls_sockets_keep_the_deadline_too() -> None:
    """The socket that OpenSSL reads and writes through is one of ours."""
    assert deadline_tls.tls_context().sslsocket_class is deadline_tls.DeadlineTLSSocket


def test_a_context_is_made_of_the_file_that_is_named_or_of_the_hosts() -> None:
    """So that a change of these files is noticed, and no other."""
    assert deadline_tls.authorities(Path("/x/ca.pem")) == (Path("/x/ca.pem"),)
    host = deadline_tls.authorities()
    assert Path("/x/ca.pem") not in host
    assert all(each.is_absolute() for each in host)


def test_tls_is_used_where_the_address_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """The guard's client checks certificates as the agent's does, and loads nothing of TLS without need."""
    given: list[Any] = []

    def dialled(_endpoint: Any, deadline: Deadline, _names: Any, context: Any) -> Any:
        given.append((context, deadline.span))
        raise NotSent("the test")

    monkeypatch.setattr(http, "dial", dialled)
    for url in ("http://10.0.0.1:1", "https://10.0.0.1:1"):
        with pytest.raises(NotSent):
            http.call(parse_endpoint(url), "/x", 0.7)
    (plain, span), (tls, _) = given
    assert (plain, span) == (None, 0.7)
    assert tls.verify_mode is ssl.CERT_REQUIRED
    assert tls.check_hostname


def by_channel(endpoint: Endpoint, path: str, timeout_s: float, *, method: str, body: bytes = b"") -> http.Answer:
    """Call as an alert channel does."""
    channel = sinks.HttpSink("ops", f"http://channel{path}", lambda _notice: sinks.HttpRequest(b""))
    channel._endpoint = endpoint
    return channel.exchange(sinks.HttpRequest(body, method=method), timeout_s)


@pytest.mark.parametrize("method", ["POST", "GET"])
@pytest.mark.parametrize("error", [NotSent("refused"), NoAnswer("slow")])
def test_a_call_is_tried_once(monkeypatch: pytest.MonkeyPatch, error: OSError, method: str) -> None:
    """R2: a library that tries again by itself would send a pause or a resume twice."""
    dials: list[float] = []

    def dialled(_endpoint: Any, deadline: Deadline, *_: Any) -> Any:
        dials.append(deadline.span)
        raise error

    monkeypatch.setattr(http, "dial", dialled)
    monkeypatch.setattr(sinks, "dial", dialled)
    for call in (http.call, by_channel):
        with pytest.raises(CallFailed) as caught:
            call(parse_endpoint("http://10.0.0.1:1"), "/x", 0.7, method=method)
        assert not caught.value.sent
    assert dials == [0.7, 0.7]


@pytest.mark.parametrize("method", ["POST", "GET"])
def test_a_request_that_is_cut_off_is_not_sent_again(method: str) -> None:
    """R2: its head has left, so that it may be acted upon: one connection and one request each, and that is told."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken: list[int] = []

        def serve() -> None:
            while True:
                try:
                    with server.accept()[0] as sock:
                        taken.append(len(sock.recv(4096)))
                except OSError:
                    return

        thread = threading.Thread(target=serve)
        thread.start()
        endpoint = parse_endpoint(f"http://127.0.0.1:{server.getsockname()[1]}")
        try:
            for call in (http.call, by_channel):
                with pytest.raises(CallFailed) as caught:
                    call(endpoint, "/x", 5.0, body=b"{}", method=method)
                assert caught.value.sent
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join(10)
    assert len(taken) == 2
