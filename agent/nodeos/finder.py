"""Finding the process that is nodeos for sure. Standard library only: the guard uses it, and must start fast.

What listens at nodeos's address may be a forwarder (a web server, a container's proxy, a tunnel), and what a unit or a
pid file names may be a container's client: when such a process ends, nodeos goes on, so its end would be a false proof
of the stop (R4). nodeos is therefore known by its program. Its end is seen by a handle on that very process. That
nobody listens, or that a setting names no process, says only of a nodeos that was known before that it is gone; and no
other one takes the place of one that lives.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

from agent.core.model.chain import ProcessId
from agent.errors import FenceError
from agent.host import process
from agent.host.deadline import Deadline
from agent.host.process import Held
from agent.net.endpoint import Endpoint, parse_endpoint
from agent.net.resolver import Resolver
from agent.nodeos import listener

REMEDY = (
    "name nodeos itself by fence.pid_file or fence.unit, or its nodeos.data_dir (the agent has to share its process "
    "namespace); if this is nodeos under another name, set fence.executable; if it cannot be seen, what ends it by "
    "fence.command, with health.process.enabled = false"
)
DATABASE = "state/shared_memory.bin"
"""What nodeos locks, below its data directory, for as long as it runs (chainbase, since EOSIO 1.8)."""
EXECUTABLE = "nodeos"
"""The file name of the program in every release from EOSIO 1.8 to Spring 1.3."""


@dataclass(frozen=True, slots=True)
class FencePlan:
    """How nodeos is found and ended, as data: it also goes into the run-time file for the guard.

    Found by the first of `pid_file`, `unit`, and the listener at `url`; who listens is looked at in any case, and must
    not contradict. Behind a forwarder the lock of the database in `data_dir` tells, or must not contradict. Only a
    process that runs `executable`, a file name or a whole path, is nodeos. Ended by `command` if there is one (it must
    end within the deadline; exit code 0 counts only if the process, where it could be found, is gone), else by signals.
    `enabled` False: nothing is ever ended.
    """

    url: str
    pid_file: str = ""
    unit: str = ""
    command: tuple[str, ...] = ()
    enabled: bool = True
    executable: str = EXECUTABLE
    data_dir: str = ""


class Finder:
    """Finds nodeos, and remembers it. Safe from several threads. `known`: what another one has found before."""

    def __init__(self, plan: FencePlan, known: ProcessId | None = None) -> None:
        self._plan = plan
        self._endpoint: Endpoint = parse_endpoint(plan.url)
        self._names = Resolver()
        self._lock = threading.Lock()
        self._known = known
        self._setting = f"fence.pid_file {plan.pid_file}" if plan.pid_file else f"fence.unit {plan.unit}"

    @property
    def known(self) -> ProcessId | None:
        """Return the nodeos that was found last."""
        with self._lock:
            return self._known

    def find(self, deadline: Deadline) -> Held | None:
        """Return nodeos; None: the one that was known is gone. FenceError when neither can be told."""
        known = self.known
        try:
            found = self._identify(deadline) or known
        except FenceError:
            self._forget(known)
            raise
        if found is None:
            named = self._plan.pid_file or self._plan.unit
            seen = f"{self._setting} names no process" if named else f"nobody listens on {self._endpoint}"
            raise FenceError(f"{seen}, and nodeos was not seen before: nothing proves that it is gone")
        if known not in (None, found) and (held := process.hold(known)) is not None:
            held.close()
            raise FenceError(
                f"pid {found.pid} is where nodeos was, and the one found before (pid {known.pid}) goes on: end one"
            )
        with self._lock:
            self._known = found
        return process.hold(found)

    def _forget(self, known: ProcessId | None) -> None:
        """Forget a nodeos that is gone: what is there now cannot be told, and the end of the old one proves nothing."""
        held = process.hold(known) if known is not None else None
        if held is not None:
            held.close()
            return
        with self._lock:
            self._known = None

    def _identify(self, deadline: Deadline) -> ProcessId | None:
        """Return the process that is nodeos for sure, None when there is none where it would be."""
        if not self._plan.pid_file and not self._plan.unit:
            return self._by_listener(deadline)
        named, stale = self._named(deadline)
        try:
            heard = self._listening(deadline)
        except listener.Untold:
            if not named or stale:
                raise
            heard = []  # the setting is all that there is
        listening = [each for each, is_nodeos in heard if is_nodeos]
        agreed = [each for each in named if each in listening]
        if listening and not agreed:
            who = f"pid {named[0].pid}" if named else "no process"
            raise FenceError(
                f"{self._setting} names {who}, but pid {listening[0].pid} listens on {self._endpoint}: correct one"
            )
        found = agreed or ([] if stale else named)
        if len(found) > 1:
            raise FenceError(f"{self._setting} has started several nodeos (pids {_pids(found)}): name one of them")
        if not heard or agreed:
            return found[0] if found else None
        if not found:
            raise FenceError(f"{self._setting} names no process, but {self._stranger(heard[0][0])} listens: {REMEDY}")
        holder = self._by_lock()
        if holder not in (None, found[0]):
            raise FenceError(
                f"{self._setting} names pid {found[0].pid}, but nodeos.data_dir is of another: correct one"
            )
        return found[0]

    def _named(self, deadline: Deadline) -> tuple[list[ProcessId], bool]:
        """Return the nodeos that the operator's setting names, or that a start script named there has started.

        And whether the setting is a pid file that was written for an earlier process.
        """
        plan = self._plan
        held = process.by_pid_file(plan.pid_file) if plan.pid_file else process.by_unit(plan.unit, deadline)
        if held is None:
            return [], False
        with closing(held):
            stale = bool(plan.pid_file) and process.is_stale(plan.pid_file, held.id)
            found = [held.id] if held.runs(plan.executable) else process.below(held.id.pid, plan.executable)
        if not found and not stale:
            raise FenceError(f"{self._setting} names {self._stranger(held.id)} nor has it started one: {REMEDY}")
        return found, stale

    def _listening(self, deadline: Deadline) -> list[tuple[ProcessId, bool]]:
        """Return the processes that listen at nodeos's address, and whether each is nodeos."""
        found = listener.listeners(self._endpoint, self._names, deadline)
        with ExitStack() as held:
            for each in found:
                held.callback(each.close)
            return [(each.id, each.runs(self._plan.executable)) for each in found]

    def _by_listener(self, deadline: Deadline) -> ProcessId | None:
        found = self._listening(deadline)
        if not found:
            try:
                listener.see_that_nobody_answers(self._endpoint, self._names, deadline)
            except FenceError:
                found = self._listening(deadline)  # it may just have begun to listen
                if not found:
                    raise
            else:
                return None
        for each, is_nodeos in found:
            if not is_nodeos:
                if (holder := self._by_lock()) is not None:
                    return holder
                raise FenceError(f"{self._stranger(each)} listens on {self._endpoint}: {REMEDY}")
        if len(found) > 1:
            pids = _pids([each for each, _ in found])
            raise FenceError(f"several nodeos (pids {pids}) listen on {self._endpoint}: {listener.REMEDY}")
        return found[0][0]

    def _by_lock(self) -> ProcessId | None:
        """Return the nodeos that has locked the database in nodeos.data_dir, as only one can; None: none is seen."""
        held = process.by_lock(Path(self._plan.data_dir) / DATABASE) if self._plan.data_dir else None
        if held is None:
            return None
        with closing(held):
            return held.id if held.runs(self._plan.executable) else None

    def _stranger(self, found: ProcessId) -> str:
        return f"{process.comm(found.pid) or 'a program'} (pid {found.pid}), which is not {self._plan.executable},"


def _pids(found: Sequence[ProcessId]) -> str:
    return ", ".join(str(each.pid) for each in found)
