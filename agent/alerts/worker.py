"""One channel: what waits for it, and the thread that takes what waits, tries it, waits longer each time.

No lock is held during I/O.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from agent.core.alerts.notice import SEVERITIES, Notice, rank
from agent.host.clock import boot_s
from agent.host.jitter import spread
from agent.ports import Delivery, Sink

log = logging.getLogger(__name__)

CAPACITY = 200
"""Notices that wait for one channel."""
LEVELS = range(len(SEVERITIES) + 1)
GIVE_UP_S = {"info": 600.0, "warning": 3600.0, "critical": 3600.0}
"""How long a notice is worth trying: what is older misleads more than it tells. An end of an alert is never too old."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A notice that waits. `give_up_at` is in seconds of CLOCK_BOOTTIME."""

    notice: Notice
    give_up_at: float


class Waiting:
    """The queue of one channel. A newer word about a key replaces the one before it: nobody needs yesterday's.

    Every call takes the same short time, however much waits: the loop makes some of them.
    """

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        # ends of alerts stand apart: they are sent in the order of severity like the others, but never dropped for them
        self._lines = {(end, level): OrderedDict[str, Entry]() for end in (False, True) for level in LEVELS}

    def __len__(self) -> int:
        return sum(map(len, self._lines.values()))

    def __iter__(self) -> Iterator[Notice]:
        return iter([entry.notice for line in self._lines.values() for entry in line.values()])

    def put(self, notice: Notice, now: float) -> bool:
        """Take a notice; tell whether one had to go for it."""
        if (line := self._line_of(notice)) is not None:
            del line[notice.key]
        give_up = float("inf") if notice.resolved else GIVE_UP_S.get(notice.severity, GIVE_UP_S["critical"])
        self._add(Entry(notice, now + give_up))
        return self._full()

    def take(self) -> Entry | None:
        """Take out the one to send next: the oldest of the worst."""
        for level in reversed(LEVELS):
            for end in (True, False):
                if line := self._lines[end, level]:
                    return line.popitem(last=False)[1]
        return None

    def put_back(self, entry: Entry) -> bool:
        """Put back what could not be sent, as the oldest, unless there is a newer word; tell whether one had to go."""
        if self._line_of(entry.notice) is None:
            self._add(entry).move_to_end(entry.notice.key, last=False)
        return self._full()

    def clear(self) -> int:
        """Take all out; return how many there were."""
        count = len(self)
        for line in self._lines.values():
            line.clear()
        return count

    def _add(self, entry: Entry) -> OrderedDict[str, Entry]:
        line = self._lines[entry.notice.resolved, rank(entry.notice.severity)]
        line[entry.notice.key] = entry
        return line

    def _line_of(self, notice: Notice) -> OrderedDict[str, Entry] | None:
        """Return the line that has a word about the same key, None when none has."""
        return next((line for line in self._lines.values() if notice.key in line), None)

    def _full(self) -> bool:
        """Let the oldest of the least go when there are too many."""
        if len(self) <= self._capacity:
            return False
        next(filter(None, self._lines.values())).popitem(last=False)
        return True


FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 60.0
"""No wait between two tries is longer, whatever Retry-After says."""
_NOTHING = Delivery(ok=True)


@dataclass(frozen=True, slots=True)
class Channel:
    """One channel: where to send, the least severity that goes there, and the seconds for one try.

    `resend_s`: what is open is sent again after so long without anything else; 0: never.
    """

    sink: Sink
    min_severity: str = "warning"
    timeout_s: float = 5.0
    resend_s: float = 0.0


@dataclass(frozen=True, slots=True)
class ChannelStats:
    """Counters of one channel. `sent`: tries by result; `dropped`: notices by reason; `queued`: notices that wait."""

    channel: str
    sent: Mapping[str, int]
    dropped: Mapping[str, int]
    queued: int


