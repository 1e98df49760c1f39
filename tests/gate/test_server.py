"""The gate's loop on the test's thread: who is heard, how many at once and for how long; and nothing stays open."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import socket
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from agent.gate import server as gate_server
from agent.gate import settings
from agent.gate.asker import WHOLE_S, Asker, peer_user
from agent.gate.permit import Permit
from agent.gate.server import ASKERS, QUESTION_S, QUESTIONERS, TICK_S, Server
from agent.gate.settings import Address, Settings
from agent.host.page import identity
from agent.net.endpoint import kernel_form
from tests.lab.nodeos import PUBLIC_KEY
from tests.support.moved_time import MovedTime
from tests.support.recorder import Recorder

pytestmark = pytest.mark.usefixtures("no_leaks")
STRANGER = 61_203
BOOT = "01234567-89ab-cdef-0123-456789abcdef"


class Bench:
    """A gate without a page, whose keosd is not there. `turn` is its loop."""

    def __init__(
        self, root: Path, *, owner: int | None = None, asker: int | None = None, keosd: str = "http://127.0.0.1:1"
    ) -> None:
        self.time = MovedTime()
        self.control, self.sign = str(root / "control"), str(root / "sign")
        self.page = root / "page"
        owner = os.geteuid() if owner is None else owner
        made = Settings(
            "eos",
            "bp-a",
            settings.key(PUBLIC_KEY),
            settings.address(keosd),
            Address(path=self.sign),
            self.control,
            self.page,
            owner,
            asker,
            "default",
            None,
        )
        permit = Permit(self.page, identity("eos", "bp-a"), owner, BOOT, self.time.boot)
        self.told: list[str] = []
        self.more: list[str] = []
        self.server = Server(made, permit, self.time.boot, self._tell, lambda: self.time.now / 1000)
        self.server.open()
        select = self.server._selector.select
        self._select = lambda _timeout=None: select(0.001)

    def _tell(self, reason: str, more: str) -> None:
        assert reason in gate_server.REASONS, "each that can be is counted from the start"
        self.told.append(reason)
        self.more.append(more)

    def turn(self, times: int = 3) -> None:
        """Let the loop turn; the clock stands still."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(self.server._selector, "select", self._select)
            for _ in range(times):
                self.server.turn()

    def connect(self, path: str) -> socket.socket:
        """Connect, and let the gate take the connection."""
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(path)
        self.turn()
        sock.setblocking(False)
        return sock

    def ask(self, question: bytes = b"status\n") -> bytes:
        """Ask on the control socket, and return all that comes back until it is closed; b"" when nothing does."""
        with self.connect(self.control) as sock:
            with contextlib.suppress(OSError):
                sock.send(question)
            self.turn()
            return heard(sock) or b""


def heard(sock: socket.socket) -> bytes | None:
    """Return what came, b"" when the other side has closed without a word, None when nothing came yet."""
    try:
        return sock.recv(65536)
    except BlockingIOError:
        return None
    except ConnectionResetError:
        return b""


@pytest.fixture
def root() -> Iterator[Path]:
    """Yield a directory with a path that is short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="nf-gate-") as name:
        yield Path(name)


@pytest.fixture
def bench(root: Path) -> Iterator[Bench]:
    """Yield a gate that is closed with the test."""
    found = Bench(root)
    yield found
    found.server.close()


def test_a_question_is_answered_and_the_connection_ends(bench: Bench) -> None:
    """One line of JSON to one question."""
    found = json.loads(bench.ask())
    assert found["pid"] == os.getpid()
    assert found["keosd"]
    assert not bench.told


@pytest.mark.parametrize("user", [STRANGER, None], ids=["another", "nobody knows who"])
def test_another_user_gets_no_answer_on_the_control_socket(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, user: int | None
) -> None:
    """Only the agent, the gate's own user and root may ask; a stranger is counted and told."""
    monkeypatch.setattr(gate_server, "peer_user", lambda _sock: user)
    assert bench.ask() == b""
    assert bench.told == ["control"]
    assert bench.server.counts.refused["control"] == 1


