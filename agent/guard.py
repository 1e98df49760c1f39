"""The guard: a small process beside the agent that stops nodeos when the agent can not (R3).

It reads the run-time file. When the confirmation that stands there is about to run out and has not been renewed, the
agent is dead, frozen or cut off: the guard pauses nodeos, and ends the process if it is not seen to be paused. An agent
that is well does the same at the same moment; to pause twice harms nobody, and before it kills the guard reads again.

Standard library only, and few of its modules: it has an address space of its own, starts fast, and depends on
nothing that can hang but the file and nodeos. It is started as `python -m agent.guard FILE AGENT_PID`, with a pipe as
standard input whose other end the agent holds; the end of that pipe is the end of the agent.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.adapters.clock import SystemClock
from agent.adapters.deadline import Deadline
from agent.adapters.endpoint import Endpoint, parse_endpoint
from agent.adapters.fence import FencePlan, ProcessFence
from agent.adapters.tiny_http import call
from agent.core import records
from agent.core.chain import ProcessId
from agent.core.fields import RecordError, an_object, flag, number, text, texts
from agent.errors import ConfigError, FailoverError

LOOK_S = 0.5
"""How often the run-time file is read while nothing is due; a tenure begins seconds before anything can be due."""
AGAIN_S = 0.5
"""Between two tries when nodeos could not be stopped."""
TELL_S = 0.2
"""How long the last words of a guard that ends may take."""
ARMED = ("held", "stopping")
LONGEST_MS = 600_000
"""No span can be configured longer."""
LONGEST = 64 * 1024
"""Nothing that is read is longer: nothing is cut."""


@dataclass(frozen=True, slots=True)
class Armed:
    """What has to be stopped at `stop_by` (ms of CLOCK_BOOTTIME), and how. `process` None: it is not known."""

    epoch: int
    stop_by: int
    resume_open: bool
    process: ProcessId | None
    producer: Endpoint
    plan: FencePlan
    pause_s: float
    kill_s: float


class Guard:
    """What the guard knows. `look` is one round; it returns how long to wait for the next, None to end."""

    def __init__(self, path: Path, agent_pid: int) -> None:
        self._path = path
        self._agent_pid = agent_pid
        self._clock = SystemClock()
        self._boot_id = self._clock.boot_id()
        self._armed: Armed | None = None
        self._agent = agent_pid  # whose file it is
        self._done: Armed | None = None  # what was acted upon
        self._voice = Voice()
        self.agent_lives = True

    def look(self) -> float | None:
        """Look at the file, and act when it is time."""
        self._read()
        armed = self._armed
        if armed is None or armed == self._done:
            return self._idle()
        if not self.agent_lives and self._agent != self._agent_pid:
            return None  # a new agent has written the file, and has a guard of its own
        wait_ms = armed.stop_by - self._clock.boot()
        if wait_ms > 0:
            return min(LOOK_S, wait_ms / 1000)
        try:
            how = self._stop(armed)
        except (FailoverError, OSError) as error:
            self._voice.say(f"nodeos could NOT be stopped, stop it by hand: {error}")
            return AGAIN_S
        if not how:
            return 0.0
        self._voice.say(f"epoch {armed.epoch} was not confirmed in time: {how}")
        self._done = armed
        return self._idle()

    def _idle(self) -> float | None:
        if self.agent_lives:
            return LOOK_S
        self._voice.end()
        return None

    def _read(self) -> None:
        """Read the file. What can not be read proves nothing: then what stood there last counts, as long as it does.

        An agent that ends well leaves an empty file; one that is not there was taken away by somebody else.
        """
        try:
            raw = self._path.read_bytes()
            record = records.read_runtime(raw) if raw else None
            held = record is not None and record.state in ARMED and record.boot_id == self._boot_id
            self._armed = _armed(raw, record) if record and held else None
            self._agent = record.agent_pid if record else self._agent_pid
        except FileNotFoundError:
            return
        except (OSError, RecordError, ConfigError) as error:
            self._voice.say(f"the run-time file {self._path} can not be read: {error}")

    def _stop(self, armed: Armed) -> str:
        """Stop nodeos and prove it (R3, R4); return how, nothing when there is no reason any more.

        A pause proves nothing while a resume is unanswered; then the process has to go. FenceError when it stays.
        """
        if not armed.resume_open and _is_paused(armed):
            return "nodeos is paused"
        self._read()
        if self._armed != armed:
            return ""  # it was confirmed, or proven stopped, meanwhile
        return "nodeos " + ProcessFence(armed.plan, armed.process).stop(0.0, armed.kill_s)


def _armed(raw: bytes, record: records.RuntimeRecord) -> Armed:
    """Read what is to be stopped, and how. RecordError or ConfigError name what can not be read."""
    guard = _table(an_object(raw, "run-time file"), "guard")
    plan = _table(guard, "plan")
    url = text(plan, "url", limit=LONGEST)
    parse_endpoint(url)
    return Armed(
        record.epoch,
        record.stop_by,
        record.resume_open,
        record.process if record.process is not None and record.process.pid else None,
        parse_endpoint(text(guard, "producer_url", limit=LONGEST)),
        FencePlan(
            url,
            text(plan, "pid_file", limit=LONGEST),
            text(plan, "unit", limit=LONGEST),
            texts(plan, "command", LONGEST, LONGEST),
            flag(plan, "enabled"),
        ),
        number(guard, "pause_ms", below=LONGEST_MS) / 1000,
        number(guard, "kill_ms", below=LONGEST_MS) / 1000,
    )


def _table(value: dict[str, Any], name: str) -> dict[str, Any]:
    found = value.get(name)
    if not isinstance(found, dict):
        raise RecordError(f"{name}: expected an object")
    return found


def _is_paused(armed: Armed) -> bool:
    """Pause nodeos, and ask whether it is. The block in flight is over some time after that, whatever anybody does."""
    try:
        status, _ = call(armed.producer, "/v1/producer/pause", armed.pause_s)
        if not 200 <= status < 300:
            return False
        status, body = _ask_paused(armed)
    except (FailoverError, OSError):
        return False
    return 200 <= status < 300 and body.strip() == b"true"


def _ask_paused(armed: Armed) -> tuple[int, bytes]:
    """Ask where a pause is taken, and where that is unknown (a listener for producer_rw alone), where the rest is."""
    deadline = Deadline(armed.pause_s)
    status, body = call(armed.producer, "/v1/producer/paused", armed.pause_s)
    if status == 404 and (other := parse_endpoint(armed.plan.url)) != armed.producer:
        return call(other, "/v1/producer/paused", deadline.remaining())
    return status, body


class Voice:
    """Writes lines to standard error without ever waiting for its reader; what it is late with is not said."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None

    def say(self, text: str) -> None:
        """Write one line, unless the one before is still stuck."""
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._write, args=(text,), daemon=True)
            self._thread.start()

    def end(self) -> None:
        """Give the last line a moment."""
        if self._thread is not None:
            self._thread.join(TELL_S)

    @staticmethod
    def _write(text: str) -> None:
        try:
            os.write(2, f"nodeos-failover guard: {text}\n".encode(errors="replace"))
        except OSError:
            return  # nobody reads it: no reason to stop guarding


def main(arguments: list[str]) -> int:
    """Guard until there is nothing left to guard."""
    for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(each, lambda *_: None)  # not SIG_IGN: that would go on to a command that we run
    guard = Guard(Path(arguments[0]), int(arguments[1]))
    poll = select.poll()
    poll.register(0, select.POLLIN)
    while (wait := guard.look()) is not None:
        if not guard.agent_lives:
            time.sleep(wait)
        elif poll.poll(wait * 1000) and not os.read(0, 1):
            guard.agent_lives = False
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
