"""Total deadlines, and sockets that keep them. No HTTP lives here, and nothing beyond the standard library.

A socket's own time-out bounds one system call: a peer that sends a byte now and then is never late by it. So these
sockets hold a deadline, and set their time-out anew, to what is left, before every call. That holds for whatever reads
through them (`http.client`), and for TLS, whose handshake and reads loop inside OpenSSL under the same
time-out.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from agent.host.clock import boot_s

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

    _Base = socket.socket
else:
    _Base = object


class CallFailed(OSError):
    """There is no complete answer. `sent`: something of the request has left, so it may be acted upon yet."""

    sent = False


class NotSent(CallFailed):
    """The connection did not come about: certainly nothing of the request was delivered."""


class NoAnswer(CallFailed):
    """No complete answer in time, or a broken one."""

    def __init__(self, text: str, *, sent: bool = False) -> None:
        self.sent = sent
        super().__init__(text)


class Deadline:
    """A moment on CLOCK_BOOTTIME, `span` seconds after it was made."""

    __slots__ = ("at", "span")

    def __init__(self, span: float) -> None:
        self.span = span
        self.at = boot_s() + span

    def remaining(self) -> float:
        """Return the seconds left, 0 when it is over."""
        return max(0.0, self.at - boot_s())

    def left(self) -> float:
        """Return the seconds left, above 0; TimeoutError when it is over."""
        left = self.at - boot_s()
        if left <= 0:
            raise TimeoutError(f"not within {self.span:g} s")
        return left


class Bounded(_Base):
    """What the plain and the TLS socket have in common: a deadline, and whether anything of a request has left."""

    deadline: Deadline
    sent: bool = False

    def sendall(self, data: ReadableBuffer, flags: int = 0, /) -> None:
        """Send all of `data` before the deadline."""
        self.settimeout(self.deadline.left())
        self.sent = True
        super().sendall(data, flags)

    def send(self, data: ReadableBuffer, flags: int = 0, /) -> int:
        """Send some of `data` before the deadline."""
        self.settimeout(self.deadline.left())
        self.sent = True
        return super().send(data, flags)

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        """Receive before the deadline."""
        self.settimeout(self.deadline.left())
        return super().recv(buflen, flags)

    def recv_into(self, buffer: WriteableBuffer, nbytes: int | None = None, flags: int = 0) -> int:
        """Receive before the deadline; what `makefile` reads through."""
        self.settimeout(self.deadline.left())
        return super().recv_into(buffer, nbytes or 0, flags)


class DeadlineSocket(Bounded, socket.socket):
    """A stream socket, TCP or Unix, that keeps a total deadline."""

    def __init__(self, family: int, deadline: Deadline) -> None:
        super().__init__(family, socket.SOCK_STREAM)
        self.deadline = deadline

    def connect(self, address: object, /) -> None:
        """Connect before the deadline."""
        self.settimeout(self.deadline.left())
        super().connect(address)  # type: ignore[arg-type] # typeshed's name for address types is private
