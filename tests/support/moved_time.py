"""Time that a test moves: whatever sleeps or waits with a time-out comes back at once, that much later.

It stands in for every clock of the process, so that a test of deadlines, pauses and repetitions takes milliseconds, and
gives the same figures on any machine. A wait without a time-out is a real one. For code under test on one thread at a
time: two that wait at once would each move the time.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import TypeVar

import pytest

T = TypeVar("T")
START_MS = 1_000_000
WALL_MS = 1_800_000_000_000
_Condition = threading.Condition


class MovedTime:
    """The time, in ms since the boot. `slept`: seconds of each sleep and of each wait that nobody ended, in order.

    Also a clock of `agent.ports`. CLOCK_BOOTTIME, the monotonic and the time of day move together.
    """

    def __init__(self, now: int = START_MS, wall: int = WALL_MS) -> None:
        self.now = self._begin = now
        self._wall = wall
        self.slept: list[float] = []

    def go(self, ms: int) -> None:
        """Let time pass."""
        self.now += ms

    def sleep(self, seconds: float) -> None:
        """Stand for `time.sleep`, and for a wait that nobody ends."""
        self.slept.append(seconds)
        if seconds > 0:
            self.now += max(
                1, math.ceil(seconds * 1000 - 1e-6)
            )  # time goes on, else rounding would stand still for ever

    @property
    def passed_s(self) -> float:
        """Seconds since the test began."""
        return (self.now - self._begin) / 1000

    def boot(self) -> int:
        """Return ms since the boot."""
        return self.now

    def wall(self) -> int:
        """Return ms since 1970."""
        return self._wall + self.now - self._begin

    def boot_id(self) -> str:
        """Return a name."""
        return "boot"


def replace_time(monkeypatch: pytest.MonkeyPatch) -> MovedTime:
    """Put a time that is moved in the place of every clock, sleep and timed wait, until the test ends."""
    moved = MovedTime()

    class Condition(_Condition):
        """Waits for no time: what it would have waited for passes at once."""

        def wait(self, timeout: float | None = None) -> bool:
            if timeout is None:
                return super().wait()
            moved.sleep(timeout)
            return False

        def wait_for(self, predicate: Callable[[], T], timeout: float | None = None) -> T:
            found = predicate()
            if found:
                return found
            if timeout is None:
                return super().wait_for(predicate)
            moved.sleep(timeout)
            return predicate()

    monkeypatch.setattr(threading, "Condition", Condition)
    monkeypatch.setattr(time, "clock_gettime", lambda _clock: moved.now / 1000)
    monkeypatch.setattr(time, "clock_gettime_ns", lambda _clock: moved.now * 1_000_000)
    monkeypatch.setattr(time, "monotonic", lambda: moved.now / 1000)
    monkeypatch.setattr(time, "time", lambda: moved.wall() / 1000)
    monkeypatch.setattr(time, "time_ns", lambda: moved.wall() * 1_000_000)
    monkeypatch.setattr(time, "sleep", moved.sleep)
    return moved
