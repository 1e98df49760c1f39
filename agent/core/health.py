"""Health: what the probes found, judged by checks with thresholds, rise and fall. Pure, like all of the core.

A check passes or fails with a reason for people. It changes its mind only after `rise` good or `fall` bad results in
a row; its first result counts at once. A node that lags behind its own chain is unhealthy; a chain that stands still
everywhere is not, so ages are compared with what the other members report.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from agent.core.chain import ChainInfo, Peers, ProcessId, Schedule
from agent.core.store import Ms

# What the probes report. `error` says why there is no answer; then the answer is None.


@dataclass(frozen=True, slots=True)
class ProcessProbed:
    """The nodeos process was looked for."""

    process: ProcessId | None
    error: str = ""


@dataclass(frozen=True, slots=True)
class PausedProbed:
    """nodeos was asked, at `asked`, whether it is paused: the honest probe of its main thread."""

    asked: Ms
    paused: bool | None
    error: str = ""


@dataclass(frozen=True, slots=True)
class InfoProbed:
    """nodeos was asked for head and LIB; `wall` is our clock at the answer, in ms since 1970."""

    info: ChainInfo | None
    wall: Ms
    error: str = ""


@dataclass(frozen=True, slots=True)
class PeersProbed:
    """nodeos was asked for its peers; `missing`: net_api_plugin is not loaded."""

    peers: Peers | None
    error: str = ""
    missing: bool = False


@dataclass(frozen=True, slots=True)
class ScheduleProbed:
    """nodeos was asked for the active schedule."""

    schedule: Schedule | None
    error: str = ""


@dataclass(frozen=True, slots=True)
class DiskProbed:
    """The data directory's file system was looked at: bytes free and in all."""

    free: int
    total: int
    error: str = ""


Probe = ProcessProbed | PausedProbed | InfoProbed | PeersProbed | ScheduleProbed | DiskProbed


@dataclass(frozen=True, slots=True)
class Gate:
    """How often in a row a check must pass (`rise`) or fail (`fall`) to change its mind."""

    rise: int = 2
    fall: int = 3


@dataclass(frozen=True, slots=True)
class Limits:
    """The thresholds; `gates` has the enabled checks only."""

    gates: Mapping[str, Gate]
    producer: str = ""
    producer_key: str = ""
    chain_id: str = ""
    head_age: Ms = 3000
    lib_progress: Ms = 60_000
    peers: int = 1
    disk_bytes: int = 0
    disk_percent: float = 0.0
    clock_offset: Ms = 250