@pytest.mark.parametrize("user", [os.geteuid(), 0, 777])
def test_agent_gate_and_root_may_ask(root: Path, monkeypatch: pytest.MonkeyPatch, user: int) -> None:
    """777 is the agent's user here."""
    found = Bench(root, owner=777)
    monkeypatch.setattr(gate_server, "peer_user", lambda _sock: user)
    assert json.loads(found.ask())["pid"]
    found.server.close()


def test_questions_are_bounded_in_number_and_time(bench: Bench) -> None:
    """Who connects and asks nothing takes a place for a second at most, and beyond eight nobody is heard."""
    waiting = [bench.connect(bench.control) for _ in range(QUESTIONERS)]
    assert bench.ask() == b""
    assert bench.told == ["control"]
    bench.time.go(round(QUESTION_S * 1000) - 1)
    bench.turn()
    assert [heard(sock) for sock in waiting] == [None] * QUESTIONERS
    bench.time.go(1 + round(TICK_S * 1000))
    bench.turn()
    assert [heard(sock) for sock in waiting] == [b""] * QUESTIONERS
    assert json.loads(bench.ask())["pid"]
    for sock in waiting:
        sock.close()


def test_a_question_without_an_end_is_bounded_in_length(bench: Bench) -> None:
    """64 bytes without an end of line are no question: the connection ends without an answer."""
    with bench.connect(bench.control) as sock:
        sock.send(b"x" * 63)
        bench.turn()
        assert heard(sock) is None
        sock.send(b"x")
        bench.turn()
        assert heard(sock) == b""


def test_a_question_in_parts_is_put_together(bench: Bench) -> None:
    """A line may come in two segments."""
    with bench.connect(bench.control) as sock:
        sock.send(b"sta")
        bench.turn()
        assert heard(sock) is None
        sock.send(b"tus\n")
        bench.turn()
        assert json.loads(heard(sock) or b"{}")["pid"]


def test_who_leaves_before_the_answer_leaves_nothing_behind(bench: Bench) -> None:
    """Whether before or after the question."""
    for question in (b"", b"sta", b"status\n"):
        with bench.connect(bench.control) as sock:
            if question:
                sock.send(question)
        bench.turn()
    assert not bench.server._questioners


@pytest.mark.parametrize("user", [STRANGER, None], ids=["another", "nobody knows who"])
def test_only_the_user_of_nodeos_gets_signatures(root: Path, monkeypatch: pytest.MonkeyPatch, user: int | None) -> None:
    """Where a user is set another one is refused and counted, before a byte of it is read."""
    found = Bench(root, asker=777)
    monkeypatch.setattr(gate_server, "peer_user", lambda _sock: user)
    with found.connect(found.sign) as sock:
        assert heard(sock) == b""
    assert found.told == ["other_user"]
    assert found.more == ["nobody knows who asks" if user is None else f"user {user} asks"]
    monkeypatch.setattr(gate_server, "peer_user", lambda _sock: 777)
    with found.connect(found.sign) as sock:
        assert heard(sock) is None
    found.server.close()


def test_a_connection_that_asks_nothing_ends(bench: Bench) -> None:
    """From its first byte, and for its first request from the connection on, nodeos has two seconds."""
    with bench.connect(bench.sign) as silent, bench.connect(bench.sign) as slow:
        slow.send(b"POST ")
        bench.turn()
        bench.time.go(round(WHOLE_S * 1000) - 1)
        bench.turn()
        assert (heard(silent), heard(slow)) == (None, None)
        bench.time.go(1 + round(TICK_S * 1000))
        bench.turn()
        assert heard(silent) == b""
        assert not heard(slow) or b"408" in (heard(slow) or b"408")
    assert bench.told == ["slow", "slow"]


def test_connections_for_signatures_are_bounded(bench: Bench) -> None:
    """Beyond sixteen that are all at work nobody is taken on: descriptors are bounded whatever comes."""
    busy = []
    for _ in range(ASKERS):
        busy.append(bench.connect(bench.sign))
        busy[-1].send(b"POST ")
        bench.turn()
    with bench.connect(bench.sign) as one_more:
        assert heard(one_more) == b""
    assert bench.told == ["crowded"]
    for sock in busy:
        assert heard(sock) is None
        sock.close()


