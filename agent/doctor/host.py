"""What speaks against the host: its clock, its disk, its run-time directory."""

from __future__ import annotations

import ctypes
import ctypes.util
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from agent.config.model import Config
from agent.doctor.finding import Finding, fault, ok, skipped, unknown, warn
from agent.runtime import probes

_STA_UNSYNC = 0x40  # linux/timex.h
_TIMEX_WORDS = 64
"""More longs than struct timex has; `status` is the fifth field, `maxerror` and `esterror` come before it."""
MEMORY = ("tmpfs", "ramfs")


@dataclass(frozen=True, slots=True)
class HostFacts:
    """The host. `synchronised` is the kernel's word about its clock; `clock_error_s` the error that it estimates."""

    synchronised: bool | None = None
    clock_error_s: float = 0.0
    clock_failure: str = ""
    disk_free: int | None = None
    disk_total: int = 0
    disk_error: str = ""
    runtime_fs: str = ""


def gather(config: Config) -> HostFacts:
    """Look at clock, disk and run-time directory."""
    synchronised, error_s, failure = _clock()
    free, total, disk_error = _disk(config.nodeos.data_dir)
    return HostFacts(synchronised, error_s, failure, free, total, disk_error, _file_system(config.runtime.dir))


def _clock() -> tuple[bool | None, float, str]:
    """Ask the kernel (adjtimex without changing anything)."""
    timex = (ctypes.c_long * _TIMEX_WORDS)()
    try:
        libc = ctypes.CDLL(ctypes.util.find_library("c"), use_errno=True)
        state = libc.adjtimex(ctypes.byref(timex))
    except (OSError, AttributeError) as error:
        return None, 0.0, f"adjtimex: {error}"
    if state < 0:
        return None, 0.0, f"adjtimex: {os.strerror(ctypes.get_errno())}"
    # modes and status are ints, padded to a long; offset, freq, maxerror, esterror are longs
    _modes, _offset, _freq, _max_error, error_us, status = (int(timex[at]) for at in range(6))
    return not status & 0xFFFFFFFF & _STA_UNSYNC, error_us / 1e6, ""


def _disk(path: Path | None) -> tuple[int | None, int, str]:
    if path is None:
        return None, 0, ""
    found = probes.disk(path)
    return None if found.error else found.free, found.total, found.error


def _file_system(path: Path) -> str:
    """Return the type of the file system below which a directory lies; nothing when it does not exist."""
    if not path.exists():
        return ""
    real, best, kind = str(path.resolve()), "", ""
    with suppress(OSError):
        for line in Path("/proc/self/mounts").read_text().splitlines():
            _device, mount, found, *_ = line.split(" ")
            inside = real == mount or real.startswith(mount.rstrip("/") + "/")
            if inside and len(mount) >= len(best):
                best, kind = mount, found
    return kind


def check(facts: HostFacts, config: Config) -> list[Finding]:
    """Return everything about the host."""
    return [clock(facts), disk(facts, config), runtime(facts, config)]


def clock(facts: HostFacts) -> Finding:
    """See that NTP keeps the kernel's clock: a producer with a wrong one signs at the wrong time."""
    if facts.synchronised is None:
        return unknown("clock_ntp", facts.clock_failure or "not asked", "see chronyc tracking or timedatectl")
    if not facts.synchronised:
        return warn(
            "clock_ntp", "the kernel says that its clock is not synchronised", "run chrony or systemd-timesyncd"
        )
    return ok("clock_ntp", f"synchronised, error at most {1000 * facts.clock_error_s:.0f} ms")


def disk(facts: HostFacts, config: Config) -> Finding:
    """nodeos's disk has room; it stops by itself at 10 % free."""
    if config.nodeos.data_dir is None:
        return skipped("disk", "nodeos.data_dir is not set, so nobody looks at its disk", "set nodeos.data_dir")
    if facts.disk_free is None:
        return unknown("disk", facts.disk_error or "not looked at", "see that the agent's user may look at it")
    percent = 100 * facts.disk_free / facts.disk_total if facts.disk_total else 0.0
    seen = f"{facts.disk_free / 2**30:.1f} GiB ({percent:.0f} %) free in {config.nodeos.data_dir}"
    wanted = config.health.disk_space
    if facts.disk_free < wanted.min_free_bytes or percent < wanted.min_free_percent:
        return fault("disk", seen, "make room: nodeos stops by itself at 10 %, and the check disk_space fails before")
    if facts.disk_free < 2 * wanted.min_free_bytes or percent < 2 * wanted.min_free_percent:
        return warn("disk", seen, "make room before the check disk_space fails")
    return ok("disk", seen)


def runtime(facts: HostFacts, config: Config) -> Finding:
    """See that the run-time file lies in memory: it is written twice a second, and must not outlive a boot."""
    name, where = "runtime_dir", config.runtime.dir
    if not facts.runtime_fs:
        return unknown(name, f"{where} could not be looked at", "make it, for the agent's user; systemd does")
    if facts.runtime_fs not in MEMORY:
        remedy = "use a directory below /run: a slow disk delays confirmations"
        return warn(name, f"{where} is on {facts.runtime_fs}, not in memory", remedy)
    return ok(name, f"{where} is on {facts.runtime_fs}")
