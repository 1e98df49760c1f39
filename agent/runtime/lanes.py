"""Lanes: one thread for each thing that may hang, so that nothing waits behind something else. No decision lives here.

A lane runs jobs one after another; each job has a total deadline of its own, enforced by the adapter it calls. Should
that fail, a thread whose job is overdue is left behind for a new one: the pause and the kill never queue.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from agent.ports import Clock, Emit

log = logging.getLogger(__name__)

OVERDUE_MS = 1000
"""How much longer than its own deadline a job may take before its thread is left behind."""
FAILED_S = 1.0
"""The least pause of a repeater after a defect in its work."""


@dataclass(frozen=True, slots=True)
class Job:
    """One call to the outside. `run` returns the event that tells how it went, `failed` the one for a defect in it."""

    run: Callable[[], object | None]
    failed: Callable[[str], object | None]
    within_ms: int


class Lane:
    """A worker thread with its queue. `submit` never blocks; `look` wants to be called about once a second."""

    def __init__(self, name: str, emit: Emit, clock: Clock) -> None:
        self.name = name
        self._emit = emit
        self._clock = clock
        self._lock = threading.Lock()
        self._job: Job | None = None  # under way
        self._due = 0
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._thread = self._start()

    def _start(self) -> threading.Thread:
        thread = threading.Thread(target=self._work, args=(self._jobs,), name=self.name, daemon=True)
        thread.start()
        return thread

    def submit(self, job: Job) -> None:
        """Run `job` after those before it; on a new thread if the present one hangs."""
        self.look()
        with self._lock:
            self._jobs.put(job)

    def look(self) -> None:
        """Leave a thread behind that hangs: its job is told as failed, and those that wait get a new thread."""
        if self._job is None:
            return  # most often, and this is asked after every step
        with self._lock:
            job = self._job
            if job is None or self._clock.boot() <= self._due + OVERDUE_MS:
                return
            log.error("lane %s hangs in a call that should have ended; using a new thread", self.name)
            self._job = None
            old, self._jobs = self._jobs, queue.SimpleQueue()
            while not old.empty():
                self._jobs.put(old.get())
            old.put(None)
            self._tell(job.failed("the call did not return in time"))
            self._thread = self._start()

    def close(self) -> None:
        """End the thread after the jobs at hand. Never blocks."""
        with self._lock:
            self._jobs.put(None)

    def join(self, timeout_s: float) -> bool:
        """Wait until the jobs at hand are done, after `close`; False when they are not within `timeout_s` seconds."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _work(self, jobs: queue.SimpleQueue[Job | None]) -> None:
        while (job := jobs.get()) is not None:
            with self._lock:
                self._job, self._due = job, self._clock.boot() + job.within_ms
            event = self._run(job)
            with self._lock:
                if jobs is self._jobs:
                    self._job = None
                # a thread that was left behind still tells how its call went: a late resume must be known
            self._tell(event)

    def _tell(self, event: object | None) -> None:
        if event is not None:
            self._emit(event)

    def _run(self, job: Job) -> object | None:
        try:
            return job.run()
        except Exception as error:
            log.exception("a defect in lane %s", self.name)
            return job.failed(f"{type(error).__name__}: {error}")


class Repeater:
    """A thread that calls `work` again and again, with `period_s` seconds between the starts of two calls."""

    def __init__(self, name: str, period_s: float, work: Callable[[], object | None], emit: Emit) -> None:
        self.name = name
        self._period = period_s
        self._work = work
        self._emit = emit
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._loop, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """End after the call at hand. Never blocks."""
        self._over.set()

    def _loop(self) -> None:
        while not self._over.is_set():
            begin = time.monotonic()
            least = 0.0
            try:
                event = self._work()
            except Exception:
                log.exception("a defect in %s", self.name)
                event, least = None, FAILED_S
            if event is not None:
                self._emit(event)
            self._over.wait(max(least, self._period - (time.monotonic() - begin)))


class InTurn:
    """Several looks on one thread, as the work of a `Repeater`: each with every so many-th of its turns.

    For those that may wait for each other: a call that hangs until its deadline holds up the next.
    """

    def __init__(self, emit: Emit, *looks: tuple[int, Callable[[], object | None]]) -> None:
        self._emit = emit
        self._looks = looks
        self._turns = 0

    def __call__(self) -> None:
        """Make the looks whose turn it is. A defect in one is logged, and no reason to leave out another."""
        turn, self._turns = self._turns, self._turns + 1
        for every, look in self._looks:
            if turn % every:
                continue
            try:
                event = look()
            except Exception:
                log.exception("a defect in a look")
            else:
                if event is not None:
                    self._emit(event)