def test_a_newcomer_takes_the_place_of_the_longest_resting(bench: Bench) -> None:
    """nodeos comes back on a new connection while sixteen rest: the one that was used longest ago goes."""
    resting = []
    for _ in range(ASKERS):
        resting.append(bench.connect(bench.sign))
    used = [3, 0, *(number for number in range(ASKERS) if number not in (0, 3))]
    for number in used:
        bench.time.go(10)
        resting[number].send(b"GET /x HTTP/1.1\r\n\r\n")
        bench.turn()
        assert b"refused: path" in (heard(resting[number]) or b"")
    with bench.connect(bench.sign) as newcomer, bench.connect(bench.sign) as another:
        assert [number for number in range(ASKERS) if heard(resting[number]) == b""] == sorted(used[:2])
        assert (heard(newcomer), heard(another)) == (None, None)
    assert bench.told.count("crowded") == 2
    for sock in resting:
        sock.close()


def test_closing_leaves_no_socket_file(bench: Bench) -> None:
    """The next gate finds the places free, and those who are connected hear that it ended."""
    assert Path(bench.control).exists()
    waiting = [bench.connect(bench.control), bench.connect(bench.sign)]
    bench.server.close()
    assert not Path(bench.control).exists()
    assert not Path(bench.sign).exists()
    assert [heard(sock) for sock in waiting] == [b"", b""]
    for sock in waiting:
        sock.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.8.7", "::1"])
def test_the_user_at_the_other_end_of_a_port_is_known(host: str) -> None:
    """By the kernel's table, for IPv4 and IPv6; our own connection is ours, and not that of who accepts it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as server:
        server.bind((host, 0))
        server.listen()
        with socket.create_connection(server.getsockname()[:2]) as client, server.accept()[0] as served:
            assert peer_user(served) == peer_user(client) == os.geteuid()
        assert peer_user(server) is None, "nobody is there"


@pytest.mark.parametrize(("host", "form"), [("127.0.0.1", "0100007F"), ("::1", f"{'0' * 24}01000000")])
def test_an_address_is_written_as_the_kernel_does(host: str, form: str) -> None:
    """Words of four bytes in the order of the machine, here the usual one."""
    assert sys.byteorder == "little"
    assert kernel_form(host) == form


def test_the_user_at_the_other_end_of_a_socket_is_known() -> None:
    """By the kernel's word."""
    with contextlib.ExitStack() as closing:
        ours, theirs = map(closing.enter_context, socket.socketpair())
        assert peer_user(ours) == peer_user(theirs) == os.geteuid()


class Full:
    """A socket whose other side takes some bytes and no more."""

    def __init__(self, takes: int) -> None:
        self.takes, self.closed = takes, False

    def send(self, whole: bytes) -> int:
        """Take some."""
        if self.takes < 0:
            raise BlockingIOError
        return min(self.takes, len(whole))

    def close(self) -> None:
        """Note it."""
        self.closed = True


@pytest.mark.parametrize("takes", [0, 3, -1])
def test_who_cannot_take_an_answer_at_once_loses_the_connection(takes: int) -> None:
    """Half a signature is none, and nothing waits: it is counted as slow, and nothing more is sent on it."""
    sock, told = Full(takes), list[str]()
    selector, found = Recorder(), cast("socket.socket", sock)
    asker = Asker(cast("selectors.BaseSelector", selector), found, 0.0, lambda *_: None, told.append)
    assert not asker.send(b"answer")
    assert (asker.closed, sock.closed, told) == (True, True, ["slow"])
    assert not asker.send(b"more")
    assert told == ["slow"]
    assert selector.names == ["register", "unregister"]
    well = Asker(
        cast("selectors.BaseSelector", selector), cast("socket.socket", Full(100)), 0.0, lambda *_: None, told.append
    )
    assert well.send(b"answer")
    assert not well.closed
