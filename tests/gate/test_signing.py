"""A signature through the gate on the test's thread: what keosd is asked, what comes back, and what is counted."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.errors import ConfigError
from agent.gate import server as gate_server
from agent.gate.control import BOUNDS, Counts
from agent.gate.server import WAITING, listen
from agent.gate.settings import Address
from agent.gate.wire import SIGN
from agent.host import page as pages
from agent.host.page import Page, Sign, identity
from tests.gate.test_server import BOOT, Bench
from tests.lab.nodeos import PUBLIC_KEY
from tests.support.gate_bench import KEYS, OTHER_KEY, SIGNATURE, answer

pytestmark = pytest.mark.usefixtures("no_leaks")
DIGEST = "ab" * 32
SPAN_MS = 6000


class Signing(Bench):
    """A gate with an open page, and a keosd that answers when the test says so."""

    def __init__(self, root: Path) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self._server.settimeout(10)
        super().__init__(root, keosd=f"http://127.0.0.1:{self._server.getsockname()[1]}")
        self.lines: list[socket.socket] = []
        self.write(Page(BOOT, identity("eos", "bp-a"), 3, Sign.OPEN, self.time.boot() + SPAN_MS, 4, 2))
        self.turn()
        self.keosd(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(KEYS), KEYS))  # its look for the key
        self.nodeos = self.connect(self.sign)

    def write(self, page: Page) -> None:
        """Write the page, in the same file."""
        self.page.touch()
        self.page.chmod(0o640)
        with self.page.open("r+b") as file:
            file.write(pages.pack(page))

    def keosd(self, says: bytes) -> bytes:
        """Be keosd: take one request, answer it, and return its body."""
        heard, end = b"", b"\r\n\r\n"
        if not self.lines:
            self.lines.append(self._server.accept()[0])
            self.lines[0].setblocking(False)
        while True:
            self.turn(1)
            with contextlib.suppress(BlockingIOError):
                heard += self.lines[0].recv(65536)
            head, found, body = heard.partition(end)
            length = next((int(each[16:]) for each in head.split(b"\r\n") if each.startswith(b"Content-Length: ")), 0)
            if found and len(body) >= length:
                break
        self.lines[0].sendall(says)
        self.turn(5)
        return body

    def request(self, key: str = PUBLIC_KEY, *, target: str = SIGN, digest: str = DIGEST) -> None:
        """Be nodeos: ask for a signature."""
        body = json.dumps([digest, key]).encode()
        head = f"POST {target} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
        self.nodeos.sendall(head.encode() + body)
        self.turn()

    def answered(self) -> tuple[int, object]:
        """Be nodeos: return status and body of the answer."""
        self.turn()
        head, _, body = self.nodeos.recv(65536).partition(b"\r\n\r\n")
        return int(head.split()[1]), json.loads(body)

    def close(self) -> None:
        """End it."""
        self.server.close()
        for each in (*self.lines, self._server, self.nodeos):
            each.close()


@pytest.fixture
def gate() -> Iterator[Signing]:
    """Yield a gate with an open page, a keosd, and a connection of nodeos."""
    with tempfile.TemporaryDirectory(prefix="nf-gate-") as name:
        found = Signing(Path(name))
        yield found
        found.close()


def test_digest_and_key_reach_keosd_and_its_signature_comes_back(gate: Signing) -> None:
    """Nothing is changed on either way, and what left is counted with the time that it took."""
    gate.request()
    gate.time.go(30)
    assert json.loads(gate.keosd(answer(201, SIGNATURE))) == [DIGEST, PUBLIC_KEY]
    assert gate.answered() == (201, json.loads(SIGNATURE))
    counts = gate.server.counts
    assert (counts.signed, sum(counts.refused.values())) == (1, 0)
    assert counts.seconds == pytest.approx(0.03)
    assert counts.latency[BOUNDS.index(0.05)] == 1
    assert gate.server.control.last_signature == gate.time.boot()
    gate.request()
    gate.keosd(answer(201, SIGNATURE))
    assert gate.answered()[0] == 201, "the connection stays"


def test_a_permit_that_ends_while_keosd_works_lets_nothing_pass(gate: Signing) -> None:
    """R3: the last look is at the moment at which the signature would leave."""
    gate.time.go(SPAN_MS - 100)
    gate.request()
    gate.time.go(99)
    gate.keosd(answer(201, SIGNATURE))
    assert gate.answered()[0] == 201
    gate.request()
    gate.time.go(1)
    gate.keosd(answer(201, SIGNATURE))
    status, body = gate.answered()
    assert status == 500
    assert SIGNATURE.decode().strip('"') not in str(body)
    assert gate.told == ["expired"]


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"key": OTHER_KEY}, "key"),
        ({"target": "/v1/wallet/list_keys"}, "path"),
        ({"digest": "xyz"}, "body"),
    ],
)
def test_other_requests_never_reach_keosd(gate: Signing, asked: dict[str, str], reason: str) -> None:
    """Another key, another question, or no digest: refused before anything is handed on."""
    gate.request(**asked)
    assert gate.answered()[0] == 500
    assert gate.told == [reason]
    assert gate.server.counts.refused[reason] == 1
    with pytest.raises(BlockingIOError):
        gate.lines[0].recv(1)


def test_a_closed_page_lets_no_request_through(gate: Signing) -> None:
    """R4: keosd is not even asked."""
    gate.write(Page(BOOT, identity("eos", "bp-a"), 3, Sign.CLOSED, 0, 5, 4))
    gate.request()
    assert gate.answered()[0] == 500
    assert gate.told == ["closed"]
    with pytest.raises(BlockingIOError):
        gate.lines[0].recv(1)


def test_the_word_on_a_closing_comes_with_how_the_gate_is(gate: Signing) -> None:
    """R4: the number, the very page, and since when nothing left; an open page is no closing."""
    found = json.loads(gate.ask(b"closed 5\n"))
    assert (found["closed"], found["why"]) == (None, "the page is open")
    gate.request()
    gate.time.go(10)
    gate.keosd(answer(201, SIGNATURE))
    gate.write(Page(BOOT, identity("eos", "bp-a"), 3, Sign.CLOSED, 0, 5, 4))
    found = json.loads(gate.ask(b"closed 5\n"))
    status = gate.page.stat()
    assert found["closed"] == 5
    assert found["page"] == [status.st_dev, status.st_ino]
    assert found["quiet_since"] == found["last_signature"] == gate.time.boot()
    assert (found["signed"], found["pid"], found["keosd"]) == (1, os.getpid(), "ready")
    counts = gate.server.counts
    assert (found["refused"], found["latency"], found["seconds"]) == (
        dict(counts.refused),
        counts.latency,
        pytest.approx(0.01),
    )
    assert found["started"] == 1_000_000
    assert json.loads(gate.ask(b"closed 6\n"))["closed"] is None
    assert "closed" not in json.loads(gate.ask(b"status\n"))
    for wrong in (b"closed\n", b"closed x\n", b"closed -1\n", b"open 5\n", b"\n"):
        assert "the questions are" in json.loads(gate.ask(wrong))["why"]


def test_a_page_that_cannot_be_seen_is_no_closing(gate: Signing) -> None:
    """R4: the answer says so, and why."""
    gate.page.unlink()
    found = json.loads(gate.ask(b"closed 5\n"))
    assert (found["closed"], found["why"], found["page"]) == (None, "no_page", None)


def test_a_second_request_before_the_answer_ends_the_connection(gate: Signing) -> None:
    """Nobody asks so, and two readers could understand it differently."""
    gate.request()
    gate.request()
    assert gate.told == ["malformed"]
    head = gate.nodeos.recv(65536)
    assert head.startswith(b"HTTP/1.1 500 Internal Server Error\r\n")
    assert b"refused: malformed" in head
    assert gate.nodeos.recv(1) == b""


def test_a_keosd_that_answers_something_else_gives_no_signature(gate: Signing) -> None:
    """An error of keosd, or words that are none, are a refusal with a reason."""
    for says in (answer(500, b'{"error":{"code":1,"name":"disk"}}'), answer(201, b'"no signature"')):
        gate.request()
        gate.keosd(says)
        assert gate.answered()[0] == 500
    assert gate.told == ["keosd_error"] * 2


def test_who_left_meanwhile_gets_nothing_and_is_counted(gate: Signing) -> None:
    """A signature that nobody waits for is not counted as one that left."""
    gate.request()
    gate.nodeos.close()
    gate.turn()
    gate.keosd(answer(201, SIGNATURE))
    assert gate.told == ["gone"]
    assert gate.server.counts.signed == 0


def test_times_are_counted_in_their_buckets() -> None:
    """Bounds rise, a figure on a bound belongs below it, and one beyond the last is counted, too."""
    assert list(BOUNDS) == sorted(set(BOUNDS))
    assert (BOUNDS[0], BOUNDS[-1]) == (0.0005, 0.5), "nodeos waits for 5 to 100 ms"
    counts = Counts(("closed",))
    for seconds in (*BOUNDS, 0.0, 0.501):
        counts.sign(seconds)
    assert counts.latency == [2, *[1] * len(BOUNDS)]
    assert counts.signed == len(BOUNDS) + 2
    assert counts.seconds == pytest.approx(sum(BOUNDS) + 0.501)
    assert counts.refused == {"closed": 0}


def test_a_port_can_be_had_again_at_once() -> None:
    """A gate that is started again finds its port, though connections of the last one linger; so many may wait."""
    door = listen(Address(host="127.0.0.1", port=0))
    port = door.getsockname()[1]
    client = socket.create_connection(("127.0.0.1", port))
    door.setblocking(True)
    served = door.accept()[0]
    served.close()  # our side ends first: the port lingers
    client.close()
    door.close()
    again = listen(Address(host="127.0.0.1", port=port))
    assert again.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
    assert not again.getblocking()
    with pytest.raises(ConfigError, match="cannot listen on"):
        listen(Address(host="127.0.0.1", port=port))
    again.close()
    assert WAITING >= gate_server.ASKERS


def test_a_socket_that_a_dead_gate_left_is_replaced_and_no_other() -> None:
    """It is for our group and nobody else; a live gate's is not taken away, and neither is a file."""
    with tempfile.TemporaryDirectory(prefix="nf-gate-") as name:
        path = Path(name) / "s"
        mask = os.umask(0o022)
        listen(Address(path=str(path))).close()
        assert os.umask(mask) == 0o022, "files that the gate writes later are not its business"
        door = listen(Address(path=str(path)))
        assert path.stat().st_mode & 0o777 == 0o660
        with pytest.raises(ConfigError, match="somebody listens there already"):
            listen(Address(path=str(path)))
        door.close()
        path.unlink()
        path.write_text("mine")
        with pytest.raises(ConfigError, match="no socket"):
            listen(Address(path=str(path)))
        assert path.read_text() == "mine"
