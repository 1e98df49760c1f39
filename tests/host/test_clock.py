"""The clocks, which are rounded down, and pauses between tries, which grow while something fails."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from agent.host import clock
from agent.host.jitter import Pauses, spread
from agent.host.page import Page, pack, unpack
from agent.ports import Clock
from tests.support.moved_time import MovedTime


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


def boot_id_in(offset: str) -> str:
    """Return what a process reads whose time namespace sets CLOCK_BOOTTIME off by so many seconds."""
    program = [sys.executable, "-c", "from agent.host.clock import boot_id; print(boot_id())"]
    done = subprocess.run(
        ["unshare", "--time", "--boottime", offset, *program], capture_output=True, text=True, timeout=30, check=False
    )
    if done.returncode:
        pytest.skip(f"no time namespace can be made here: {done.stderr.strip()}")
    return done.stdout.strip()


@pytest.mark.real
def test_a_clock_that_is_set_off_is_another_boot() -> None:
    """R3, R4: V of a container whose CLOCK_BOOTTIME is set off means nothing here, nor does when a process started."""
    assert boot_id_in("0") == clock.boot_id()
    behind, again, ahead = boot_id_in("-9"), boot_id_in("-9"), boot_id_in("9")
    assert behind == again
    assert len({clock.boot_id(), behind, ahead}) == 3
    assert unpack(pack(Page(behind, b"g/n", sequence=2))).boot_id == behind


def test_a_kernel_without_time_namespaces_sets_nothing_off(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Before Linux 5.6 there is one clock, and no file that tells of another."""
    monkeypatch.setattr(clock, "OFFSETS", tmp_path / "none")
    assert clock.boot_id() == Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def test_pauses_double_up_to_the_longest_and_begin_anew() -> None:
    """A tenth of the longest at first; each at least half of what it may be, so that agents do not ask together."""
    time = MovedTime(1_000_000)
    pauses = Pauses(4.0, lambda: time.now)
    assert pauses.left_s() == 0
    for longest_s in (0.4, 0.8, 1.6, 3.2, 4.0, 4.0):
        waited = pauses.after_failure()
        assert longest_s / 2 - 0.001 <= waited <= longest_s + 0.001
        assert pauses.left_s() == waited
        time.go(round(waited * 1000))
        assert pauses.left_s() == 0
    time.go(4_001)
    assert pauses.after_failure() <= 0.401


def test_a_spread_pause_is_never_longer_than_planned() -> None:
    """It lies between the share that is given and the whole."""
    for least in (0.5, 0.9):
        found = [spread(10.0, least) for _ in range(200)]
        assert all(10 * least <= each <= 10.0 for each in found)
        assert len(set(found)) > 100
