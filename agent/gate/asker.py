"""Those who ask for signatures: one connection each, bounded, never waited for. No permit and no wallet lives here."""

from __future__ import annotations

import selectors
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from agent.gate.wire import HEAD, Request, WireError, take_request, write_refusal
from agent.net.endpoint import kernel_form

REASONS = ("malformed", "too_large", "slow", "crowded", "other_user")
"""Why a connection is ended."""
WHOLE_S = 2.0
"""For one request, from its first byte; and for the first byte of a connection's first request."""
_CREDENTIALS = struct.Struct("3i")


@dataclass(eq=False)
class Asker:
    """One connection. `asked` hears each whole request; `answer` ends it. `refused` hears why a connection ends."""

    _selector: selectors.BaseSelector
    _sock: socket.socket
    seen: float
    _asked: Callable[[Asker, Request], None]
    _refused: Callable[[str], None]

    def __post_init__(self) -> None:
        self._received = bytearray()
        self.busy = False  # an answer is owed
        self.closed = False
        self.due: float | None = self.seen + WHOLE_S  # None: it may rest
        self._selector.register(self._sock, selectors.EVENT_READ, lambda _mask: self._read())

    @property
    def resting(self) -> bool:
        """Whether nothing is under way."""
        return not self.busy and not self._received

    def _read(self) -> None:
        if self.closed:  # an event that was found before the connection ended
            return
        try:
            more = self._sock.recv(HEAD)
        except BlockingIOError:
            return
        except OSError:
            more = b""
        if not more:
            self.close()
            return
        self._received += more
        try:
            request = None if self.busy else take_request(self._received)
        except WireError as error:
            self.refuse(error.reason)
            return
        if self._received and (self.busy or request is not None):
            self.refuse("malformed")  # nobody asks for the next one before the answer
        elif request is not None:
            self.busy, self.due = True, None
            self._asked(self, request)

    def begun(self, now: float) -> None:
        """Give what has begun to come its time."""
        if not self.busy and self._received and self.due is None:
            self.due = now + WHOLE_S

    def send(self, whole: bytes) -> bool:
        """Hand a whole message to the kernel at once; whoever cannot take it loses the connection. Never waits."""
        if self.closed:
            return False
        try:
            sent = self._sock.send(whole)
        except OSError:
            sent = 0
        if sent < len(whole):
            self._refused("slow")
            self.close()
            return False
        return True

    def done(self, now: float, *, keep: bool) -> None:
        """End a request: the next one may follow."""
        self.busy, self.seen = False, now
        if not keep:
            self.close()

    def refuse(self, reason: str) -> None:
        """End the connection for what came over it."""
        self._refused(reason)
        if self.send(write_refusal(reason, keep=False)):
            self.close()

    def close(self) -> None:
        """End the connection."""
        if not self.closed:
            self.closed = True
            self._selector.unregister(self._sock)
            self._sock.close()


def peer_user(sock: socket.socket) -> int | None:
    """Return the user at the other end of a connection from this host; None when that cannot be told."""
    if sock.family == socket.AF_UNIX:
        raw = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        return int(_CREDENTIALS.unpack(raw)[1])
    try:
        ends = tuple(f"{kernel_form(end[0])}:{end[1]:04X}" for end in (sock.getpeername(), sock.getsockname()))
        with Path("/proc/self/net/tcp6" if sock.family == socket.AF_INET6 else "/proc/self/net/tcp").open() as table:
            return next((int(row[7]) for row in map(str.split, table) if tuple(row[1:3]) == ends), None)
    except (OSError, ValueError, IndexError):
        return None
