"""The gate among hostile clients: sizes, slow senders, crowds, foreign users; and after it all it still signs."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.gate import asker
from agent.gate.server import ASKERS
from agent.gate.wire import SIGN
from tests.support.gate_bench import LIMIT_S, SIGNATURE, FakeKeosd, GateBench, gate_on_fake

Pair = tuple[GateBench, FakeKeosd]
SIGNED = (201, SIGNATURE.decode().strip('"'))
HEAD = f"POST {SIGN} HTTP/1.1\r\nHost: x\r\n".encode()


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    """A gate that runs and may sign, and a FAKE keosd behind it."""
    with gate_on_fake(tmp_path) as both:
        both[0].open()
        yield both


BAD = {
    "too_large": (
        HEAD + b"X: " + b"a" * 9000 + b"\r\n\r\n",
        HEAD + b"Content-Length: 100000\r\n\r\n" + b"a" * 9000,
    ),
    "malformed": (
        b"\x16\x03\x01\x02\x00\x01\r\n\r\n",
        HEAD + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n[]",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"Content-Length: -1\r\n\r\n",
        HEAD + b"Content-Length: 1_0\r\n\r\n",
        HEAD + b" folded\r\n\r\n",
        HEAD + b"Content-Length : 2\r\n\r\n[]",
        HEAD + b"Content-Length: 2\r\n\r\n[]" * 2 + HEAD,
    ),
}


@pytest.mark.parametrize(("reason", "sent"), [(key, each) for key, all_ in BAD.items() for each in all_])
def test_malformed_requests_end_the_connection(pair: Pair, reason: str, sent: bytes) -> None:
    """What two readers could understand differently is refused, counted, and ends the connection."""
    bench, keosd = pair
    assert f"the signing gate refused: {reason}".encode() in bench.raw(sent)
    assert bench.refused(reason) == 1
    assert SIGN not in keosd.asked
    assert bench.ask() == SIGNED


def test_slow_sender_loses_its_connection_and_holds_nobody_up(pair: Pair) -> None:
    """A request has its time from the first byte on; others are served meanwhile."""
    bench, _ = pair
    with socket.create_connection(("127.0.0.1", bench.port), timeout=LIMIT_S) as slow:
        start = time.monotonic()
        with contextlib.suppress(ConnectionError):
            for byte in HEAD + b"X: " + b"a" * 7000:
                slow.sendall(bytes([byte]))
                assert bench.ask() == SIGNED
                if bench.refused("slow"):
                    break
    assert time.monotonic() - start < asker.WHOLE_S + LIMIT_S
    assert bench.refused("slow") == 1


def test_whoever_does_not_read_holds_nobody_up(pair: Pair) -> None:
    """A closing is proven while a client leaves its answer unread."""
    bench, keosd = pair
    with socket.create_connection(("127.0.0.1", bench.port), timeout=LIMIT_S) as lazy:
        body = f'["{"00" * 32}","EOS6MRyAjQq8ud7hVNYcfnVPJqcVpscN5So8BhtHuGYqET5GDW5CV"]'.encode()
        lazy.sendall(HEAD + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
        bench.wait(lambda: SIGN in keosd.asked)
        assert bench.ask() == SIGNED
        assert bench.hand.close(LIMIT_S).how == "the gate said so"


def test_crowd_does_not_lock_out_nodeos(pair: Pair) -> None:
    """Connections are bounded: the one that rested longest makes room, and the gate goes on signing."""
    bench, _ = pair
    with contextlib.ExitStack() as open_:
        for _ in range(ASKERS * 2):
            open_.enter_context(socket.create_connection(("127.0.0.1", bench.port), timeout=LIMIT_S))
        assert bench.ask() == SIGNED
    assert bench.refused("crowded") > 0


def test_questions_are_bounded(pair: Pair) -> None:
    """The control socket takes one short line, and answers nonsense with what the questions are."""
    bench, _ = pair
    for sent in (b"a" * 5000, b"\n", b"closed \xff\n", b"closed " + b"9" * 40 + b"\n", b"status x\n", b"closed -1\n"):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(LIMIT_S)
            sock.connect(str(bench.control))
            with contextlib.suppress(ConnectionError):
                sock.sendall(sent)
                got = sock.recv(65536)
                assert b'"closed": ' not in got
                assert not got or b"the questions are" in got
    assert bench.ask() == SIGNED
    assert bench.control.stat().st_mode & 0o007 == 0


LISTENS = ("http://127.0.0.1:PORT", "http://[::1]:PORT")


@pytest.mark.parametrize("listen", LISTENS)
@pytest.mark.parametrize("other", [0, 1])
def test_only_the_user_of_nodeos_may_ask(tmp_path: Path, listen: str, other: int) -> None:
    """On a port the kernel tells who asks: everybody but the user of nodeos is refused."""
    family = socket.AF_INET6 if "::1" in listen else socket.AF_INET
    user = str(os.geteuid() + other)
    with gate_on_fake(tmp_path, listen=listen, nodeos_user=user) as (bench, _):
        where = ("::1" if "::1" in listen else "127.0.0.1", bench.port)
        bench.open()
        with socket.socket(family) as sock:
            sock.settimeout(LIMIT_S)
            sock.connect(where)
            body = f'["{"00" * 32}","PUB_K1_6MRyAjQq8ud7hVNYcfnVPJqcVpscN5So8BhtHuGYqET5BoDq63"]'.encode()
            got = b""
            with contextlib.suppress(ConnectionError):
                sock.sendall(HEAD + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
                got = sock.recv(4096)
            assert (SIGNATURE in got) is (other == 0), "a key means the same in either form"
        assert bench.refused("other_user") == other
