"""The gate's connections to keosd: each request gets its own answer, in time, and nothing stays open."""

from __future__ import annotations

import contextlib
import selectors
import socket
from collections.abc import Iterator

import pytest

from agent.gate.keosd import IDLE, MOST, Keosd
from agent.gate.settings import address
from agent.gate.wire import SIGN, KeosdAnswer
from tests.support.gate_bench import answer
from tests.support.moved_time import MovedTime

pytestmark = pytest.mark.usefixtures("no_leaks")
WITHIN_S = 0.5


class Bench:
    """The connections, the server that they go to, and what was heard. Everything runs on the test's thread."""

    def __init__(self, closing: contextlib.ExitStack) -> None:
        self.time = MovedTime()
        self.selector = closing.enter_context(selectors.DefaultSelector())
        self.server = closing.enter_context(socket.create_server(("127.0.0.1", 0)))
        self.server.settimeout(10)
        self.heard: list[tuple[str, str]] = []
        place = address(f"http://127.0.0.1:{self.server.getsockname()[1]}")
        self.keosd = Keosd(self.selector, place, lambda: self.time.now / 1000)
        closing.callback(self.keosd.close)
        self._closing = closing

    def ask(self, within_s: float = WITHIN_S) -> None:
        """Ask for a signature."""
        self.keosd.ask(SIGN, b"[]", within_s, self._heard)

    def _heard(self, found: KeosdAnswer | None, why: str) -> None:
        self.heard.append((found.body.decode() if found else "", why))

    def accept(self) -> socket.socket:
        """Be the server: take the next connection."""
        sock = self._closing.enter_context(self.server.accept()[0])
        sock.settimeout(10)
        return sock

    def answered(self, words: bytes, sock: socket.socket | None = None) -> socket.socket:
        """Ask, be the server to that on `sock` or a new connection, and have it answer; return the connection."""
        self.ask()
        sock = sock or self.accept()
        self.request(sock)
        sock.sendall(words)
        self.turn(len(self.heard) + 1)
        return sock

    def look(self, within_s: float = 10.0) -> None:
        """Do what the gate's loop does once."""
        for key, mask in self.selector.select(within_s):
            key.data(mask)

    def nobody_dials(self) -> bool:
        """Whether no other connection was made."""
        self.server.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            self.accept()
            return False
        self.server.settimeout(10)
        return True

    def turn(self, answers: int) -> None:
        """Do what the gate's loop does, until so many answers were heard."""
        while len(self.heard) < answers:
            events = self.selector.select(10)
            assert events, "keosd is not waited for any more"
            for key, mask in events:
                key.data(mask)

    def request(self, sock: socket.socket) -> bytes:
        """Be the server: receive a whole request, which takes the loop its turns."""
        sock.setblocking(False)
        heard = b""
        while not heard.endswith(b"[]"):
            self.look(0.01)
            with contextlib.suppress(BlockingIOError):
                heard += sock.recv(4096)
        sock.settimeout(10)
        return heard


@pytest.fixture
def bench() -> Iterator[Bench]:
    """Yield connections to a server of the test."""
    with contextlib.ExitStack() as closing:
        yield Bench(closing)


def test_a_connection_is_used_again(bench: Bench) -> None:
    """A request costs no new connection after one that was answered whole."""
    sock = None
    for number in range(3):
        sock = bench.answered(answer(201, b"%d" % number), sock)
    assert bench.heard == [("0", ""), ("1", ""), ("2", "")]
    assert bench.nobody_dials()


def test_words_beyond_an_answer_are_nobodys_answer(bench: Bench) -> None:
    """Two answers in one segment: the next request gets its own, on a new connection; else it gets another's."""
    first = bench.answered(answer(201, b'"first"') + answer(201, b'"stray"'))
    bench.answered(answer(201, b'"second"'))
    assert bench.heard == [('"first"', ""), ('"second"', "")]
    assert first.recv(1) == b"", "it was closed"


