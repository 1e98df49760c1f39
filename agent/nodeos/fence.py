"""Ending the nodeos process and seeing it gone (port `Fence`). Standard library only: the guard uses it too.

How the process is found is one question, how it is ended another: by signals to the very process, or by a command of
the operator. Whatever is done, only a process that was known to be nodeos and seen to be gone counts (R4).
"""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress

from agent.core.model.chain import ProcessId
from agent.errors import FenceError
from agent.host import process
from agent.host.deadline import Deadline
from agent.host.process import Held
from agent.net.endpoint import Endpoint
from agent.net.resolver import Resolver
from agent.nodeos import listener
from agent.nodeos.finder import FencePlan, Finder

LOOK_S = 2.0
"""Total deadline for finding the process: systemd and a resolver may have to be asked."""
KILL_S = 0.2
"""What SIGTERM always leaves of the deadline to SIGKILL."""
REAP_S = 0.1
"""For a command that was killed to be gone."""
OURS = "NODEOS_FAILOVER_"
"""Settings in the environment, which a command does not get: there may be secrets among them."""


class ProcessFence:
    """Finds nodeos and ends it. The process that was found last is the one that is ended. Safe from several threads.

    `known`: what another one has found before.
    """

    def __init__(self, plan: FencePlan, known: ProcessId | None = None) -> None:
        self._plan = plan
        self._finder = Finder(plan, known)

    def find(self) -> Held | None:
        """Find the process; None: the one that was known is gone. FenceError when neither can be told."""
        return self._finder.find(Deadline(LOOK_S))

    def astray(self, endpoint: Endpoint, names: Resolver, deadline: Deadline) -> str:
        """Return why a request to `endpoint` did not reach the process that was found last (see `listener.astray`)."""
        known = self._finder.known
        return "" if known is None else listener.astray(endpoint, names, deadline, known, self._plan.executable)

    def stop(self, term_s: float, timeout_s: float) -> str:
        """End the process and see it gone within `timeout_s` seconds; SIGTERM first for `term_s` seconds."""
        deadline = Deadline(timeout_s)
        known = self._finder.known
        try:
            held = self._finder.find(deadline) if known is None else process.hold(known)
        except FenceError:
            if known is not None or not self._plan.command:
                raise
            return self._command(deadline, None)  # only a command can end what cannot be seen
        if held is None:
            return "was gone already"
        try:
            if not self._plan.enabled:
                raise FenceError("fence.method is none: nodeos may not be ended; stop it by hand, now")
            if self._plan.command:
                return self._command(deadline, held)
            return _by_signals(held, term_s, deadline)
        finally:
            held.close()

    def _command(self, deadline: Deadline, held: Held | None) -> str:
        """Run the operator's command in a process group of its own, which does not outlive the deadline."""
        try:
            started = subprocess.Popen(
                self._plan.command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                env={key: text for key, text in os.environ.items() if not key.startswith(OURS)},
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
