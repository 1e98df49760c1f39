"""Ending the nodeos process and seeing it gone (port `Fence`). Standard library only: the guard uses it too.

How the process is found is one question, how it is ended another: by signals to the very process, or by a command of
the operator. Whatever is done, only a process that was seen to be gone counts.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from agent.adapters import listener, process
from agent.adapters.deadline import Deadline
from agent.adapters.endpoint import Endpoint, parse_endpoint
from agent.adapters.names import Names
from agent.adapters.process import Held
from agent.core.chain import ProcessId
from agent.errors import FenceError

LOOK_S = 2.0
"""Total deadline for finding the process: systemd and a resolver may have to be asked."""
KILL_S = 0.2
"""What SIGTERM always leaves of the deadline to SIGKILL."""
REAP_S = 0.1
"""For a command that was killed to be gone."""


@dataclass(frozen=True, slots=True)
class FencePlan:
    """How nodeos is found and ended, as data: it also goes into the run-time file for the guard.

    Found by the first of `pid_file`, `unit`, and whoever listens at `url`; who listens is looked at in any case, and
    must not contradict. Ended by `command` if there is one (it must end within the deadline; exit code 0 counts only if
    the process, where it could be found, is gone), else by signals. `enabled` False: nothing is ever ended.
    """

    url: str
    pid_file: str = ""
    unit: str = ""
    command: tuple[str, ...] = ()
    enabled: bool = True


class ProcessFence:
    """Finds nodeos and ends it. The process that was found last is the one that is ended. Safe from several threads."""

    def __init__(self, plan: FencePlan, known: ProcessId | None = None) -> None:
        self._plan = plan
        self._endpoint: Endpoint = parse_endpoint(plan.url)
        self._names = Names()
        self._lock = threading.Lock()
        self._known = known

    def find(self) -> Held | None:
        """Find the process. FenceError when that can not be told."""
        held = self._look(Deadline(LOOK_S))
        if held is not None:
            with self._lock:
                self._known = held.id
        return held

    def _look(self, deadline: Deadline) -> Held | None:
        plan = self._plan
        if not plan.pid_file and not plan.unit:
            return self._listener(deadline)
        held = process.by_pid_file(plan.pid_file) if plan.pid_file else process.by_unit(plan.unit, deadline)
        agreed: Held | None = None
        try:
            agreed = self._agreed(held, deadline)
        finally:
            if held is not None and held is not agreed:
                held.close()
        return agreed

    def _listener(self, deadline: Deadline) -> Held | None:
        """Find the process by who listens at nodeos's address."""
        found = listener.listeners(self._endpoint, self._names, deadline)
        if not found:
            try:
                listener.see_that_nobody_answers(self._endpoint, self._names, deadline)
            except FenceError:
                found = listener.listeners(self._endpoint, self._names, deadline)  # it may just have begun to listen
                if not found:
                    raise
            else:
                return None
        proxies = [name for held in found if (name := listener.proxy(held.id.pid))]
        if len(found) == 1 and not proxies:
            return found[0]
        pids = ", ".join(str(held.id.pid) for held in found)
        for held in found:
            held.close()
        if proxies:
            raise FenceError(f"{proxies[0]} listens on {self._endpoint}, which only forwards: {listener.REMEDY}")
        raise FenceError(f"several processes (pids {pids}) listen on {self._endpoint}: {listener.REMEDY}")

    def _agreed(self, held: Held | None, deadline: Deadline) -> Held | None:
        """Return the process that the operator's setting names, `held`, unless who listens speaks against it."""
        plan = self._plan
        stale = held is not None and bool(plan.pid_file) and process.is_stale(plan.pid_file, held.id)
        try:
            found = listener.listeners(self._endpoint, self._names, deadline)
        except listener.Untold:
            if held is None or stale:
                raise
            return held  # the setting is all that there is
        for each in found:
            each.close()
        listening = [each.id for each in found if not listener.proxy(each.id.pid)]
        if held is not None and held.id in listening:
            return held
        if stale:
            held = None
        if not listening:
            return _alone(held)
        for each_id in listening:
            if held is not None and process.descends(each_id.pid, held.id.pid):
                return process.hold(each_id)  # nodeos itself, behind its start script
        who = f"pid {held.id.pid}" if held is not None else "no process"
        named = f"fence.pid_file {plan.pid_file}" if plan.pid_file else f"fence.unit {plan.unit}"
        raise FenceError(f"{named} names {who}, but pid {listening[0].pid} listens on {self._endpoint}: correct one")

    def stop(self, term_s: float, timeout_s: float) -> str:
        """End the process and see it gone within `timeout_s` seconds; SIGTERM first for `term_s` seconds."""
        deadline = Deadline(timeout_s)
        with self._lock:
            known = self._known
        held, unseen = self._hold(known, deadline)
        if held is None and not unseen:
            return "was gone already"
        try:
            if not self._plan.enabled:
                raise FenceError("fence.method is none: nodeos may not be ended; stop it by hand, now")
            if self._plan.command:
                return self._command(deadline, held)
            assert held is not None
            return _by_signals(held, term_s, deadline)
        finally:
            if held is not None:
                held.close()

    def _hold(self, known: ProcessId | None, deadline: Deadline) -> tuple[Held | None, bool]:
        """Return the process, and whether it could not be seen: then only a command can end it."""
        if known is not None:
            return process.hold(known), False
        try:
            held = self._look(deadline)
        except FenceError:
            if self._plan.command:
                return None, True
            raise
        return held, held is None and bool(self._plan.command)

    def _command(self, deadline: Deadline, held: Held | None) -> str:
        """Run the operator's command in a process group of its own, which does not outlive the deadline."""
        try:
            started = subprocess.Popen(
                self._plan.command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                env=_clean(os.environ),
            )
        except OSError as error:
            raise FenceError(f"fence.command {self._plan.command[0]} could not be started: {error}") from error
        try:
            code = started.wait(deadline.remaining())
        except subprocess.TimeoutExpired as error:
            _kill_group(started)
            if held is not None and held.wait_gone(0.0):
                return "ended by fence.command, which itself did not end in time"
            raise FenceError("fence.command did not end in time, and nodeos was not seen to be gone") from error
        if held is not None and not held.wait_gone(deadline.remaining()):
            raise FenceError(f"fence.command ended with {code}, but nodeos (pid {held.id.pid}) is still there")
        if held is None and code != 0:
            raise FenceError(f"fence.command ended with {code}, and nodeos could not be seen to be gone")
        return f"ended by fence.command (exit code {code})"


