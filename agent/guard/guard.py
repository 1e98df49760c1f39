"""The guard: a small process beside the agent that stops nodeos when the agent cannot (R3).

It reads the run-time file. When the confirmation that stands there is about to run out and has not been renewed, the
agent is dead, frozen or cut off: the guard pauses nodeos, and ends the process if it is not seen to be paused. An agent
that is well does the same at the same moment; to pause twice harms nobody, and before it kills the guard reads again.
Where a signing gate is required nobody is killed: the gate lets nothing pass from V - G on, with the agent dead too.

Standard library only, and few of its modules: it has an address space of its own, starts fast, and depends on
nothing that can hang but the file and nodeos. It is started as `python -m agent.guard FILE AGENT_PID`, with a pipe as
standard input whose other end the agent holds; the end of that pipe is the end of the agent.
"""

from __future__ import annotations

import os
import select
import signal
import time
from contextlib import suppress
from pathlib import Path

from agent.core.model.chain import ProcessId
from agent.core.model.fields import RecordError
from agent.core.model.store import Ms
from agent.errors import ConfigError, FailoverError
from agent.guard.stop import Pending, read
from agent.host.clock import SystemClock
from agent.host.process import hold
from agent.host.stderr import Voice

LOOK_S = 0.5
"""How often the run-time file is read while nothing is due; a tenure begins seconds before anything can be due."""
AGAIN_S = 0.5
"""Between two tries when nodeos could not be stopped."""
SAY_AGAIN: Ms = 60_000
"""The same words are not said sooner again."""


class Guard:
    """What the guard knows. `look` is one round; it returns how long to wait for the next, None to end."""

    def __init__(self, path: Path, agent_pid: int) -> None:
        self._path = path
        self._agent_pid = agent_pid
        self._clock = SystemClock()
        self._boot_id = self._clock.boot_id()
        self._armed: Pending | None = None
        self._agent = agent_pid  # whose file it is
        self._done: Pending | None = None  # what was acted upon
        self._said: dict[str, Ms] = {}  # when each line was said
        self._voice = Voice()
        self.agent_lives = True

    def look(self) -> float | None:
        """Look at the file, and act when it is time."""
        self._read()
        pending = self._armed
        if pending is None or pending == self._done:
            return self._idle()
        if not self.agent_lives and self._agent != self._agent_pid:
            return None  # a new agent has written the file, and has a guard of its own
        wait_ms = pending.stop_by - self._clock.boot()
        if wait_ms > 0:
            return min(LOOK_S, wait_ms / 1000)
        if pending.means.gated:
            return self._pause(pending)
        try:
            how = self._stop(pending)
        except (FailoverError, OSError) as error:
            self._say(f"nodeos could NOT be stopped, stop it by hand: {error}")
            return AGAIN_S
        if not how:
            return 0.0
        self._say(f"epoch {pending.epoch} was not confirmed in time: {how}")
        self._done = pending
        return self._idle()

    def _pause(self, pending: Pending) -> float | None:
        """Pause a nodeos that signs nothing any more, again and again: what is to be stopped here has stopped."""
        if not pending.means.paused() and not _gone(pending.process):
            self._say(f"epoch {pending.epoch} is over, nodeos takes no pause; its gate signs nothing")
            return AGAIN_S
        self._say(f"epoch {pending.epoch} was not confirmed in time: nodeos is paused, or gone")
        self._done = pending
        return self._idle()

    def _say(self, text: str) -> None:
        """Say it, unless that was said a moment ago: the agent writes its file again while it stops, too."""
        now = self._clock.boot()
        self._said = {line: at for line, at in self._said.items() if now < at + SAY_AGAIN}
        if text not in self._said:
            self._said[text] = now
            self._voice.say(text)

    def _idle(self) -> float | None:
        if self.agent_lives:
            return LOOK_S
        self._voice.end()
        return None

    def _read(self) -> None:
        """Read file and page. What cannot be read proves nothing: what was read last counts, as long as it does.

        An agent that ends well leaves an empty file; one that is not there was taken away by an operator.
        A guard without a tenure goes by the file alone where the page cannot be read: its V is an older one.
        """
        try:
            found = read(self._path, self._boot_id, anew=self._armed is None)
            self._armed = found.armed
            self._agent = found.agent_pid or self._agent_pid
        except FileNotFoundError:
            return
        except (OSError, RecordError, ConfigError) as error:
            self._say(f"the run-time file {self._path} cannot be read: {error}")

    def _stop(self, pending: Pending) -> str:
        """Stop nodeos and prove it (R3, R4); return how, nothing when there is no reason any more.

        A pause proves nothing while a resume is unanswered; then the process has to go. FenceError when it stays.
        """
        if not pending.resume_open and pending.means.paused(pending.process):
            return "nodeos is paused"
        self._read()
        if self._armed != pending:
            return ""  # it was confirmed, or proven stopped, meanwhile
        return pending.means.end(pending.process)


def _gone(found: ProcessId | None) -> bool:
    """Tell whether a process that is known is gone."""
    if found is None:
        return False
    try:
        held = hold(found)
    except FailoverError:
        return False  # it cannot be told
    if held is None:
        return True
    held.close()
    return False


def main(arguments: list[str]) -> int:
    """Guard until there is nothing left to guard."""
    for each in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(each, lambda *_: None)  # not SIG_IGN: that would go on to a command that we run
    guard = Guard(Path(arguments[0]), int(arguments[1]))
    poll = select.poll()
    poll.register(0, select.POLLIN)
    with suppress(OSError):
        os.write(1, b".")  # the fence that started us for an agent that is gone wants to know that we guard
    while (wait := guard.look()) is not None:
        if not guard.agent_lives:
            time.sleep(wait)
        elif poll.poll(wait * 1000) and not os.read(0, 1):
            guard.agent_lives = False
    return 0
