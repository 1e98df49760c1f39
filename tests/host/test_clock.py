"""The clocks: which ones they are, their unit, and that they are rounded down."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from agent.host import clock
from agent.ports import Clock


def test_boot_is_boottime_in_milliseconds_between_two_readings() -> None:
    """`boot` reads CLOCK_BOOTTIME, the clock that counts through a suspend, in whole milliseconds."""
    reader: Clock = clock.SystemClock()
    before = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    now = reader.boot()
    after = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    assert before // 1_000_000 <= now <= after // 1_000_000


def test_boot_rounds_down(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reading is never ahead of the clock: 1999.999 ms reads as 1999."""
    monkeypatch.setattr(time, "clock_gettime_ns", lambda which: 1_999_999_999 if which == time.CLOCK_BOOTTIME else -1)
    assert clock.SystemClock().boot() == 1999


def test_wall_is_unix_time_in_milliseconds() -> None:
    """`wall` is the time of day in milliseconds since 1970."""
    before = time.time()
    now = clock.SystemClock().wall()
    assert before * 1000 - 1 <= now <= time.time() * 1000


def test_boot_id_is_the_kernels_and_stays() -> None:
    """The boot id is the kernel's own, the same for every reader of one boot."""
    kernel = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert clock.SystemClock().boot_id() == clock.SystemClock().boot_id() == clock.boot_id() == kernel
    assert len(kernel) == 36
