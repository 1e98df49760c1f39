"""What speaks against the host: its clock, its disk, its run-time directory. Facts in, findings out."""

from __future__ import annotations

from agent.config.model import Config
from agent.doctor.facts import HostFacts
from agent.doctor.finding import Finding, fault, ok, skipped, unknown, warn

MEMORY = ("tmpfs", "ramfs")


def host(facts: HostFacts, config: Config) -> list[Finding]:
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
