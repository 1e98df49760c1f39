"""Where a nodeos listens, read from a URL, and how addresses are written. The standard library suffices for it."""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass
from urllib.parse import urlsplit

from agent.errors import ConfigError

FORMS = "http://HOST:PORT, https://HOST:PORT or unix:///path/to/socket"
DEFAULT_PORTS = {"http": 80, "https": 443}
MOST = 150
"""Characters of what is no URL that are repeated."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One listener: a TCP address (`host`, `port`, perhaps TLS), or a Unix socket (`path`)."""

    url: str
    host: str = ""
    port: int = 0
    tls: bool = False
    path: str = ""

    @property
    def host_header(self) -> str:
        """What goes into the Host header. nodeos compares it with its own address (http-validate-host)."""
        if self.path:
            return "localhost"
        where = bracketed(self.host, self.port)
        return where.removesuffix(f":{DEFAULT_PORTS['https' if self.tls else 'http']}")

    def __str__(self) -> str:
        return self.url


def parse_endpoint(url: str) -> Endpoint:
    """Read a URL; ConfigError with the form that is expected when it is none of those."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ConfigError([f"nodeos URL: {error}; write {FORMS}"]) from error
    if parts.username is not None or parts.password is not None:
        raise ConfigError([f"nodeos URL: nodeos knows no passwords, leave them out; write {FORMS}"])
    if parts.query or parts.fragment:
        raise ConfigError([f"nodeos URL {url[:MOST]!r}: no query and no fragment here; write {FORMS}"])
    if parts.scheme == "unix" and not parts.netloc and parts.path.startswith("/") and parts.path != "/":
        return Endpoint(url, path=parts.path)
    if parts.scheme in DEFAULT_PORTS and parts.hostname and parts.path in ("", "/") and port != 0:
        number = DEFAULT_PORTS[parts.scheme] if port is None else port
        return Endpoint(url, host=parts.hostname, port=number, tls=parts.scheme == "https")
    raise ConfigError([f"nodeos URL {url[:MOST]!r} is not understood: write {FORMS}"])


def endpoint_of(url: str) -> Endpoint:
    """Return the listener that any URL of http or https leads to, named without what may be secret in it."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or DEFAULT_PORTS[parts.scheme]
    return Endpoint(bracketed(host, port), host, port, tls=parts.scheme == "https")


def here(host: str, port: int) -> tuple[str, str]:
    """Return the address at which this host asks what listens on `host` (any: loopback), and both as in a URL."""
    host = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - asked, not bound
    return host, bracketed(host, port)


def bracketed(host: str, port: int | str) -> str:
    """Return host and port as a URL has them: an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def kernel_form(host: str) -> str:
    """Return an address as /proc/net/tcp writes it: 32-bit words in the byte order of this host."""
    raw = socket.inet_pton(socket.AF_INET6 if ":" in host else socket.AF_INET, host)
    return "".join(f"{word:08X}" for word in struct.unpack(f"={len(raw) // 4}I", raw))
