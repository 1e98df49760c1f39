"""One UDP socket and one thread that waits on it: what is heard goes to the loop, what is no use is counted.

The thread wakes for datagrams alone. Garbage costs little and delays nothing but other datagrams, by some 20 ms:

- what is no datagram of this group is dropped by the kernel, without waking anybody
- a datagram that was recorded and sent again bears an old number, and is dropped before its MAC is reckoned
- for addresses that no member has a MAC is reckoned at most `STRANGERS` times a second
- no more than `HEARD` datagrams a second reach the loop
- after `BURST` useless ones in a row the thread rests, while the kernel keeps what comes, and drops what is too much:
  so it looks at fewer than 10,000 useless ones a second, and no good one waits behind more than have `ROOM`

Sending is one system call that never waits. What cannot be sent is lost, as on the way.
"""

from __future__ import annotations

import logging
import socket
import struct
import sys
import threading
import time
from array import array
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from agent.core.model.copying import replace
from agent.core.model.peers import Beat, Promise
from agent.core.model.store import Ms
from agent.peers import wire
from agent.peers.address import PeerAddress, any_address, parse, plain, target
from agent.peers.wire import DatagramError, Probe, Said

log = logging.getLogger(__name__)

REASONS = (*wire.REASONS, "no_key", "stranger", "old", "own", "crowded", "kernel", "unsent")
"""Why a datagram is dropped, or (`unsent`) was not sent. `kernel`: by the socket's filter, or for want of room."""
BURST = 50
REST_S = 0.005
STRANGERS = 50
HEARD = 300
"""Datagrams a second: a leader of 16 members hears 75 promises."""
SENDERS = 64
"""Senders (node and instance) whose last number is remembered: those that were heard last."""
AGAIN_S = 5.0
"""Between two tries to open the socket, and after a failure of it."""
ROOM = 64 * 1024
"""Bytes that the kernel may keep of what came; Linux allows twice as much, some 170 datagrams with what it adds."""
_SO_ATTACH_FILTER, _SO_MEMINFO, _DROPS = 26, 55, 8
Heard = Callable[[Beat | Promise, Ms], None]


