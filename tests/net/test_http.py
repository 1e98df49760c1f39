"""HTTP: where an answer ends. Deadlines and nonsense are tested in test_deadline_sockets."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from agent.errors import ConfigError
from agent.host.deadline import NoAnswer
from agent.net.endpoint import Endpoint, parse_endpoint
from agent.net.http import call
from tests.support.slow_server import Serve, answer

pytestmark = pytest.mark.usefixtures("no_leaks")


@pytest.fixture
def says(serve: Serve) -> Callable[[bytes], Endpoint]:
    """Start servers that answer with these very bytes, and close."""
    return lambda data: serve(answer(data)).endpoint


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 201 Created\r\nContent-Length: 4\r\n\r\ntrue",
        b"HTTP/1.1 201 Created\r\ncontent-length:4\r\n\r\ntrue and what nobody asked for",
        b"HTTP/1.0 201 Created\r\n\r\ntrue",
        b"HTTP/1.0 201\r\nServer: a proxy\r\n\r\ntrue",
    ],
)
def test_an_answer_ends_by_its_length_or_its_end(says: Callable[[bytes], Endpoint], data: bytes) -> None:
    """Content-Length decides; an answer without one ends with the connection, as HTTP/1.0 allows a proxy to do."""
    found = call(says(data), "/v1/producer/paused", 2.0)
    assert (found.status, found.body) == (201, b"true")


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 201 Created\r\nContent-Length: 5\r\n\r\ntrue",
        b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ntrue\r\n0\r\n\r\n",
        b"HTTP/1.1 201 Created\r\nContent-Length: 4, 4\r\n\r\ntrue",
        b"HTTP/1.1 201 Created\r\nContent-Length: 4\r\ncontent-length: 3\r\n\r\ntrue",
        b"HTTP/1.1 201 Created\r\nContent-Length: -4\r\n\r\ntrue",
        b"HTTP/1.1 201 Created\r\nContent-Length:\r\n\r\ntrue",
        b"HTTP/1.1 201 Created\r\nServer: no",
        b"HTTP/1.1 201 Created\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\ntrue",
        b"HTTP/1.1 " + b"9" * 5000 + b" Created\r\n\r\ntrue",
    ],
)
def test_an_answer_that_is_cut_or_not_plain_is_none(says: Callable[[bytes], Endpoint], data: bytes) -> None:
    """What is not certainly whole proves nothing."""
    with pytest.raises(NoAnswer):
        call(says(data), "/v1/producer/paused", 2.0)


@pytest.mark.parametrize("text", ["x" * 60_000, "http://h/?" + "\x01" * 60_000])
def test_what_is_no_url_is_told_by_its_beginning(text: str) -> None:
    """A run-time file that was spoilt may hold anything: what is said of it goes into logs and onto terminals."""
    with pytest.raises(ConfigError, match="nodeos URL") as caught:
        parse_endpoint(text)
    assert len(str(caught.value)) < 2000
