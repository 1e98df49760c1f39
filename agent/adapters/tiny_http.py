"""One POST with a total deadline and nothing beyond the standard library: for the guard, which must start fast."""

from __future__ import annotations

from agent.adapters.deadline import Deadline, NoAnswer
from agent.adapters.dial import dial
from agent.adapters.endpoint import Endpoint
from agent.adapters.names import Names

MOST = 64 * 1024


def call(endpoint: Endpoint, path: str, timeout_s: float) -> tuple[int, bytes]:
    """POST nothing to `path`; return status and body within `timeout_s` seconds in all.

    NotSent when nothing was delivered, NoAnswer when there is no complete answer (both are OSError).
    """
    deadline = Deadline(timeout_s)
    context = None
    if endpoint.tls:
        from agent.adapters.deadline_tls import tls_context

        context = tls_context()
    with dial(endpoint, deadline, Names(), context) as sock:
        request = (
            f"POST {path} HTTP/1.0\r\nHost: {endpoint.host_header}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        )
        data = b""
        try:
            sock.sendall(request.encode())
            while not _complete(data) and (part := sock.recv(16 * 1024)):
                data += part
                if len(data) > MOST:
                    raise NoAnswer(f"{endpoint}{path} answers without end")
        except OSError as error:
            raise NoAnswer(f"{endpoint}{path} gave no complete answer: {error}") from error
    head, _, body = data.partition(b"\r\n\r\n")
    words = head.split(None, 2)
    if not _complete(data) or len(words) < 2 or not words[0].startswith(b"HTTP/1") or not words[1].isdigit():
        raise NoAnswer(f"{endpoint}{path} did not answer in HTTP")
    return int(words[1]), body


def _complete(data: bytes) -> bool:
    """Tell whether the answer is whole, by its Content-Length; nodeos always gives one."""
    head, end, body = data.partition(b"\r\n\r\n")
    if not end:
        return False
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length" and value.strip().isdigit():
            return len(body) >= int(value)
    return False
