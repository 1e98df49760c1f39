"""Looking at nodeos and its host, again and again: each look is one function from an adapter to a probe event."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from agent.core.health import DiskProbed, InfoProbed, PausedProbed, PeersProbed, ProcessProbed, ScheduleProbed
from agent.errors import FenceError, NodeosAnswer, NodeosError
from agent.ports import Clock, Fence, Nodeos, ProcessHandle

FIND_S = 0.25
"""How often a nodeos process is looked for while there is none."""
ALIVE_S = 1.0
"""How often a live one is reported again."""


def paused(nodeos: Nodeos, clock: Clock, timeout_s: float) -> PausedProbed:
    """Ask whether nodeos is paused; a main thread that hangs does not answer this."""
    asked = clock.boot()
    try:
        return PausedProbed(asked, nodeos.paused(timeout_s))
    except NodeosError as error:
        return PausedProbed(asked, None, str(error))


def info(nodeos: Nodeos, clock: Clock, timeout_s: float) -> InfoProbed:
    """Ask for head and LIB."""
    try:
        found = nodeos.info(timeout_s)
    except NodeosError as error:
        return InfoProbed(None, clock.wall(), str(error))
    return InfoProbed(found, clock.wall())


def peers(nodeos: Nodeos, timeout_s: float) -> PeersProbed:
    """Ask for peers."""
    try:
        return PeersProbed(nodeos.peers(timeout_s))
    except NodeosAnswer as error:
        return PeersProbed(None, str(error), missing=error.status == 404)
    except NodeosError as error:
        return PeersProbed(None, str(error))


def schedule(nodeos: Nodeos, timeout_s: float) -> ScheduleProbed:
    """Ask for the active schedule."""
    try:
        return ScheduleProbed(nodeos.schedule(timeout_s))
    except NodeosError as error:
        return ScheduleProbed(None, str(error))


def disk(path: Path) -> DiskProbed:
    """Look at the file system of nodeos's data directory. A hung file system hangs only this probe."""
    try:
        found = os.statvfs(path)
    except OSError as error:
        return DiskProbed(0, 0, f"{path}: {error.strerror}")
    return DiskProbed(found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize)


class ProcessWatch:
    """Finds the nodeos process and waits for its end: a crash is known at once, not at the next poll."""

    def __init__(self, fence: Fence, wait: Callable[[float], object]) -> None:
        self._fence = fence
        self._wait = wait
        self._handle: ProcessHandle | None = None

    def look(self) -> ProcessProbed | None:
        """Look once; blocks for a second at most while the process lives."""
        if self._handle is None:
            try:
                self._handle = self._fence.find()
            except FenceError as error:
                self._wait(FIND_S)
                return ProcessProbed(None, str(error))
            if self._handle is None:
                self._wait(FIND_S)
                return ProcessProbed(None)
            return ProcessProbed(self._handle.id)
        if not self._handle.wait_gone(ALIVE_S):
            return ProcessProbed(self._handle.id)
        self._handle.close()
        self._handle = None
        return ProcessProbed(None)