def test_what_comes_unasked_ends_a_resting_connection(bench: Bench) -> None:
    """Bytes that arrive between two requests are nobody's answer either."""
    first = bench.answered(answer(201, b'"first"'))
    first.sendall(answer(201, b'"stray"'))
    bench.look()
    bench.answered(answer(201, b'"second"'))
    assert bench.heard == [('"first"', ""), ('"second"', "")]


def test_a_request_on_a_connection_that_ended_goes_on_a_new_one_with_the_time_left(bench: Bench) -> None:
    """keosd restarted between two requests: the second one is sent anew, once, and ends when it was due at first."""
    first = bench.answered(answer(201, b'"first"'))
    bench.ask()
    bench.time.go(400)
    first.close()
    while bench.nobody_dials():
        bench.look(0.01)
    bench.time.go(99)
    bench.keosd.tick()
    assert len(bench.heard) == 1
    bench.time.go(1)
    bench.keosd.tick()
    assert bench.heard[1:] == [("", "keosd_timeout")]


def test_a_request_that_is_late_ends_with_its_connection(bench: Bench) -> None:
    """At its deadline, not before; an answer that comes later reaches nobody, above all not the next request."""
    bench.ask()
    first = bench.accept()
    bench.request(first)
    bench.time.go(499)
    bench.keosd.tick()
    assert not bench.heard
    bench.time.go(1)
    bench.keosd.tick()
    assert bench.heard == [("", "keosd_timeout")]
    assert first.recv(1) == b""


def test_an_answer_that_says_close_ends_its_connection(bench: Bench) -> None:
    """`Connection: close` is kept to."""
    first = bench.answered(answer(201, b"1").replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    assert first.recv(1) == b""


def test_a_keosd_that_ends_under_a_first_request_is_told(bench: Bench) -> None:
    """On a connection that was dialled for it nothing is sent twice."""
    bench.ask()
    bench.accept().close()
    bench.turn(1)
    assert bench.heard == [("", "keosd_unreachable")]
    assert bench.nobody_dials()


@pytest.mark.parametrize(
    "words", [b"SSH-2.0-x\r\n\r\n", b"HTTP/1.1 201 X\r\nContent-Length: -1\r\n\r\n", b"x" * 100_000]
)
def test_what_is_no_answer_ends_the_connection(bench: Bench, words: bytes) -> None:
    """Words that are none of HTTP, or without an end, are told and not collected."""
    bench.ask()
    first = bench.accept()
    bench.request(first)
    with contextlib.suppress(ConnectionError):
        first.sendall(words)
    bench.turn(1)
    assert bench.heard == [("", "keosd_malformed")]


def test_so_many_at_once_and_no_more(bench: Bench) -> None:
    """A keosd that hangs does not collect requests: the next one is told at once. Few connections are kept."""
    for _ in range(MOST + 1):
        bench.ask()
    assert bench.heard == [("", "keosd_busy")]
    socks = [bench.accept() for _ in range(MOST)]
    for number, sock in enumerate(socks):
        bench.request(sock)
        sock.sendall(answer(201, b"1"))
        bench.turn(number + 2)
    open_ = 0
    for sock in socks:
        sock.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            assert sock.recv(1) == b""
            continue
        open_ += 1
    assert open_ == IDLE


def test_nobody_there_is_told() -> None:
    """A port where nobody listens and a path that is too long are answers, not exceptions, and leave nothing open."""
    heard: list[str] = []
    with selectors.DefaultSelector() as selector:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
        for place in (address(f"http://127.0.0.1:{port}"), address(f"unix:///tmp/{'x' * 60}/none.sock")):
            keosd = Keosd(selector, place, lambda: 0.0)
            keosd.ask(SIGN, b"[]", WITHIN_S, lambda _found, why: heard.append(why))
            for key, mask in selector.select(0.2):
                key.data(mask)
            keosd.close()
    assert heard == ["keosd_unreachable"] * 2
