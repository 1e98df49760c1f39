"""What somebody on the way between two agents can do with their datagrams, who reads them all and has no key. Pure.

A packet is IPv4 with a header of 20 bytes, then UDP, then the datagram (`agent.peers.wire`). What is made here bears
the addresses of the packet that it is made of: to the receiver it comes from a member.
"""

from __future__ import annotations

import random
import socket
from collections import deque
from collections.abc import Iterator

SOURCE = slice(12, 16)
CHECKSUM, DATAGRAM = 26, 28
"""Where a packet's source stands, and where the checksum of UDP and the datagram begin; 0 is no checksum."""
SAYS, PROMISE = 3, 2
NUMBER = slice(20, 28)
MAC = 32
"""Of a datagram: the byte that tells its kind, where its number stands, and the length of its MAC."""
AGAIN = (0.0, 0.3, 2.5)
"""Seconds after a datagram in which it comes again."""
KEPT = 2000
"""Datagrams that are recorded: of three agents those of two minutes and more."""
FORGED = 20
"""Of each sort, for each datagram that passes: with three agents some 1,200 a second."""
Later = Iterator[tuple[float, bytes]]


def is_promise(packet: bytes) -> bool:
    """Tell whether a packet is a peer's promise."""
    return packet[DATAGRAM + SAYS : DATAGRAM + SAYS + 1] == bytes([PROMISE])


def sent_by(packet: bytes, address: str) -> bool:
    """Tell whether a packet comes from an address."""
    return packet[SOURCE] == socket.inet_aton(address)


def doubled(packet: bytes) -> Later:
    """Send a datagram again, at once and late."""
    yield from ((later, packet) for later in AGAIN)


class Recorder:
    """Records datagrams, of whoever and of whichever tenure, and sends them again at any time."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._kept: deque[bytes] = deque(maxlen=KEPT)

    def replayed(self, packet: bytes) -> Later:
        """Record one, and send some of the others again."""
        self._kept.append(packet)
        for each in self._rng.choices(self._kept, k=5):
            yield self._rng.uniform(0.0, 1.0), each


class Forger:
    """Makes datagrams of those that pass: noise, the group's tag with a MAC that is made up, a byte that is changed."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    def forged(self, packet: bytes) -> Later:
        """Make some of each sort, with numbers that grow."""
        rng, said = self._rng, packet[DATAGRAM:]
        for _ in range(FORGED):
            number = (int.from_bytes(said[NUMBER], "big") + rng.randrange(1, 1 << 20)).to_bytes(8, "big")
            ahead = said[: NUMBER.start] + number + said[NUMBER.stop :]
            at = rng.randrange(len(said))
            changed = said[:at] + bytes([said[at] ^ rng.randrange(1, 256)]) + said[at + 1 :]
            for each in (rng.randbytes(len(said)), ahead[:-MAC] + rng.randbytes(MAC), changed):
                yield rng.uniform(0.0, 0.2), packet[:CHECKSUM] + bytes(2) + each
