"""Connections to keosd: one request each, kept alive, never waited for. Nothing of wallets or permits lives here."""

from __future__ import annotations

import errno
import selectors
import socket
from collections.abc import Callable
from dataclasses import dataclass, field

from agent.gate.settings import Address
from agent.gate.wire import ANSWERED, HEAD, KeosdAnswer, WireError, take_answer, write_request

REASONS = ("keosd_unreachable", "keosd_timeout", "keosd_malformed", "keosd_busy", "keosd_error")
"""Why keosd gave no signature."""
MOST = 8
"""Requests under way at once: nodeos asks for one, and the gate itself for one."""
IDLE = 2
"""Connections that are kept for the next request."""

BOTH = selectors.EVENT_READ | selectors.EVENT_WRITE

Done = Callable[[KeosdAnswer | None, str], None]
"""Hears the answer, or None and the reason why there is none."""


@dataclass(eq=False)
class Line:
    """One connection, and what is under way on it. `used`: it has carried a request before this one."""

    sock: socket.socket
    out: bytes = b""
    whole: bytes = b""
    received: bytearray = field(default_factory=bytearray)
    done: Done | None = None
    due: float = 0.0
    used: bool = False
    watched: int = BOTH


class Keosd:
    """Asks keosd. One thread, the loop's; `now` is any clock in seconds that never jumps back."""

    def __init__(self, selector: selectors.BaseSelector, address: Address, now: Callable[[], float]) -> None:
        self._selector = selector
        self._address = address
        self._now = now
        self._idle: list[Line] = []
        self._busy: set[Line] = set()

    def ask(self, target: str, body: bytes, within_s: float, done: Done) -> None:
        """Send one request; `done` is called exactly once, perhaps before this returns."""
        if len(self._busy) >= MOST:
            done(None, "keosd_busy")
            return
        host = "localhost" if self._address.path else self._address.text.removeprefix("http://")
        whole, due = write_request(target, host, body), self._now() + within_s
        if self._idle:
            line = self._idle.pop()
            line.used = True
            self._begin(line, whole, due, done)
            self._ready(line, selectors.EVENT_WRITE)  # it is connected: no turn of the loop is spent on waiting
        else:
            self._dial(whole, due, done)

    def _dial(self, whole: bytes, due: float, done: Done) -> None:
        sock = socket.socket(self._address.family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        if not self._address.path:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            code = sock.connect_ex(self._address.place)
        except OSError:  # a path that is too long; the settings refuse it
            code = errno.EINVAL
        if code not in (0, errno.EINPROGRESS):
            sock.close()
            done(None, "keosd_unreachable")
            return
        line = Line(sock)
        self._selector.register(sock, BOTH, lambda mask: self._ready(line, mask))
        self._begin(line, whole, due, done)

    def _begin(self, line: Line, whole: bytes, due: float, done: Done) -> None:
        line.whole = line.out = whole
        line.due, line.done = due, done
        self._busy.add(line)

    def _watch(self, line: Line) -> None:
        """Watch for what is waited for: a connection that has sent all is watched for reading alone."""
        mask = BOTH if line.out else selectors.EVENT_READ
        if mask != line.watched:
            line.watched = mask
            self._selector.modify(line.sock, mask, lambda found: self._ready(line, found))

    def _ready(self, line: Line, mask: int) -> None:
        """Send and receive what can be; one try each, so that nobody else waits."""
        if line.sock.fileno() < 0:  # an event that was found before the connection ended
            return
        try:
            if mask & selectors.EVENT_WRITE and line.out:
                line.out = line.out[line.sock.send(line.out) :]
                self._watch(line)
            if mask & selectors.EVENT_READ:
                self._receive(line)
        except BlockingIOError:
            self._watch(line)
        except ConnectionRefusedError:
            self._fail(line, "keosd_unreachable")
        except OSError:
            self._broken(line)
        except WireError:
            self._fail(line, "keosd_malformed")

    def _receive(self, line: Line) -> None:
        more = line.sock.recv(65536)
        if not more or line.done is None:  # the end, or words that nobody asked for
            self._broken(line)
            return
        line.received += more
        answer = take_answer(line.received)
        if answer is None and len(line.received) > HEAD + ANSWERED:
            raise WireError("keosd_malformed")
        if answer is None:
            return
        done = self._end(line, keep=answer.keep and not line.received and not line.out)
        done(answer, "")

    def _broken(self, line: Line) -> None:
        """Deal with the end of a connection: one that was kept may have ended meanwhile, then a new one is dialled."""
        again = line.done is not None and line.used and not line.received
        whole, due = line.whole, line.due
        if not again:
            self._fail(line, "keosd_unreachable")
            return
        self._dial(whole, due, self._end(line, keep=False))

    def _fail(self, line: Line, reason: str) -> None:
        self._end(line, keep=False)(None, reason)

    def _end(self, line: Line, *, keep: bool) -> Done:
        """End what is under way on a connection, keep or close it, and return who waits."""
        done, line.done = line.done, None
        self._busy.discard(line)
        if keep and len(self._idle) < IDLE:
            self._idle.append(line)
        else:
            if line in self._idle:
                self._idle.remove(line)
            self._selector.unregister(line.sock)
            line.sock.close()
        return done or (lambda _answer, _why: None)

    def tick(self) -> None:
        """End what is overdue."""
        now = self._now()
        for line in [each for each in self._busy if now >= each.due]:
            self._fail(line, "keosd_timeout")

    def close(self) -> None:
        """Close every connection; nobody is told."""
        for line in [*self._idle, *self._busy]:
            self._end(line, keep=False)
