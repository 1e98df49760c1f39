"""Health: what the probes found, judged by checks with thresholds, rise and fall. Pure, like all of the core.

A check passes or fails with a reason for people. A node that lags behind its own chain is unhealthy; a chain that
stands still everywhere is not, so ages are compared with what the other members report. An answer that did not come
fails `main_thread`, `head_age` and `peers`, and leaves the others as they were.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from agent.core.health.finality import FinalityProbed
from agent.core.health.hysteresis import STEADY, CheckResult, CheckState, Pace, Thresholds, update
from agent.core.model.chain import ChainInfo, Peers, ProcessId, Schedule
from agent.core.model.copying import replace
from agent.core.model.finality import Finality
from agent.core.model.slots import REPETITIONS, date, slot_of
from agent.core.model.store import Ms

NEAR = 4
"""Heads this many blocks apart count as level: members report every two seconds, and a last block may not reach all."""
LIB_STEP = REPETITIONS
"""LIB moves by whole turns of a producer, so members may be one turn apart."""

# What the probes report. `error` says why there is no answer; then the answer is None.


@dataclass(frozen=True, slots=True)
class ProcessProbed:
    """The nodeos process was looked for. With an error it is not known, and `process` is one that may be there.

    `cpu`: ms of processor time that it has used in all, None when that was not seen.
    """

    process: ProcessId | None
    error: str = ""
    cpu: Ms | None = None


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


@dataclass(frozen=True, slots=True)
class GateProbed:
    """The signing gate was asked, at `asked`, how it is. Moments are CLOCK_BOOTTIME.

    `error`: why it cannot sign, nothing if it can. `started`, `signed`: its start, and its last signature since then.
    """

    asked: Ms
    error: str = ""
    started: Ms | None = None
    signed: Ms | None = None


@dataclass(frozen=True, slots=True)
class FileProbed:
    """A file was written beside the run-time file, to see that it can be; `error` says why not."""

    error: str = ""


Probe = (
    ProcessProbed
    | PausedProbed
    | InfoProbed
    | PeersProbed
    | ScheduleProbed
    | DiskProbed
    | GateProbed
    | FileProbed
    | FinalityProbed
)


@dataclass(frozen=True, slots=True)
class Limits:
    """The thresholds; `thresholds` has the enabled checks only. can_lead: how long the agent may be unable to lead."""

    thresholds: Mapping[str, Thresholds]
    producer: str = ""
    producer_key: str = ""
    chain_id: str = ""
    head_age: Ms = 3000
    lib_progress: Ms = 60_000
    peers: int = 1
    disk_bytes: int = 0
    disk_percent: float = 0.0
    clock_offset: Ms = 250
    can_lead: Ms = 5000


@dataclass(frozen=True, slots=True)
class Others:
    """The furthest that other members report to be whose word counts (see `ranking.others`)."""

    head: int = 0
    lib: int = 0
    head_node: str = ""


@dataclass(frozen=True, slots=True)
class Health:
    """All checks, and the newest answers that they rest on. file: why the run-time file cannot be written."""

    checks: Mapping[str, CheckState] = field(default_factory=dict)
    info: ChainInfo | None = None
    info_at: Ms = 0
    info_wall: Ms = 0
    head_at: Ms = 0  # when the head last moved, as far as answers tell
    lib: int | None = None
    lib_at: Ms = 0  # when LIB last moved
    process: ProcessId | None = None  # the last that was seen
    paused: bool | None = None
    peers: Peers | None = None
    schedule: Schedule | None = None
    schedule_head: Ms = 0  # the date of our head when it was told: further on it may be another
    clock: Ms = 0  # how far behind the chain's our clock was found last, 0 or below
    file: str = ""
    finality: Finality | None = None
    finality_at: Ms = 0
    gate_asked: Ms = 0  # when the gate was last asked
    signed: Ms | None = None  # when it last signed, as it said then
    cpu: Ms | None = None  # processor time that the process has used
    works_at: Ms | None = None  # when it was last seen to use a good part of one

    @property
    def ok(self) -> bool:
        """Tell whether every check passes."""
        return bool(self.checks) and all(check.ok for check in self.checks.values())

    @property
    def can_produce(self) -> bool:
        """Tell whether it could lead if an operator insisted: nodeos lives, answers, signs, on the right chain."""
        return all(self.checks[name].ok for name in NEEDED if name in self.checks)

    @property
    def reasons(self) -> tuple[str, ...]:
        """Return what is wrong, a line for each failing check."""
        return tuple(f"{name}: {check.reason}" for name, check in self.checks.items() if not check.ok)

    @property
    def doubtful(self) -> bool:
        """Tell whether something speaks against a check that still passes."""
        return any(check.doubt for check in self.checks.values())

    @property
    def failing(self) -> tuple[str, ...]:
        """Return what was seen to be wrong: a check that was not made yet is no reason to change leaders."""
        return tuple(f"{name}: {check.reason}" for name, check in self.checks.items() if check.known and not check.ok)


def check_of(reason: str) -> str:
    """Return the check that a reason is of."""
    return reason.partition(":")[0]


def begin(limits: Limits) -> Health:
    """Return the health of a node of which nothing is known."""
    return Health({name: CheckState() for name in limits.thresholds})


JUDGED = 2
"""Of a turn of 12 slots the clock is judged by the first two: the bound of later ones is too wide to acquit it."""
STANDS: Ms = 10_000
"""On a chain without a new block for so long nobody's clock is judged by what came before."""
OF_THE_PROCESS = ("main_thread", "producing", "head_age", "lib_progress", "chain_id", "peers", "clock_offset")
"""The checks that rest on answers of one nodeos process, and prove nothing of the next."""
WORKS: Ms = 200
"""Processor time from one look at the process to the next, a second later, that tells that it works on something."""
NEEDED = ("process", "main_thread", "chain_id", "gate", "can_lead")
"""The checks without which no operator's word makes a leader."""
HURRIED = ("main_thread", "producing", "head_age", "peers")
"""The checks that tell of production itself: only these are worth haste, or patience, for a window's sake."""


