"""`requests` with a total deadline: one call, one fresh connection, no proxy, no redirect, no retry, a bounded answer.

`requests` bounds the silence between two bytes, not a call. Here its connections run over sockets that keep a deadline.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection

from agent.adapters.deadline import Bounded, Deadline
from agent.adapters.dial import dial
from agent.adapters.endpoint import Endpoint
from agent.adapters.names import Names

CHUNK = 64 * 1024


class TooMuch(Exception):
    """The answer is larger than it may be."""


class CallFailed(Exception):
    """There is no complete answer. `sent`: something of the request has left, so it may be acted upon yet."""

    def __init__(self, message: str, *, sent: bool) -> None:
        self.sent = sent
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class _Wire(HTTPAdapter):
    """Gives `requests` one connection, made by `dial`. It remembers the socket: what was sent decides what is known."""

    def __init__(self, endpoint: Endpoint, deadline: Deadline, names: Names, context: ssl.SSLContext | None) -> None:
        super().__init__(max_retries=0)
        self.socket: Bounded | None = None
        wire = self

        class Connection(HTTPConnection):
            """A connection over a socket with a deadline; TLS is done below."""

            def _new_conn(self) -> Bounded:  # type: ignore[override] # Bounded is a socket, said so below type checking
                wire.socket = dial(endpoint, deadline, names, context)
                return wire.socket

        self._pool = urllib3.HTTPConnectionPool(endpoint.host or "localhost", endpoint.port or 80, maxsize=1)
        self._pool.ConnectionCls = Connection

    def get_connection_with_tls_context(self, *_: object, **__: object) -> urllib3.HTTPConnectionPool:
        """Return the one pool."""
        return self._pool

    def close(self) -> None:
        """Close pool and socket."""
        self._pool.close()
        if self.socket is not None:
            self.socket.close()
        super().close()


def call(
    endpoint: Endpoint,
    path: str,
    timeout_s: float,
    *,
    names: Names,
    context: ssl.SSLContext | None = None,
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
    most: int = 8 << 20,
) -> Answer:
    """POST `body` and return the answer within `timeout_s` seconds in all.

    CallFailed when there is none; TooMuch when it is larger than `most` bytes. Safe to call from several threads.
    """
    deadline = Deadline(timeout_s)
    wire = _Wire(endpoint, deadline, names, context)
    session = requests.Session()
    session.trust_env = False
    session.mount("http://", wire)
    try:
        answer = session.post(
            f"http://{endpoint.host_header}{path}",
            data=body,
            headers={"Connection": "close", **(headers or {})},
            allow_redirects=False,
            stream=True,
            timeout=None,
        )
        parts: list[bytes] = []
        size = 0
        for part in answer.iter_content(CHUNK):
            size += len(part)
            if size > most:
                raise TooMuch(f"{endpoint}{path} answered with more than {most} bytes")
            parts.append(part)
        return Answer(answer.status_code, answer.headers, b"".join(parts))
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
        sent = wire.socket is not None and wire.socket.sent
        raise CallFailed(_why(error, endpoint, path, timeout_s, deadline), sent=sent) from error
    finally:
        session.close()


def _why(error: BaseException, endpoint: Endpoint, path: str, timeout_s: float, deadline: Deadline) -> str:
    """Return the cause in words: the innermost error says most."""
    if deadline.remaining() <= 0:
        return f"{endpoint}{path} gave no complete answer within {timeout_s:g} s"
    seen: BaseException = error
    while True:
        inner = seen.__cause__ or seen.__context__
        arguments = [each for each in seen.args if isinstance(each, BaseException)]
        if inner is None and arguments:
            inner = arguments[-1]
        if inner is None or (isinstance(seen, OSError) and not isinstance(seen, requests.RequestException)):
            return f"{endpoint}{path}: {seen}"
        seen = inner
