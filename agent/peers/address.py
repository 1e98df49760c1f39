"""Where this agent listens for its peers, and what address it tells them. Addresses are numbers: no name is resolved.

A name would have to be looked up again and again, and a look-up may hang.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import lru_cache
from typing import NamedTuple

from agent.net.resolver import Address

PORT = 9878
FORM = "write IP:PORT, such as 10.0.0.1:9878 or [2001:db8::1]:9878"
_FORM = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+)):([0-9]{1,5})", re.ASCII)
_MAPPED = "::ffff:"


class PeerAddress(NamedTuple):
    """An IP address as text, without brackets, and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def six(self) -> bool:
        """Whether it is an IPv6 address."""
        return ":" in self.host


@lru_cache(maxsize=64)
def parse(text: str) -> PeerAddress:
    """Read an address. ValueError, with the form, when it is none."""
    found, host = _FORM.fullmatch(text), None
    if found:
        with suppress(ValueError):
            host = ipaddress.IPv6Address(found[1]) if found[1] else ipaddress.IPv4Address(found[2])
    if not found or host is None or not 0 < int(found[3]) < 65536:
        raise ValueError(f"{text!r} is no address: {FORM}")
    return PeerAddress(str(host), int(found[3]))


def host_of(address: str) -> str:
    """Return the host of an address that a member reports, empty when it is none."""
    try:
        return parse(address).host
    except ValueError:
        return ""


def plain(host: str) -> str:
    """Return an IPv4 address that a socket for both kinds shows as IPv6 the way that it is written elsewhere."""
    return host[len(_MAPPED) :] if host.startswith(_MAPPED) and "." in host else host


def any_address(host: str) -> bool:
    """Tell whether an address stands for all addresses of this host."""
    return ipaddress.ip_address(host).is_unspecified


def target(address: PeerAddress, *, six: bool) -> tuple[str, int]:
    """Return where a socket sends for an address; `six`: it is one for both kinds. OSError when it cannot."""
    if address.six and not six:
        raise OSError("this host listens on IPv4 only")
    return (f"{_MAPPED}{address.host}" if six and not address.six else address.host), address.port


def local_end(targets: Iterable[tuple[str, int]], find: Callable[[str, int], list[Address]]) -> str | None:
    """Return the address of this host from which it reaches etcd; one of the loopback only if there is no other.

    It sends nothing, and takes as long as `find` does, which looks a name up and may raise OSError. None: no endpoint
    can be reached.
    """
    found: list[str] = []
    for host, port in targets:
        with suppress(OSError):
            for family, end in find(host, port):
                with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as sock:
                    sock.connect(end)  # a datagram socket: the kernel chooses the way, and no packet leaves
                    found.append(str(sock.getsockname()[0]).partition("%")[0])
    outside = [each for each in found if not ipaddress.ip_address(each).is_loopback]
    return next(iter(outside or found), None)
