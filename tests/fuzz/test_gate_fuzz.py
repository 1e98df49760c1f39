"""What the gate reads of others, broken: requests, keosd's answers, pages, and what the agent hears of a gate."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import GateError
from agent.gate import client as hand
from agent.gate import settings
from agent.gate.control import BOUNDS
from agent.gate.wire import HEAD, SIGN, WireError, is_signature, take_answer, take_request, wanted
from agent.host import page as pages
from agent.host.page import Page, PageError, Sign
from tests.fuzz.mutation import broken_bytes, broken_json
from tests.fuzz.test_parsers import fuzzed
from tests.support.gate_bench import KEYS, LIMIT_S, SIGNATURE, GateBench, answer, gate_on_fake

KEY = "EOS6MRyAjQq8ud7hVNYcfnVPJqcVpscN5So8BhtHuGYqET5GDW5CV"
BODY = json.dumps(["ab" * 32, KEY]).encode()
REQUEST = f"POST {SIGN} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(BODY)}\r\n\r\n".encode() + BODY
PAGE = pages.pack(Page("01234567-89ab-cdef-0123-456789abcdef", b"i" * 16, 1, Sign.OPEN, 5, 1, 2))
STATUS = {
    "pid": 1,
    "started": 2,
    "page": [3, 4],
    "keosd": "ready",
    "signed": 5,
    "last_signature": 6,
    "refused": {"closed": 7},
    "latency": [0] * (len(BOUNDS) + 1),
    "seconds": 0.5,
}


@fuzzed
@given(broken_bytes([REQUEST, REQUEST * 2, REQUEST[:40]]))
def test_requests(data: bytes) -> None:
    """Broken requests are refused or not whole yet; what is taken whole asks for a signature or is refused."""
    buffer = bytearray(data)
    try:
        request = take_request(buffer)
        if request is not None:
            digest, key = wanted(request)
            assert len(digest) == 64
            assert len(key) <= 220
    except WireError:
        return
    if request is None:
        assert len(buffer) < HEAD + 1024


@fuzzed
@given(broken_bytes([answer(201, SIGNATURE), answer(200, KEYS), answer(500, b"{}")]))
def test_answers(data: bytes) -> None:
    """Broken answers of keosd are refused, not whole yet, or told as what they are."""
    try:
        found = take_answer(bytearray(data))
    except WireError:
        return
    if found is not None and is_signature(found):
        assert found.body.strip().startswith(b'"SIG_')


@fuzzed
@given(broken_bytes([PAGE]) | st.binary(min_size=pages.SIZE, max_size=pages.SIZE))
def test_page(data: bytes) -> None:
    """A page that differs from a written one in what counts is no page (P1)."""
    try:
        page = pages.unpack(data)
    except PageError:
        return
    assert data[: pages.USED] == PAGE[: pages.USED]
    assert page == pages.unpack(PAGE)


@fuzzed
@given(st.text(max_size=300) | st.from_regex(r"(EOS|PUB_K1_)[1-9A-HJ-NP-Za-km-z]{45,60}", fullmatch=True))
def test_keys_and_addresses(text: str) -> None:
    """Settings that are none of their kind are refused with words, never otherwise."""
    for read in (settings.key, settings.address, settings.socket_path, settings.wallet, settings.user):
        with contextlib.suppress(ValueError):
            read(text)


@fuzzed
@given(broken_json([json.dumps(STATUS).encode()]) | broken_bytes([json.dumps(STATUS).encode()]))
def test_what_a_gate_says(tmp_path: Path, data: bytes) -> None:
    """A status that cannot be read is a GateError."""
    path = tmp_path / "s"
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(str(path))
        door.listen()

        def serve() -> None:
            sock, _ = door.accept()
            with sock, contextlib.suppress(OSError):
                sock.recv(100)
                sock.sendall(data + b"\n")

        server = threading.Thread(target=serve)
        server.start()
        with contextlib.suppress(GateError):
            found = hand.look(path, 5.0)
            assert found.signed >= 0
            assert found.keosd.isprintable()
        server.join()


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GateBench]:
    """A gate process that may sign, before a FAKE keosd."""
    with gate_on_fake(tmp_path_factory.mktemp("gate")) as (bench, _):
        bench.open()
        yield bench


@fuzzed
@given(broken_bytes([REQUEST, REQUEST * 2, REQUEST[:70]]), st.integers(0, 200))
def test_a_gate_that_runs(live: GateBench, data: bytes, cut: int) -> None:
    """Whatever is sent, in whatever parts, a gate answers with a signature, a refusal or the end, and lives on."""
    with socket.create_connection(("127.0.0.1", live.port), timeout=LIMIT_S) as sock:
        got = b""
        with contextlib.suppress(ConnectionError, OSError):
            sock.sendall(data[:cut])
            sock.sendall(data[cut:])
            sock.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionError):
            while more := sock.recv(4096):
                got += more
    assert got == b"" or got.startswith((b"HTTP/1.1 201 Created", b"HTTP/1.1 500 Internal"))
    assert b"SIG_" not in got or SIGNATURE in got
    assert live.process.running


def test_a_gate_still_signs_after_that(live: GateBench) -> None:
    """After broken requests a good one is signed."""
    with contextlib.suppress(ConnectionError), socket.create_connection(("127.0.0.1", live.port)) as sock:
        sock.sendall(b"\xff" * 20_000)
    assert live.ask()[0] == 201