class Worker:
    """One channel's queue and thread. `changed` is told when something was delivered or given up.

    `kept` waits, boundedly, until what was told is safe from a restart: nothing is sent before.
    """

    def __init__(
        self,
        channel: Channel,
        capacity: int,
        first_wait_s: float,
        kept: Callable[[], None] = lambda: None,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self.name = channel.sink.name
        self._channel = channel
        self._kept, self._changed = kept, changed
        self._lock = threading.Lock()
        self._wake = threading.Condition(self._lock)
        self._queue = Waiting(capacity)
        self._open: dict[str, Notice] = {}
        self._sent = {"ok": 0, "failed": 0, "rejected": 0}
        self._dropped = {"full": 0, "rejected": 0, "expired": 0, "shutdown": 0}
        self._flying: Entry | None = None
        self._ending = threading.Event()
        self._end_at = 0.0
        self._left: list[Notice] = []
        self._first_wait_s = first_wait_s
        self._failure, self._again = "", 0  # what failed last, and how often it came again
        self._thread = threading.Thread(target=self._run, name=f"alerts-{self.name}", daemon=True)

    @property
    def least(self) -> str:
        """The least severity that it takes."""
        return self._channel.min_severity

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def wants(self, notice: Notice) -> bool:
        """Tell whether a notice is severe enough for this channel."""
        return rank(notice.severity) >= rank(self._channel.min_severity)

    def restore(self, still_open: tuple[Notice, ...], owed: tuple[Notice, ...]) -> None:
        """Take over what an earlier process left: what is open, and what it owed this channel."""
        with self._lock:
            self._open = {notice.key: notice for notice in still_open if self.wants(notice)}
            for notice in owed:
                self._queue.put(notice, boot_s())

    def offer(self, notice: Notice) -> None:
        """Queue a notice, if this channel wants it."""
        if not self.wants(notice):
            return
        with self._wake:
            if notice.resolved:
                self._open.pop(notice.key, None)
            elif notice.lasts:
                self._open[notice.key] = notice
            if self._ending.is_set():
                self._dropped["shutdown"] += 1
                self._left.append(notice)
                return
            self._put(notice)
            self._wake.notify()

    def owed(self) -> tuple[Notice, ...]:
        """Return what this channel was not told yet."""
        with self._lock:
            return (*self._left, *self._under_way(), *self._queue)

    def _under_way(self) -> tuple[Notice, ...]:
        """Return what is being sent: whether it arrives is not known yet."""
        return (self._flying.notice,) if self._flying is not None else ()

    def stats(self) -> ChannelStats:
        """Return the counters now."""
        with self._lock:
            return ChannelStats(self.name, dict(self._sent), dict(self._dropped), len(self._queue))

    def end(self, deadline: float) -> None:
        """Take no more, and hurry."""
        with self._wake:
            self._end_at = deadline
            self._ending.set()
            self._wake.notify()

    def join(self, deadline: float) -> None:
        """Wait for the thread; what it could not deliver by then is left for the next process."""
        self._thread.join(max(0.0, deadline - time.monotonic()))
        with self._lock:
            self._left += (*self._under_way(), *self._queue)
            self._dropped["shutdown"] += self._queue.clear()

    def _put(self, notice: Notice) -> None:
        if self._queue.put(notice, boot_s()):
            self._dropped["full"] += 1

    def _run(self) -> None:
        while self._wait_for_work():
            self._deliver()

    def _deliver(self) -> None:
        """Try until a try needs no other, or it is time to end.

        The wait before the next doubles, with jitter; it is at least what the channel asked for, within our limit.
        """
        wait_s = self._first_wait_s
        while (delivery := self._try_first()).retry and not delivery.ok and not self._ending.is_set():
            self._ending.wait(min(LONGEST_WAIT_S, max(delivery.retry_after_s or 0.0, spread(wait_s))))
            wait_s = min(LONGEST_WAIT_S, 2 * wait_s)

    def _wait_for_work(self) -> bool:
        """Wait until something is to be sent; false when it is time to end."""
        with self._wake:
            while not len(self._queue):
                if self._ending.is_set():
                    return False
                if not self._wake.wait(self._channel.resend_s if self._open and self._channel.resend_s else None):
                    for notice in self._open.values():
                        self._put(notice)
            return not (self._ending.is_set() and time.monotonic() >= self._end_at)

    def _try_first(self) -> Delivery:
        """Try what is to be sent first now: between two tries something worse may have come, or its end."""
        entry = self._next()
        if entry is None:
            return _NOTHING
        self._kept()
        delivery = self._send(entry.notice)
        given_up = not delivery.ok and (self._ending.is_set() or not delivery.retry)
        with self._lock:
            self._flying = None
            self._sent["ok" if delivery.ok else "failed" if delivery.retry else "rejected"] += 1
            if given_up:
                self._dropped["shutdown" if delivery.retry else "rejected"] += 1
                self._left += [entry.notice] if delivery.retry else []
            elif not delivery.ok and self._queue.put_back(entry):
                self._dropped["full"] += 1
        if given_up:
            self._lost(entry.notice, delivery.detail)
        self._note(delivery)
        self._changed()
        return delivery

    def _next(self) -> Entry | None:
        """Take the first that is not too old."""
        while True:
            with self._lock:
                self._flying = entry = self._queue.take()
                if entry is None or boot_s() <= entry.give_up_at:
                    return entry
                self._dropped["expired"] += 1
            self._lost(entry.notice, "it is too old by now")

    def _lost(self, notice: Notice, why: str) -> None:
        log.error("alert %s was not delivered to channel %s: %s", notice.key, self.name, why)

    def _send(self, notice: Notice) -> Delivery:
        timeout = self._channel.timeout_s
        if self._ending.is_set():
            timeout = min(timeout, max(0.05, self._end_at - time.monotonic()))
        try:
            return self._channel.sink.send(notice, timeout)
        except Exception as error:  # a sink must not raise: a defect in one must not end its channel
            log.exception("a defect in channel %s", self.name)
            return Delivery(ok=False, detail=f"a defect: {type(error).__name__}")

    def _note(self, delivery: Delivery) -> None:
        """Log a failure once, count its repetitions, and tell the count when something else happens."""
        if delivery.ok:
            if self._failure:
                log.warning("channel %s delivers again; the last failure came %d times", self.name, self._again + 1)
            self._failure, self._again = "", 0
        elif delivery.detail == self._failure:
            self._again += 1
        else:
            if self._again:
                log.warning("channel %s: the failure before came %d times", self.name, self._again + 1)
            self._failure, self._again = delivery.detail, 0
            log.warning("channel %s does not deliver: %s", self.name, delivery.detail)
