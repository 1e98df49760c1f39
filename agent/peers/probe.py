"""Trying the way of datagrams to a member, for `doctor`: a probe there, its echo back."""

from __future__ import annotations

import secrets
import socket
from contextlib import suppress

from agent.host.deadline import Deadline
from agent.peers import wire
from agent.peers.address import PeerAddress
from agent.peers.wire import DatagramError, Probe

TRIES = 3
"""A datagram may be lost by chance."""


def probe(address: PeerAddress, key: bytes, root: str, node: str, within_s: float) -> str | None:
    """Return the name of the member that answers at an address, None when none does within `within_s` seconds."""
    group, instance = wire.tag(root, key), secrets.token_hex(8)
    family = socket.AF_INET6 if address.six else socket.AF_INET
    with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.connect(tuple(address))
        for number in range(TRIES):
            deadline = Deadline(within_s / TRIES)
            sock.send(wire.encode(Probe(instance, number, node), group, key))
            while (left := deadline.remaining()) > 0:
                sock.settimeout(left)
                with suppress(DatagramError, TimeoutError):
                    said = wire.decode(sock.recv(wire.LONGEST + 1), group, key)
                    if isinstance(said, Probe) and said.echo and said.instance == instance:
                        return said.node
    return None