@dataclass(frozen=True, slots=True)
class Others:
    """The furthest that any other member reports to be."""

    head: int = 0
    lib: int = 0
    head_node: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One result of one check."""

    ok: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Check:
    """What a check stands at: `streak` counts results in a row against it; `failures` all bad results."""

    ok: bool = False
    reason: str = "not checked yet"
    known: bool = False
    streak: int = 0
    failures: int = 0


@dataclass(frozen=True, slots=True)
class Health:
    """All checks, and the newest answers that they rest on."""

    checks: Mapping[str, Check] = field(default_factory=dict)
    info: ChainInfo | None = None
    info_at: Ms = 0
    info_wall: Ms = 0
    lib_at: Ms = 0  # when LIB last moved
    paused: bool | None = None
    peers: Peers | None = None
    schedule: Schedule | None = None

    @property
    def ok(self) -> bool:
        """Tell whether every check passes."""
        return bool(self.checks) and all(check.ok for check in self.checks.values())

    @property
    def able(self) -> bool:
        """Tell whether nodeos could produce if an operator insisted: it lives, answers, and is on the right chain."""
        return all(self.checks[name].ok for name in ("process", "main_thread", "chain_id") if name in self.checks)

    @property
    def reasons(self) -> tuple[str, ...]:
        """Return what is wrong, a line for each failing check."""
        return tuple(f"{name}: {check.reason}" for name, check in self.checks.items() if not check.ok)

    @property
    def failing(self) -> tuple[str, ...]:
        """Return what was seen to be wrong: a check that was not made yet is no reason to change leaders."""
        return tuple(f"{name}: {check.reason}" for name, check in self.checks.items() if check.known and not check.ok)

    @property
    def scheduled(self) -> bool | None:
        """Tell whether the producer is in the active schedule; None: not known (see `Limits.producer`)."""
        check = self.checks.get("schedule")
        return None if check is None or not check.known else "not in the schedule" not in check.reason


def begin(limits: Limits) -> Health:
    """Return the health of a node of which nothing is known."""
    return Health({name: Check() for name in limits.gates})


SLOW_BLOCK: Ms = 700
AHEAD: Ms = 1000
"""The age of a healthy head lies between these: a block may come late, and is signed up to 0.9 s early (Leap 5 on)."""


def take(health: Health, probe: Probe, limits: Limits, others: Others, leading_since: Ms | None, now: Ms) -> Health:
    """Take in one probe. `leading_since`: since when nodeos is meant to produce, None if it is not."""
    verdicts: dict[str, Verdict] = {}
    match probe:
        case ProcessProbed():
            gone = "no nodeos process" if not probe.error else f"can not look for it: {probe.error}"
            verdicts["process"] = Verdict(probe.process is not None, "" if probe.process else gone)
        case PausedProbed():
            health = replace(health, paused=probe.paused)
            answered = probe.paused is not None
            verdicts["main_thread"] = Verdict(answered, "" if answered else probe.error)
            verdicts["producing"] = _producing(probe, leading_since)
        case InfoProbed():
            health, verdicts = _info(health, probe, limits, others, now)
        case PeersProbed():
            health = replace(health, peers=probe.peers)
            verdicts["peers"] = _peers(probe, limits)
        case ScheduleProbed():
            health = replace(health, schedule=probe.schedule or health.schedule)
            verdicts["schedule"] = _schedule(probe, limits)
        case DiskProbed():
            verdicts["disk_space"] = _disk(probe, limits)
    checks = dict(health.checks)
    for name, verdict in verdicts.items():
        if name in limits.gates:
            checks[name] = judge(checks[name], limits.gates[name], verdict)
    return replace(health, checks=checks)


def judge(check: Check, gate: Gate, verdict: Verdict) -> Check:
    """Count one result: the first decides at once, later ones only `rise` or `fall` times in a row."""
    failures = check.failures + (not verdict.ok)
    if not check.known:
        return Check(verdict.ok, verdict.reason, True, 0, failures)
    if verdict.ok == check.ok:
        return Check(check.ok, verdict.reason, True, 0, failures)
    streak = check.streak + 1
    if streak >= (gate.rise if verdict.ok else gate.fall):
        return Check(verdict.ok, verdict.reason, True, 0, failures)
    return replace(check, streak=streak, failures=failures)


def _producing(probe: PausedProbed, leading_since: Ms | None) -> Verdict:
    if leading_since is None or probe.asked < leading_since or not probe.paused:
        return Verdict(True, "")
    return Verdict(False, "nodeos is paused though this node leads: somebody paused it, or its votes timed out")


def _info(
    health: Health, probe: InfoProbed, limits: Limits, others: Others, now: Ms
) -> tuple[Health, dict[str, Verdict]]:
    info = probe.info
    if info is None:
        bad = Verdict(False, probe.error)
        return replace(health, info=None), dict.fromkeys(("head_age", "chain_id"), bad)
    moved = health.info is None or info.lib_num != health.info.lib_num
    advanced = health.info is not None and info.head_num > health.info.head_num
    lib_at = now if moved else health.lib_at
    health = replace(health, info=info, info_at=now, info_wall=probe.wall, lib_at=lib_at)
    wanted = limits.chain_id
    right = not wanted or info.chain_id == wanted
    verdicts = {
        "head_age": _head_age(info, probe.wall, limits, others),
        "lib_progress": _lib(info, now - lib_at, limits, others),
        "chain_id": Verdict(right, "" if right else f"nodeos is on chain {info.chain_id}, not {wanted}"),
    }
    if advanced:
        off = clock_offset(info, probe.wall)
        fine = abs(off) <= limits.clock_offset
        verdicts["clock_offset"] = Verdict(fine, "" if fine else f"our clock is {off / 1000:+.1f} s off the chain")
    elif "clock_offset" in health.checks and not health.checks["clock_offset"].known:
        verdicts["clock_offset"] = Verdict(True, "the chain stands still, not measured")
    return health, verdicts


def clock_offset(info: ChainInfo, wall: Ms) -> Ms:
    """Return how far our clock is behind (below 0) the time of a block that just came, beyond what is normal.

    A head in the past can mean a lag as well, so only a head too far in the future tells.
    """
    return min(0, wall - info.head_time + AHEAD)


def _head_age(info: ChainInfo, wall: Ms, limits: Limits, others: Others) -> Verdict:
    age = wall - info.head_time
    if age <= limits.head_age:
        return Verdict(True, "")
    behind = others.head - info.head_num
    if behind > 0:
        return Verdict(False, f"head is {age / 1000:.1f} s old, {others.head_node} is {behind} blocks ahead")
    return Verdict(True, f"head is {age / 1000:.1f} s old, and nobody in the group is further: the chain stands still")


def _lib(info: ChainInfo, still: Ms, limits: Limits, others: Others) -> Verdict:
    if still <= limits.lib_progress:
        return Verdict(True, "")
    if others.lib > info.lib_num:
        return Verdict(False, f"LIB stands still for {still / 1000:.0f} s, another member is further")
    return Verdict(True, f"LIB stands still for {still / 1000:.0f} s, for the whole group")


def _peers(probe: PeersProbed, limits: Limits) -> Verdict:
    if probe.missing:
        return Verdict(True, "not measured: nodeos has no net_api_plugin")
    if probe.peers is None:
        return Verdict(False, probe.error)
    enough = probe.peers.connected >= limits.peers
    return Verdict(enough, "" if enough else f"{probe.peers.connected} peers connected, at least {limits.peers} wanted")


def _schedule(probe: ScheduleProbed, limits: Limits) -> Verdict:
    if probe.schedule is None:
        return Verdict(False, probe.error)
    ours = next((each for each in probe.schedule.producers if each.name == limits.producer), None)
    if ours is None:
        return Verdict(True, f"producer {limits.producer} is not in the schedule now")
    if limits.producer_key and limits.producer_key not in ours.keys:
        keys = ", ".join(ours.keys)
        return Verdict(False, f"the schedule has key {keys} for {limits.producer}, not {limits.producer_key}")
    return Verdict(True, "")


def _disk(probe: DiskProbed, limits: Limits) -> Verdict:
    if probe.error:
        return Verdict(False, probe.error)
    percent = 100 * probe.free / probe.total if probe.total else 0.0
    if probe.free >= limits.disk_bytes and percent >= limits.disk_percent:
        return Verdict(True, "")
    return Verdict(False, f"{probe.free / 2**30:.1f} GiB ({percent:.1f} %) free for the data directory")
