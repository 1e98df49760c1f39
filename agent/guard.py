"""The guard: a small process beside the agent that stops nodeos when the agent can not (R3).

It reads the run-time file. When the confirmation that stands there is about to run out and has not been renewed, the
agent is dead, frozen or cut off: the guard pauses nodeos, proves it, and ends the process if it can not be proven. An
agent that is well does the same at the same moment; to pause twice harms nobody.

Standard library only, and few of its modules: it has an address space of its own, starts fast, and depends on
nothing that can hang but the file and nodeos. It is started as `python -m agent.guard FILE AGENT_PID`, with a pipe as
standard input whose other end the agent holds; the end of that pipe is the end of the agent.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time
from pathlib import Path
from typing import Any

from agent.adapters.clock import SystemClock
from agent.adapters.endpoint import parse_endpoint
from agent.adapters.fence import FencePlan, ProcessFence
from agent.adapters.tiny_http import call
from agent.core.chain import ProcessId
from agent.errors import FailoverError

LOOK_S = 0.5
"""How often the run-time file is read while nothing is due; a tenure begins seconds before anything can be due."""
AGAIN_S = 0.5
"""Between two tries when nodeos could not be stopped."""
ARMED = ("held", "stopping")


class Guard:
    """What the guard knows. `look` is one round; it returns how long to wait for the next, None to end."""

    def __init__(self, path: Path, agent_pid: int) -> None:
        self._path = path
        self._agent_pid = agent_pid
        self._clock = SystemClock()
        self._boot_id = self._clock.boot_id()
        self._done: tuple[object, object] | None = None  # the confirmation that was acted upon
        self.agent_lives = True

    def look(self) -> float | None:
        """Look at the file, and act when it is time."""
        record = read(self._path)
        if record is None or record.get("state") not in ARMED or record.get("boot_id") != self._boot_id:
            return LOOK_S if self.agent_lives else None
        if not self.agent_lives and record.get("agent_pid") != self._agent_pid:
            return None  # a new agent has confirmed, and has a guard of its own
        this = (record.get("epoch"), record.get("stop_by"))
        if self._done == this:
            return LOOK_S if self.agent_lives else None
        wait_ms = int(record["stop_by"]) - self._clock.boot()
        if wait_ms > 0:
            return min(LOOK_S, wait_ms / 1000)
        try:
            say(f"epoch {record.get('epoch')} was not confirmed in time: {stop_nodeos(record)}")
        except (FailoverError, OSError, KeyError, TypeError, ValueError) as error:
            say(f"nodeos could NOT be stopped, stop it by hand: {error}")
            return AGAIN_S
        self._done = this
        return LOOK_S


def read(path: Path) -> dict[str, Any] | None:
    """Read the run-time file; None when there is none, or nothing that can be read."""
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def stop_nodeos(record: dict[str, Any]) -> str:
    """Stop the nodeos of a run-time record and prove it (R3, R4); return how. FenceError when it can not be proven.

    A pause proves nothing while a resume is unanswered; then the process has to go.
    """
    guard = record["guard"]
    if not record["resume_open"] and _paused(guard):
        return "nodeos is paused, and the block in flight is over"
    found = record["process"]
    known = ProcessId(int(found["pid"]), int(found["start_ticks"])) if found else None
    return "nodeos " + ProcessFence(_plan(guard["plan"]), known).stop(0.0, guard["kill_ms"] / 1000)


def _plan(plan: dict[str, Any]) -> FencePlan:
    return FencePlan(plan["url"], plan["pid_file"], plan["unit"], tuple(plan["command"]), bool(plan["enabled"]))


def _paused(guard: dict[str, Any]) -> bool:
    """Pause, wait for the block in flight, and see that it is still paused."""
    endpoint = parse_endpoint(guard["producer_url"])
    within = guard["pause_ms"] / 1000
    try:
        status, _ = call(endpoint, "/v1/producer/pause", within)
        if not 200 <= status < 300:
            return False
        time.sleep(guard["block_ms"] / 1000)
        status, body = call(endpoint, "/v1/producer/paused", within)
    except (FailoverError, OSError):
        return False
    return bool(200 <= status < 300 and body.strip() == b"true")


def say(text: str) -> None:
    """Write one line to standard error."""
    try:
        os.write(2, f"nodeos-failover guard: {text}\n".encode())
    except OSError:
        return  # nobody reads it: no reason to stop guarding


def main(arguments: list[str]) -> int:
    """Guard until there is nothing left to guard."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
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
