"""One POST with a total deadline and nothing beyond the standard library: for the guard, which must start fast."""

from __future__ import annotations

import re

from agent.host.deadline import Deadline, NoAnswer
from agent.net.dial import dial
from agent.net.endpoint import Endpoint
from agent.net.resolver import Resolver

MOST = 64 * 1024
_STATUS = re.compile(rb"HTTP/1\.[01] ([0-9]{3})(?= |\r\n)")
_LENGTH = re.compile(rb"[ \t]*([0-9]{1,9})[ \t]*")


def call(endpoint: Endpoint, path: str, timeout_s: float, most: int = MOST) -> tuple[int, bytes]:
    """POST nothing to `path`; return status and body, of `most` bytes together, within `timeout_s` seconds in all.

    NotSent when nothing was delivered, NoAnswer when there is no complete answer (both are OSError).
    """
    deadline = Deadline(timeout_s)
    context = None
    if endpoint.tls:
        from agent.net.tls import tls_context

        context = tls_context()
    with dial(endpoint, deadline, Resolver(), context) as sock:
        request = (
            f"POST {path} HTTP/1.0\r\nHost: {endpoint.host_header}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        )
        data = b""
        try:
            sock.sendall(request.encode())
            while _body(data) is None and (part := sock.recv(16 * 1024)):
                data += part
                if len(data) > most:
                    raise NoAnswer(f"{endpoint}{path} answers without end")
        except OSError as error:
            raise NoAnswer(f"{endpoint}{path} gave no complete answer: {error}") from error
    body = _body(data, ended=True)
    status = _STATUS.match(data)
    if body is None or status is None:
        raise NoAnswer(f"{endpoint}{path} did not answer in HTTP")
    return int(status[1]), body


def _body(data: bytes, *, ended: bool = False) -> bytes | None:
    """Return the body of an answer, None while it is not whole: by its Content-Length, or else when it has `ended`."""
    head, end, body = data.partition(b"\r\n\r\n")
    if not end:
        return None
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            length = _LENGTH.fullmatch(value)
            return body[: int(length[1])] if length and len(body) >= int(length[1]) else None
        if name.strip().lower() == b"transfer-encoding":
            return None
    return body if ended else None
