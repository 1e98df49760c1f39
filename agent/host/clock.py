"""The clocks of the host. Only the reading of clocks lives here; everything else takes time as an argument."""

from __future__ import annotations

import time
from pathlib import Path

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
OFFSETS = Path("/proc/self/timens_offsets")
"""What our time namespace adds to the clocks (time_namespaces(7), Linux 5.6); a container may have one of its own."""


def boot_ms() -> int:
    """Return CLOCK_BOOTTIME in ms, rounded down: it counts through a suspend, and nobody can set it."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


def boot_s() -> float:
    """Return CLOCK_BOOTTIME in seconds."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def boot_id() -> str:
    """Return what tells readings of this CLOCK_BOOTTIME from those of any other. OSError when /proc is not there.

    It is the kernel's random id of this boot; where our time namespace sets the clock off, another id for each offset.
    """
    kernel = BOOT_ID.read_text(encoding="ascii").strip()
    offset = _offset()
    if offset in ("", "0 0"):
        return kernel
    import uuid  # slow to import, and seldom needed

    return str(uuid.uuid5(uuid.UUID(kernel), offset))


def _offset() -> str:
    """Return what our time namespace adds to CLOCK_BOOTTIME, as the kernel writes it: seconds and nanoseconds."""
    try:
        lines = OFFSETS.read_text(encoding="ascii").splitlines()
    except FileNotFoundError:
        return ""
    return next((" ".join(rest) for name, *rest in map(str.split, lines) if name == "boottime"), "")


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
        """Return what tells readings of `boot` from those of another clock."""
        return self._boot_id