def _alone(held: Held | None) -> Held | None:
    """Return a process that listens nowhere (it may still be replaying), unless it can not be nodeos."""
    if held is not None and process.runs_others(held.id.pid):
        raise FenceError(
            f"pid {held.id.pid} has started other programs and does not listen, so it is a start script and not "
            "nodeos: end the script with `exec nodeos …`"
        )
    return held


def _clean(environ: Mapping[str, str]) -> dict[str, str]:
    """Leave our own settings out of a command's environment: there may be secrets among them."""
    return {key: value for key, value in environ.items() if not key.startswith("NODEOS_FAILOVER_")}


def _kill_group(started: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(started.pid, signal.SIGKILL)
    with suppress(subprocess.TimeoutExpired):  # it hangs in the kernel; nothing of it runs any more
        started.wait(REAP_S)


def _by_signals(held: Held, term_s: float, deadline: Deadline) -> str:
    term = min(term_s, deadline.remaining() - KILL_S)
    if term > 0 and not held.stopped():
        held.signal(signal.SIGTERM)
        if held.wait_gone(term):
            return "ended by SIGTERM"
    held.signal(signal.SIGKILL)
    if held.wait_gone(deadline.remaining()):
        return "ended by SIGKILL"
    raise FenceError(f"nodeos (pid {held.id.pid}) is still there after SIGKILL: it hangs in the kernel")
