"""One HTTP request with a total deadline and nothing beyond the standard library: the guard too must start fast.

One fresh connection, no proxy, no redirect, no second try, a bounded answer. It speaks HTTP/1.0, so that no answer
comes in chunks, and none has to be told from the next.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from agent.host.deadline import Bounded, Deadline, NoAnswer
from agent.net.dial import dial
from agent.net.endpoint import Endpoint
from agent.net.resolver import Resolver

if TYPE_CHECKING:
    from ssl import SSLContext

MOST = 64 * 1024
"""Bytes of a head, or of a body, that are taken, where nothing else is said."""
LARGE = 8 << 20
"""For nodeos, of which a full block has less, and for pages of metrics."""
_STATUS = re.compile(rb"HTTP/1\.[01] ([0-9]{3})(?= |\r\n)")
_LENGTH = re.compile(r"[0-9]{1,9}")


class TooMuch(NoAnswer):
    """The answer is larger than it may be."""


class Answer(NamedTuple):
    """A complete answer. `headers` by their names in small letters; `body` as it was sent, never unpacked."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def call(
    endpoint: Endpoint,
    path: str,
    timeout_s: float,
    *,
    names: Resolver | None = None,
    context: SSLContext | None = None,
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
    most: int = MOST,
    method: str = "POST",
) -> Answer:
    """Send `body` to `path` (with its query) and return the answer within `timeout_s` seconds in all, TLS included.

    NotSent when nothing was delivered, NoAnswer when there is no complete answer (both are CallFailed, an OSError),
    TooMuch when its head or its body has more than `most` bytes. Safe to call from several threads.
    """
    deadline = Deadline(timeout_s)
    if endpoint.tls and context is None:
        from agent.net.tls import tls_context

        context = tls_context()
    lines = {"Host": endpoint.host_header, "Content-Length": len(body), "Connection": "close", **(headers or {})}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    with dial(endpoint, deadline, names or Resolver(), context) as sock:
        try:
            sock.sendall(f"{method} {path} HTTP/1.0\r\n{head}\r\n".encode() + body)
            return _answer(sock, most)
        except TooMuch:
            raise
        except (OSError, ValueError) as error:
            late = deadline.remaining() <= 0
            why = f"no complete answer within {timeout_s:g} s" if late else f"no complete answer: {error}"
            raise NoAnswer(f"{endpoint}: {why}", sent=sock.sent) from error


def _answer(sock: Bounded, most: int) -> Answer:
    """Read an answer; its body ends by its Content-Length, or where the connection does. ValueError: it is none."""
    data = bytearray()
    while (end := data.find(b"\r\n\r\n")) < 0:
        if not (part := sock.recv(16 * 1024)):
            raise ValueError("it ended in its head")
        data += part
        if len(data) > most and b"\r\n\r\n" not in data[:most]:
            raise TooMuch(f"more than {most} bytes came in answer", sent=True)
    status, headers, wanted = _head(bytes(data[:end]))
    body = data[end + 4 :]
    while (wanted is None or len(body) < wanted) and len(body) <= most:
        if not (part := sock.recv(64 * 1024)):
            if wanted is not None:
                raise ValueError("it was cut off")
            break
        body += part
    body = body[:wanted]
    if len(body) > most:
        raise TooMuch(f"more than {most} bytes came in answer", sent=True)
    return Answer(status, headers, bytes(body))


def _head(head: bytes) -> tuple[int, dict[str, str], int | None]:
    """Return status, headers and the length of the body, None where it is not told. ValueError: it is no plain HTTP."""
    status = _STATUS.match(head + b"\r\n")
    headers: dict[str, str] = {}
    for line in head.decode("latin-1").split("\r\n")[1:]:
        name, _, value = line.partition(":")
        key = name.strip().lower()
        headers[key] = f"{headers[key]}, {value.strip()}" if key in headers else value.strip()
    if status is None or "transfer-encoding" in headers:
        raise ValueError("it is not in plain HTTP")
    length = _LENGTH.fullmatch(headers.get("content-length", "0"))
    if length is None:
        raise ValueError("its length is not clear")
    wanted = 0 if status[1] == b"204" else int(length[0]) if "content-length" in headers else None
    return int(status[1]), headers, wanted
