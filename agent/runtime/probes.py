"""Looking at nodeos and its host, again and again: each look is one function from an adapter to a probe event."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from agent.core.health import checks
from agent.core.health.finality import FinalityProbed
from agent.core.model.chain import ProcessId
from agent.core.model.store import Ms
from agent.core.node.urgency import MISSED
from agent.errors import FenceError, GateError, NodeosAnswer, NodeosError
from agent.gate.control import READY
from agent.host import process
from agent.ports import Clock, Emit, Fence, Nodeos, ProcessHandle, RuntimeFile
from agent.telemetry.gate_watch import GateReading, GateWatch

FIND_S = 0.25
"""How often a nodeos process is looked for while there is none."""
ALIVE_S = 1.0
"""How often a live one is reported again."""
NO_SUCH_QUESTION = 404
SELDOM = 30
"""Turns without a question after one that nodeos did not know."""
NOBODY_KNOWS = ProcessId(0, 0)
"""Stands for a process that may be there but could not be found: nothing is taken for stopped then."""


def paused(nodeos: Nodeos, clock: Clock, timeout_s: float) -> checks.PausedProbed:
    """Ask whether nodeos is paused; a main thread that hangs does not answer this."""
    asked = clock.boot()
    try:
        return checks.PausedProbed(asked, nodeos.paused(timeout_s))
    except NodeosError as error:
        return checks.PausedProbed(asked, None, str(error))


@dataclass(eq=False)
class MainThreadLook:
    """Asks whether nodeos is paused, and at a silence at once the gate too, where there is one: when it last signed.

    What the gate says is told first, so that both are judged together (`frozen`).
    """

    _nodeos: Nodeos
    _clock: Clock
    _gate: GateWatch | None
    _emit: Emit
    _wait: Callable[[float], object]

    def look(self, timeout_s: float) -> checks.PausedProbed:
        """Ask once."""
        found = paused(self._nodeos, self._clock, timeout_s)
        if found.paused is None and self._gate is not None:
            said = self._gate.look()
            left = self._missed_in()
            if left > 0:
                self._wait(left / 1000)
                said = self._gate.look()
            if said is not None:
                self._emit(said)
        return found

    def _missed_in(self) -> Ms:
        """Return how long (ms) until the last signature is so old that another one was missed."""
        status = self._gate.seen.status if self._gate is not None else None
        if status is None or status.last_signature is None:
            return 0
        return status.last_signature + MISSED - self._clock.boot()


def info(nodeos: Nodeos, clock: Clock, timeout_s: float) -> checks.InfoProbed:
    """Ask for head and LIB."""
    try:
        found = nodeos.info(timeout_s)
    except NodeosError as error:
        return checks.InfoProbed(None, clock.wall(), str(error))
    return checks.InfoProbed(found, clock.wall())


def peers(nodeos: Nodeos, timeout_s: float) -> checks.PeersProbed:
    """Ask for peers."""
    try:
        return checks.PeersProbed(nodeos.peers(timeout_s))
    except NodeosAnswer as error:
        return checks.PeersProbed(None, str(error), missing=error.status == 404)
    except NodeosError as error:
        return checks.PeersProbed(None, str(error))


def schedule(nodeos: Nodeos, timeout_s: float) -> checks.ScheduleProbed:
    """Ask for the active schedule."""
    try:
        return checks.ScheduleProbed(nodeos.schedule(timeout_s))
    except NodeosError as error:
        return checks.ScheduleProbed(None, str(error))


class FinalityLook:
    """Asks for finalizers and votes; a nodeos that knows no such question is asked seldom, for it may be replaced."""

    def __init__(self, nodeos: Nodeos) -> None:
        self._nodeos = nodeos
        self._skip = 0

    def look(self, timeout_s: float) -> FinalityProbed | None:
        """Ask once; None when it was not asked."""
        if self._skip:
            self._skip -= 1
            return None
        try:
            return FinalityProbed(self._nodeos.finality(timeout_s))
        except NodeosAnswer as error:
            self._skip = SELDOM if error.status == NO_SUCH_QUESTION else 0
            return FinalityProbed(None, str(error), missing=bool(self._skip))
        except NodeosError as error:
            return FinalityProbed(None, str(error))


def disk(path: Path) -> checks.DiskProbed:
    """Look at the file system of nodeos's data directory. A hung file system hangs only this probe."""
    try:
        found = os.statvfs(path)
    except OSError as error:
        return checks.DiskProbed(0, 0, f"{path}: {error.strerror}")
    return checks.DiskProbed(found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize)


def runtime_file(file: RuntimeFile) -> checks.FileProbed:
    """Write a file of some size beside the run-time file: a directory that is full shows before the lead is won."""
    try:
        file.try_write()
    except OSError as error:
        return checks.FileProbed(f"{error.strerror or error}")
    except GateError as error:
        return checks.FileProbed(str(error))
    return checks.FileProbed()


def gate(seen: GateReading) -> checks.GateProbed:
    """Tell what was heard of the signing gate: it can sign when it holds our permit page and has keosd with the key."""
    found = seen.status
    if found is None:
        return checks.GateProbed(seen.at, seen.error)
    why = "" if found.holds else "it does not hold the permit page of this node: see gate.* and runtime.dir"
    why = why or (f"it refuses the permit page of this node: {found.refuses}" if found.refuses else "")
    why = why or ("" if found.keosd == READY else f"keosd: {found.keosd}")
    return checks.GateProbed(seen.at, why, found.started, found.last_signature)


class ProcessWatch:
    """Finds the nodeos process and waits for its end: a crash is known at once, not at the next poll."""

    def __init__(self, fence: Fence, wait: Callable[[float], object]) -> None:
        self._fence = fence
        self._wait = wait
        self._handle: ProcessHandle | None = None
        self._gone = False  # nobody was there when we could tell last

    def look(self) -> checks.ProcessProbed | None:
        """Look once; blocks for a second at most while the process lives."""
        if self._handle is None:
            return self._find()
        if not self._handle.wait_gone(ALIVE_S):
            return checks.ProcessProbed(self._handle.id, cpu=process.cpu_ms(self._handle.id.pid))
        self._handle.close()
        self._handle = None
        self._gone = True
        return checks.ProcessProbed(None)

    def _find(self) -> checks.ProcessProbed:
        """Look for a process. One that may have come since nobody was there is reported, though nobody knows it."""
        try:
            self._handle = self._fence.find()
        except FenceError as error:
            self._wait(FIND_S)
            unknown, self._gone = NOBODY_KNOWS if self._gone else None, False
            return checks.ProcessProbed(unknown, str(error))
        if self._handle is None:
            self._gone = True
            self._wait(FIND_S)
            return checks.ProcessProbed(None)
        self._gone = False
        return checks.ProcessProbed(self._handle.id)
