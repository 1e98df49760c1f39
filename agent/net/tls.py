"""TLS over sockets that keep a total deadline. A module of its own, because `ssl` costs start-up time."""

from __future__ import annotations

import ssl
from pathlib import Path

from agent.errors import ConfigError
from agent.host.deadline import Bounded, DeadlineSocket


class DeadlineTLSSocket(Bounded, ssl.SSLSocket):
    """A TLS stream that keeps the deadline of the socket below."""


def tls_context(ca_file: Path | None = None) -> ssl.SSLContext:
    """Return a context that verifies name and certificate, against `ca_file` or the host's own authorities."""
    try:
        context = ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
    except (OSError, ValueError) as error:
        raise ConfigError([f"nodeos CA file {ca_file}: {error}; give a readable PEM file"]) from error
    context.sslsocket_class = DeadlineTLSSocket
    return context


def authorities(ca_file: Path | None = None) -> tuple[Path, ...]:
    """Return the files that a context with `ca_file`, or with the host's own authorities, is made of."""
    if ca_file is not None:
        return (ca_file,)
    host = ssl.get_default_verify_paths()
    return tuple(Path(each) for each in (host.cafile, host.capath) if each)


def wrap(plain: DeadlineSocket, context: ssl.SSLContext, host: str) -> DeadlineTLSSocket:
    """Shake hands within the deadline of `plain`. OSError (ssl.SSLError, TimeoutError) when it fails."""
    plain.settimeout(plain.deadline.left())  # taken over by the wrapped socket: OpenSSL's loop is bounded by it in all
    wrapped = context.wrap_socket(plain, server_hostname=host)
    assert isinstance(wrapped, DeadlineTLSSocket)
    wrapped.deadline = plain.deadline
    return wrapped