def take(
    health: Health,
    probe: Probe,
    limits: Limits,
    others: Others,
    leading_since: Ms | None,
    now: Ms,
    pace: Pace = STEADY,
    vain: str = "",
    excused: str = "",
) -> Health:
    """Take in one probe. `leading_since`: since when nodeos is meant to produce, None if it is not.

    `vain`: why nothing that it was meant to produce is on the chain. `excused`: why it is paused for no fault of its
    own.
    """
    verdicts: dict[str, CheckResult] = {}
    match probe:
        case ProcessProbed():
            health = _works(_process(health, probe), probe, now)
            gone = "no nodeos process" if not probe.error else f"cannot look for it: {probe.error}"
            known = probe.process is not None and not probe.error
            verdicts["process"] = CheckResult(known, "" if known else gone)
        case PausedProbed():
            health = replace(health, paused=probe.paused)
            answered = probe.paused is not None
            verdicts["main_thread"] = CheckResult(answered, "" if answered else probe.error)
            verdicts["producing"] = _producing(probe, leading_since, vain, excused)
        case InfoProbed():
            health, verdicts = _info(health, probe, limits, others, now)
        case PeersProbed():
            health = replace(health, peers=probe.peers)
            verdicts["peers"] = _peers(probe, limits)
        case ScheduleProbed():
            health, verdicts["schedule"] = _schedule(health, probe, limits)
        case DiskProbed():
            verdicts["disk_space"] = _disk(probe, limits)
        case FileProbed():
            health = replace(health, file=probe.error)
        case FinalityProbed() if probe.found is not None or probe.missing:
            health = replace(health, finality=probe.found, finality_at=now)
        case GateProbed():
            health = replace(health, gate_asked=probe.asked, signed=probe.signed)
            verdicts["gate"] = CheckResult(not probe.error, probe.error)
    checks = dict(health.checks)
    for name, result in verdicts.items():
        if name in limits.thresholds:
            checks[name] = update(checks[name], limits.thresholds[name], result, pace if name in HURRIED else STEADY)
    return replace(health, checks=checks)


def _works(health: Health, probe: ProcessProbed, now: Ms) -> Health:
    """Note when the process uses its processor: one that hangs does not."""
    if probe.cpu is None:
        return health
    works = health.cpu is not None and probe.cpu - health.cpu >= WORKS
    return replace(health, cpu=probe.cpu, works_at=now if works else health.works_at)


def _process(health: Health, probe: ProcessProbed) -> Health:
    """Forget what another process answered."""
    if probe.process is None or probe.process == health.process:
        return health
    if health.process is None:
        return replace(health, process=probe.process)
    anew = {name: CheckState(failures=health.checks[name].failures) for name in OF_THE_PROCESS if name in health.checks}
    checks = {**health.checks, **anew}
    return replace(
        health,
        checks=checks,
        process=probe.process,
        info=None,
        lib=None,
        paused=None,
        peers=None,
        finality=None,
        cpu=None,
        works_at=None,
    )


def producing(health: Health, why: str = "") -> Health:
    """Return the health with the check `producing` decided: it passes, or fails because of `why`."""
    old = health.checks.get("producing")
    if old is None or (old.known and old.ok == (not why)):
        return health
    found = CheckState(not why, why, known=True, failures=old.failures + bool(why))
    return replace(health, checks={**health.checks, "producing": found})


def _producing(probe: PausedProbed, leading_since: Ms | None, vain: str, excused: str) -> CheckResult:
    if probe.paused is None:
        return CheckResult(None, probe.error)
    if leading_since is None or probe.asked < leading_since:
        return CheckResult(True)
    if not probe.paused:
        return CheckResult(not vain, vain)
    if excused:
        return CheckResult(True, excused)
    return CheckResult(False, "nodeos is paused though this node leads: somebody paused it, or its votes timed out")