class _Rate:
    """Allows so many things in a second."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._began: Ms = 0
        self._count = 0

    def allows(self, now: Ms) -> bool:
        if now - self._began >= 1000:
            self._began, self._count = now, 0
        self._count += 1
        return self._count <= self._most


@dataclass(eq=False)
class PeerLane:
    """The socket of one agent. `heard` gets a datagram and when it came (CLOCK_BOOTTIME); it must not block.

    known    hosts (IP addresses) that members say are theirs
    error    why the socket cannot be used, for people; empty while it can
    """

    _listen: PeerAddress
    _root: str
    _node: str
    _clock: Callable[[], Ms]
    _heard: Heard
    _rest: Callable[[float], object] = time.sleep

    def __post_init__(self) -> None:
        self._group = wire.tag(self._root, b"")
        self._key: bytes | None = None
        self._begun = wire.keyed(b"")
        self._sock: socket.socket | None = None
        self._six = False
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="peers", daemon=True)
        self._last: OrderedDict[bytes, bytes] = OrderedDict()
        self._strangers, self._crowd = _Rate(STRANGERS), _Rate(HEARD)
        self._bad = 0
        self.known: frozenset[str] = frozenset()
        self._dropped = dict.fromkeys(REASONS, 0)
        self.error = "not open yet"

    @property
    def key(self) -> bytes | None:
        """The group's key; None: not known yet, nothing is sent or believed."""
        return self._key

    @key.setter
    def key(self, key: bytes | None) -> None:
        if key == self._key:
            return
        self._begun, self._group, self._key = wire.keyed(key or b""), wire.tag(self._root, key or b""), key
        if self._sock is not None:
            _filter(self._sock, self._group)

    def start(self) -> None:
        """Open the socket and begin to listen. Never blocks, never raises for what a socket says."""
        self._open()
        self._thread.start()

    def close(self) -> None:
        """End. Never blocks."""
        self._over.set()
        if self._sock is not None:
            with suppress(OSError):  # the kernel says that it is not connected, and wakes the thread
                self._sock.shutdown(socket.SHUT_RDWR)

    def send(self, address: str, said: Said) -> None:
        """Send one datagram. Never waits; what cannot be sent is counted."""
        sock, key = self._sock, self.key
        if sock is None or key is None:
            self._dropped["no_key" if key is None else "unsent"] += 1
            return
        try:
            where = target(parse(address), six=self._six)
            sock.sendto(wire.encode(said, self._group, key), socket.MSG_DONTWAIT, where)
        except (OSError, ValueError):
            self._dropped["unsent"] += 1

    def take(self, raw: bytes, source: tuple[str, int], at: Ms) -> None:
        """Hand on a datagram that came `at` from an address, or drop it. A probe is answered at once."""
        why = self._why_not(raw, source[0], at)
        if not why:
            try:
                said = wire.read(raw)
                why = "own" if said.node == self._node else "" if self._crowd.allows(at) else "crowded"
            except DatagramError as error:
                why = error.reason
        if why:
            self._dropped[why] += 1
            self._bad += 1
        elif isinstance(said, Probe):
            if not said.echo:
                self.send(str(PeerAddress(plain(source[0]), source[1])), replace(said, node=self._node, echo=True))
        else:
            self._bad = 0
            self._heard(said, at)

    def _why_not(self, raw: bytes, source: str, at: Ms) -> str:
        """Return why a datagram is dropped, nothing if it is genuine and new. The cheapest reasons come first."""
        if self._key is None:
            return "no_key"
        if why := wire.peek(raw, self._group):
            return why
        sender, number = wire.count_of(raw)
        last = self._last.get(sender)
        if last is not None and number <= last:
            return "old"
        if plain(source) not in self.known and not self._strangers.allows(at):
            return "stranger"
        if not wire.genuine(raw, self._begun):
            return "mac"
        self._last[sender] = number
        self._last.move_to_end(sender)
        if len(self._last) > SENDERS:
            self._last.popitem(last=False)
        return ""

    @property
    def dropped(self) -> dict[str, int]:
        """Return how many datagrams were of no use, by the `REASONS`."""
        with suppress(OSError, AttributeError):
            raw = self._sock.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, 4 * (_DROPS + 1))  # type: ignore[union-attr] # else suppressed
            self._dropped["kernel"] = int.from_bytes(raw[-4:], sys.byteorder)
        return dict(self._dropped)

    def _open(self) -> None:
        host, port = self._listen
        both = any_address(host) and self._listen.six
        try:
            try:
                sock = _bound(socket.AF_INET6 if self._listen.six else socket.AF_INET, host, port, both=both)
            except OSError:
                if not both or _has_ipv6():
                    raise
                sock = _bound(socket.AF_INET, "0.0.0.0", port, both=False)  # noqa: S104 - all addresses were asked for
        except OSError as error:
            self.error = f"peers.listen: {self._listen} cannot be used: {error.strerror or error}"
            log.warning("%s; this node goes on without peers", self.error)
            return
        _filter(sock, self._group)
        self._six, self._sock, self.error = sock.family == socket.AF_INET6, sock, ""

    def _run(self) -> None:
        while not self._over.is_set():
            if self._sock is None:
                self._over.wait(AGAIN_S)
                self._open()
                continue
            try:
                raw, source = self._sock.recvfrom(wire.LONGEST + 1)
                at = self._clock()  # before anything else is done with it (R14)
                if not self._over.is_set():
                    self.take(raw, (source[0], source[1]), at)
            except OSError as error:
                if not self._over.is_set():
                    self._failed(error)
            except Exception:
                log.exception("a defect in hearing peers; going on")
                self._over.wait(REST_S)
            if self._bad >= BURST:
                self._bad = 0
                self._rest(REST_S)
        if self._sock is not None:
            self._sock.close()

    def _failed(self, error: OSError) -> None:
        log.warning("peers.listen: the socket fails: %s", error)
        sock, self._sock, self.error = self._sock, None, f"the socket fails: {error}"
        if sock is not None:
            sock.close()


def _bound(family: int, host: str, port: int, *, both: bool) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not both)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, ROOM)
        sock.bind((host, port))
    except OSError:
        sock.close()
        raise
    return sock


def _filter(sock: socket.socket, group: bytes) -> None:
    """Let the kernel drop what is no datagram of this group (socket(7), classic BPF). Without it we do, for more."""
    head, (one, two) = 8, struct.unpack(">II", group)  # of UDP: the filter sees it, too
    load_length, load_half, load_word, above, at_least, equals, end = 0x80, 0x28, 0x20, 0x25, 0x35, 0x15, 0x06
    tests = [
        (load_length, 0, 0, 0),
        (at_least, 0, 8, head + wire.SHORTEST),
        (above, 7, 0, head + wire.LONGEST),
        (load_half, 0, 0, head),
        (equals, 0, 5, int.from_bytes(wire.MAGIC, "big")),
        (load_word, 0, 0, head + wire.GROUP_AT),
        (equals, 0, 3, one),
        (load_word, 0, 0, head + wire.GROUP_AT + 4),
        (equals, 0, 1, two),
        (end, 0, 0, 0xFFFF),
        (end, 0, 0, 0),
    ]
    code = array("B", b"".join(struct.pack("HBBI", *each) for each in tests))
    with suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HP", len(tests), code.buffer_info()[0]))


def _has_ipv6() -> bool:
    """Tell whether this host can open a socket for IPv6 at all."""
    try:
        _bound(socket.AF_INET6, "::", 0, both=True).close()
    except OSError:
        return False
    return True
