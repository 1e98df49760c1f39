"""The clocks of the host. Only the reading of clocks lives here; everything else takes time as an argument."""

from __future__ import annotations

import time
from pathlib import Path

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def boot_ms() -> int:
    """Return CLOCK_BOOTTIME in ms, rounded down: it counts through a suspend, and nobody can set it."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


def boot_s() -> float:
    """Return CLOCK_BOOTTIME in seconds."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def boot_id() -> str:
    """Return the kernel's random id of this boot. OSError when /proc is not there."""
    return BOOT_ID.read_text(encoding="ascii").strip()


class SystemClock:
    """The Clock of `agent.ports`. The boot id is read once: it cannot change under a live process."""

    def __init__(self) -> None:
        self._boot_id = boot_id()

    def boot(self) -> int:
        """Return milliseconds of CLOCK_BOOTTIME, rounded down."""
        return boot_ms()

    def wall(self) -> int:
        """Return milliseconds since 1970 UTC, rounded down; may jump."""
        return time.time_ns() // 1_000_000

    def boot_id(self) -> str:
        """Return the id of this boot of the host."""
        return self._boot_id