def _info(
    health: Health, probe: InfoProbed, limits: Limits, others: Others, now: Ms
) -> tuple[Health, dict[str, CheckResult]]:
    info = probe.info
    if info is None:
        silent = {"head_age": CheckResult(False, probe.error), "chain_id": CheckResult(None, probe.error)}
        return replace(health, info=None), silent
    lib_at = health.lib_at if info.lib_num == health.lib else now
    wanted = limits.chain_id
    right = not wanted or info.chain_id == wanted
    verdicts = {
        "head_age": _head_age(info, probe.wall, limits, others),
        "lib_progress": _lib(info, now - lib_at, limits, others),
        "chain_id": CheckResult(right, "" if right else f"nodeos is on chain {info.chain_id}, not {wanted}"),
    }
    off, verdicts["clock_offset"] = _clock(health, info, probe.wall, limits, now)
    head_at = health.head_at if health.info is not None and info.head_num == health.info.head_num else now
    now_known = {"info": info, "info_at": now, "info_wall": probe.wall, "lib": info.lib_num, "lib_at": lib_at}
    schedule_head = health.schedule_head or info.head_time
    return replace(health, clock=off, head_at=head_at, schedule_head=schedule_head, **now_known), verdicts


def _clock(health: Health, info: ChainInfo, wall: Ms, limits: Limits, now: Ms) -> tuple[Ms, CheckResult]:
    """Judge by a block that came since the last answer; before there are two answers nothing is known.

    A chain that stands, with a head that is not ahead of our clock, holds nothing against it: else nobody would lead
    again on a chain that only we move.
    """
    if health.info is None:
        return health.clock, CheckResult(None, "no new block was seen yet")
    off = clock_offset(info, wall)
    fine, new = -off <= limits.clock_offset, info.head_num > health.info.head_num
    if not new or (fine and slot_of(info.head_time) % REPETITIONS >= JUDGED):
        known = health.checks.get("clock_offset", CheckState()).known
        stands = fine and not new and now - health.head_at >= STANDS
        return health.clock, CheckResult(True if stands or not known else None, "not measured: no new block")
    return off, CheckResult(fine, "" if fine else f"our clock is {-off / 1000:.1f} s behind the chain's")


def clock_offset(info: ChainInfo, wall: Ms) -> Ms:
    """Return how far our clock is behind (below 0) the time of a block that just came, beyond what is normal.

    A head in the past can mean a lag as well, so only a head too far in the future tells. From Leap 5 on blocks of a
    turn are signed ahead of their dates, as far as `produce-block-offset-ms` says, and sooner when they are full; but
    no version begins the first of the 12 before the slot in front of it (nodeos: `production_round_block_start_time`).
    """
    first = slot_of(info.head_time) // REPETITIONS * REPETITIONS
    return min(0, wall - date(first - 1))


def _head_age(info: ChainInfo, wall: Ms, limits: Limits, others: Others) -> CheckResult:
    age = wall - info.head_time
    if age <= limits.head_age:
        return CheckResult(True)
    behind = others.head - info.head_num
    if behind > NEAR:
        return CheckResult(False, f"head is {age / 1000:.1f} s old, {others.head_node} is {behind} blocks ahead")
    return CheckResult(
        True, f"head is {age / 1000:.1f} s old, and nobody in the group is further: the chain stands still"
    )


def _lib(info: ChainInfo, still: Ms, limits: Limits, others: Others) -> CheckResult:
    if still <= limits.lib_progress:
        return CheckResult(True)
    if others.lib > info.lib_num + LIB_STEP:
        return CheckResult(False, f"LIB stands still for {still / 1000:.0f} s, another member is further")
    return CheckResult(True, f"LIB stands still for {still / 1000:.0f} s, for the whole group")


def _peers(probe: PeersProbed, limits: Limits) -> CheckResult:
    if probe.missing:
        return CheckResult(True, "not measured: nodeos has no net_api_plugin")
    if probe.peers is None:
        return CheckResult(False, probe.error)
    enough = probe.peers.connected >= limits.peers
    return CheckResult(
        enough, "" if enough else f"{probe.peers.connected} peers connected, at least {limits.peers} wanted"
    )


def _schedule(health: Health, probe: ScheduleProbed, limits: Limits) -> tuple[Health, CheckResult]:
    if probe.schedule is None:
        return health, CheckResult(None, probe.error)
    ours = next((each for each in probe.schedule.producers if each.name == limits.producer), None)
    head = health.info.head_time if health.info else 0
    health = replace(health, schedule=probe.schedule, schedule_head=head)
    if ours is None:
        return health, CheckResult(True, f"producer {limits.producer} is not in the schedule now")
    if limits.producer_key and limits.producer_key not in ours.keys:
        keys = ", ".join(ours.keys)
        return health, CheckResult(
            False, f"the schedule has key {keys} for {limits.producer}, not {limits.producer_key}"
        )
    return health, CheckResult(True)


def _disk(probe: DiskProbed, limits: Limits) -> CheckResult:
    if probe.error:
        return CheckResult(False, probe.error)
    percent = 100 * probe.free / probe.total if probe.total else 0.0
    if probe.free >= limits.disk_bytes and percent >= limits.disk_percent:
        return CheckResult(True)
    return CheckResult(False, f"{probe.free / 2**30:.1f} GiB ({percent:.1f} %) free for the data directory")
