"""Ending the nodeos process and seeing it gone (port `Fence`). Standard library only: the guard uses it too.

How the process is found is one question, how it is ended another: by signals to the very process, by systemd, or by
a command of the operator. Whatever is done, only a process that was seen to be gone counts.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from agent.adapters import process
from agent.adapters.endpoint import Endpoint, parse_endpoint
from agent.adapters.process import Held
from agent.core.chain import ProcessId
from agent.errors import FenceError


@dataclass(frozen=True, slots=True)
class FencePlan:
    """How nodeos is found and ended, as data: it also goes into the run-time file for the guard.

    Found by the first of `pid_file`, `unit`, and whoever listens at `url`. Ended by `command` if there is one (it must
    end within the deadline; exit code 0 counts only if the process, where it could be found, is gone), else by
    signals. `enabled` False: nothing is ever ended.
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
        self._lock = threading.Lock()
        self._known = known

    def find(self) -> Held | None:
        """Find the process. FenceError when that can not be told."""
        held = self._look()
        if held is not None:
            with self._lock:
                self._known = held.id
        return held

    def _look(self) -> Held | None:
        plan = self._plan
        if plan.pid_file:
            return process.by_pid_file(plan.pid_file)
        if plan.unit:
            return process.by_unit(plan.unit)
        if self._endpoint.path:
            return process.by_socket(self._endpoint.path)
        return process.by_tcp(self._endpoint.host, self._endpoint.port)

    def stop(self, term_s: float, timeout_s: float) -> str:
        """End the process and see it gone within `timeout_s` seconds; SIGTERM first for `term_s` seconds."""
        end = time.monotonic() + timeout_s
        if not self._plan.enabled:
            raise FenceError("fence.method is none: nodeos may not be ended; stop it by hand, now")
        with self._lock:
            known = self._known
        held = process.hold(known) if known is not None else self._look()
        if held is None and known is None and self._plan.command:
            return self._command(end, None)
        if held is None:
            return "was gone already"
        try:
            if self._plan.command:
                return self._command(end, held)
            return _by_signals(held, term_s, end)
        finally:
            held.close()

    def _command(self, end: float, held: Held | None) -> str:
        """Run the operator's command in a process group of its own, which does not outlive the deadline."""
        started = subprocess.Popen(
            self._plan.command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env=_clean(os.environ),
        )
        try:
            code = started.wait(max(0.0, end - time.monotonic()))
        except subprocess.TimeoutExpired as error:
            _kill_group(started)
            raise FenceError("fence.command did not end in time") from error
        if held is not None and not held.wait_gone(end - time.monotonic()):
            raise FenceError(f"fence.command ended with {code}, but nodeos (pid {held.id.pid}) is still there")
        if held is None and code != 0:
            raise FenceError(f"fence.command ended with {code}, and nodeos could not be seen to be gone")
        return f"ended by fence.command (exit code {code})"


def _clean(environ: Mapping[str, str]) -> dict[str, str]:
    """Leave our own settings out of a command's environment: there may be secrets among them."""
    return {key: value for key, value in environ.items() if not key.startswith("NODEOS_FAILOVER_")}


def _kill_group(started: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(started.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    started.wait(1.0)


def _by_signals(held: Held, term_s: float, end: float) -> str:
    steps: Sequence[tuple[signal.Signals, Callable[[], float]]] = [
        (signal.SIGTERM, lambda: min(term_s, end - time.monotonic())),
        (signal.SIGKILL, lambda: end - time.monotonic()),
    ]
    if term_s <= 0 or held.stopped():
        steps = steps[1:]
    for number, wait in steps:
        held.signal(number)
        if held.wait_gone(wait()):
            return f"ended by {number.name}"
    raise FenceError(f"nodeos (pid {held.id.pid}) is still there after SIGKILL: it hangs in the kernel")
