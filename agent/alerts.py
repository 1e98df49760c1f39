"""The alert workers: one queue and one thread a channel, so that no channel holds up the loop or another channel.

What is told is queued at once or dropped at once. Trying again, waiting and giving up happen on the channel's thread,
with tenacity; nothing of this is anywhere near leadership.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tenacity import RetryCallState, Retrying, retry_if_result, sleep_using_event, wait_random_exponential

from agent.core.notice import Notice
from agent.ports import Delivery, Sink

log = logging.getLogger(__name__)

SEVERITIES = ("info", "warning", "critical")
CAPACITY = 200
"""Notices that wait for one channel."""
FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 60.0
"""No wait between two tries is longer, whatever Retry-After says."""
GIVE_UP_S = {"info": 600.0, "warning": 3600.0, "critical": 3600.0}
"""How long a notice is worth trying: what is older misleads more than it tells."""


@dataclass(frozen=True, slots=True)
class Channel:
    """One channel: where to send, the least severity that goes there, and the seconds for one try."""

    sink: Sink
    min_severity: str = "warning"
    timeout_s: float = 5.0


@dataclass(frozen=True, slots=True)
class ChannelStats:
    """Counters of one channel. `sent`: tries by result; `dropped`: notices by reason; `queued`: notices that wait."""

    channel: str
    sent: Mapping[str, int]
    dropped: Mapping[str, int]
    queued: int


class AlertDesk:
    """Takes notices and has them delivered. Every method may be called from any thread."""

    def __init__(
        self, channels: Iterable[Channel], capacity: int = CAPACITY, first_wait_s: float = FIRST_WAIT_S
    ) -> None:
        self._workers = [_Worker(channel, capacity, first_wait_s) for channel in channels]

    def tell(self, notice: Notice) -> None:
        """Queue a notice for each channel that wants it. Never blocks; a full queue drops the least severe, oldest."""
        for worker in self._workers:
            worker.offer(notice)

    def stats(self) -> tuple[ChannelStats, ...]:
        """Return the counters of all channels."""
        return tuple(worker.stats() for worker in self._workers)

    def close(self, timeout_s: float) -> None:
        """Give each notice that waits one last try, and end, within `timeout_s` seconds in all."""
        deadline = time.monotonic() + timeout_s
        for worker in self._workers:
            worker.end(deadline)
        for worker in self._workers:
            worker.join(deadline)


@dataclass(frozen=True, slots=True)
class _Entry:
    notice: Notice
    give_up_at: float

    @property
    def rank(self) -> int:
        return _rank(self.notice.severity)


def _rank(severity: str) -> int:
    """Return how severe; an unknown word is taken for the worst, so that it is never lost."""
    return SEVERITIES.index(severity) if severity in SEVERITIES else len(SEVERITIES)


class _Worker:
    """One channel's queue and thread. The lock is never held during I/O."""

    def __init__(self, channel: Channel, capacity: int, first_wait_s: float) -> None:
        self._channel = channel
        self._name = channel.sink.name
        self._capacity = capacity
        self._lock = threading.Lock()
        self._wake = threading.Condition(self._lock)
        self._queue: deque[_Entry] = deque()
        self._sent = {"ok": 0, "failed": 0, "rejected": 0}
        self._dropped = {"full": 0, "rejected": 0, "expired": 0, "shutdown": 0}
        self._ending = threading.Event()
        self._end_at = 0.0
        self._backoff = wait_random_exponential(multiplier=first_wait_s, min=first_wait_s / 2, max=LONGEST_WAIT_S)
        self._failures = _Failures(self._name)
        self._thread = threading.Thread(target=self._run, name=f"alerts-{self._name}", daemon=True)
        self._thread.start()

    def offer(self, notice: Notice) -> None:
        """Queue a notice, if this channel wants it."""
        if _rank(notice.severity) < _rank(self._channel.min_severity):
            return
        entry = _Entry(notice, time.monotonic() + GIVE_UP_S.get(notice.severity, GIVE_UP_S["critical"]))
        with self._wake:
            if self._ending.is_set():
                self._dropped["shutdown"] += 1
                return
            self._queue.append(entry)
            if len(self._queue) > self._capacity:
                self._queue.remove(min(self._queue, key=lambda each: each.rank))  # min returns the oldest of equals
                self._dropped["full"] += 1
            self._wake.notify()

    def stats(self) -> ChannelStats:
        """Return the counters now."""
        with self._lock:
            return ChannelStats(self._name, dict(self._sent), dict(self._dropped), len(self._queue))

    def end(self, deadline: float) -> None:
        """Take no more, and hurry."""
        with self._wake:
            self._end_at = deadline
            self._ending.set()
            self._wake.notify()

    def join(self, deadline: float) -> None:
        """Wait for the thread; what it could not deliver by then is dropped."""
        self._thread.join(max(0.0, deadline - time.monotonic()))
        with self._lock:
            self._dropped["shutdown"] += len(self._queue)
            self._queue.clear()

    def _run(self) -> None:
        while (entry := self._next()) is not None:
            delivery = self._deliver(entry)
            if not delivery.ok:
                reason = "shutdown" if self._ending.is_set() else "expired" if delivery.retry else "rejected"
                with self._lock:
                    self._dropped[reason] += 1
                log.error("alert %s was not delivered to channel %s: %s", entry.notice.key, self._name, delivery.detail)

    def _next(self) -> _Entry | None:
        with self._wake:
            while not self._queue:
                if self._ending.is_set():
                    return None
                self._wake.wait()
            if self._ending.is_set() and time.monotonic() >= self._end_at:
                return None
            return self._queue.popleft()

    def _deliver(self, entry: _Entry) -> Delivery:
        """Try until it is delivered, refused, too old, or time to end; return the last outcome."""
        retrying = Retrying(
            retry=retry_if_result(lambda delivery: delivery.retry and not delivery.ok),
            wait=self._wait,
            stop=lambda state: self._ending.is_set() or time.monotonic() + state.upcoming_sleep > entry.give_up_at,
            sleep=sleep_using_event(self._ending),
            retry_error_callback=_outcome,
        )
        delivery: Delivery = retrying(self._try, entry.notice)
        return delivery

    def _try(self, notice: Notice) -> Delivery:
        timeout = self._channel.timeout_s
        if self._ending.is_set():
            timeout = min(timeout, max(0.05, self._end_at - time.monotonic()))
        try:
            delivery = self._channel.sink.send(notice, timeout)
        except Exception as error:  # a sink must not raise: a defect in one must not end its channel
            log.exception("a defect in channel %s", self._name)
            delivery = Delivery(ok=False, detail=f"a defect: {type(error).__name__}")
        with self._lock:
            self._sent["ok" if delivery.ok else "failed" if delivery.retry else "rejected"] += 1
        self._failures.note(delivery)
        return delivery

    def _wait(self, state: RetryCallState) -> float:
        """Wait longer each time, with jitter; at least as long as the channel asked for, within our limit."""
        asked = _outcome(state).retry_after_s or 0.0
        return min(LONGEST_WAIT_S, max(asked, self._backoff(state)))


def _outcome(state: RetryCallState) -> Delivery:
    assert state.outcome is not None
    delivery: Delivery = state.outcome.result()
    return delivery


class _Failures:
    """Logs a failure once, counts its repetitions, and tells the count when something else happens."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._detail = ""
        self._again = 0

    def note(self, delivery: Delivery) -> None:
        """Take note of one try."""
        if delivery.ok:
            if self._detail:
                log.warning("channel %s delivers again; the last failure came %d times", self._name, self._again + 1)
            self._detail, self._again = "", 0
        elif delivery.detail == self._detail:
            self._again += 1
        else:
            if self._again:
                log.warning("channel %s: the failure before came %d times", self._name, self._again + 1)
            self._detail, self._again = delivery.detail, 0
            log.warning("channel %s does not deliver: %s", self._name, delivery.detail)
