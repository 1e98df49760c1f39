"""Making a connection to an endpoint within a total deadline. Only that lives here; HTTP is laid on top elsewhere."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from agent.host.deadline import Bounded, Deadline, DeadlineSocket, NoAnswer, NotSent
from agent.net.endpoint import Endpoint
from agent.net.resolver import Resolver

if TYPE_CHECKING:
    from ssl import SSLContext

    from agent.net.proxy import Proxy

BACKLOG_WAIT = 0.01
"""Seconds between two tries at a Unix socket whose queue is full: such a connect does not wait by itself."""


def dial(
    endpoint: Endpoint,
    deadline: Deadline,
    names: Resolver,
    context: SSLContext | None = None,
    proxy: Proxy | None = None,
) -> Bounded:
    """Return a connected socket, TLS included when the endpoint wants it (`context` is needed then).

    With a proxy it leads there; TLS goes through it, plain HTTP is for the proxy to hand on.

    NotSent when nothing listens, or the host, name, permission or certificate is wrong. NoAnswer at the deadline.
    """
    try:
        if endpoint.path:
            return _unix(endpoint.path, deadline)
        plain = _tcp(proxy.endpoint if proxy else endpoint, deadline, names)
        if not endpoint.tls:
            return plain
        assert context is not None
        from agent.net.tls import wrap

        with _closing_on_error(plain):
            if proxy is not None:
                proxy.tunnel(plain, endpoint)
            return wrap(plain, context, endpoint.host)
    except TimeoutError as error:
        raise NoAnswer(f"{endpoint} did not accept a connection within {deadline.span:g} s") from error
    except FileNotFoundError as error:
        raise NotSent(f"{endpoint}: there is no such socket; is nodeos running with unix-socket-path?") from error
    except PermissionError as error:
        raise NotSent(f"{endpoint}: no permission to connect; let the agent's user write to the socket") from error
    except ConnectionRefusedError as error:
        raise NotSent(f"{endpoint} refused the connection: nothing listens there") from error
    except OSError as error:
        raise NotSent(f"{endpoint}: no connection: {error}") from error


@contextmanager
def _closing_on_error(sock: socket.socket) -> Iterator[None]:
    try:
        yield
    except BaseException:
        sock.close()
        raise


def _unix(path: str, deadline: Deadline) -> DeadlineSocket:
    while True:
        sock = DeadlineSocket(socket.AF_UNIX, deadline)
        with _closing_on_error(sock):
            try:
                sock.connect(path)
            except BlockingIOError:
                sock.close()
                time.sleep(min(BACKLOG_WAIT, deadline.left()))
            else:
                return sock


def _tcp(endpoint: Endpoint, deadline: Deadline, names: Resolver) -> DeadlineSocket:
    """Try each address in turn, all before the one deadline: one that swallows packets leaves the next its share."""
    failure: OSError | None = None
    found = names.find(endpoint.host, endpoint.port, deadline)
    for index, (family, address) in enumerate(found):
        sock = DeadlineSocket(family, Deadline(deadline.left() / (len(found) - index)))
        with _closing_on_error(sock):
            try:
                sock.connect(address)
            except OSError as error:
                failure = error
                sock.close()
            else:
                sock.deadline = deadline
                # the request goes out in two writes at times: without this the second waits for an ACK, up to 40 ms
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return sock
    names.forget(endpoint.host, endpoint.port)
    assert failure is not None
    raise failure
