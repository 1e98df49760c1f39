"""Running hooks: each is a process group of its own, with a total deadline, after which all of the group is killed.

A hook gets nothing on standard input and a small environment, so that no secret of the agent's gets into it. What it
writes is read and thrown away but for its end. Each kind of hook has a lane: one that hangs holds up no other, and no
pause, kill or confirmation is on any of these lanes. A child that makes itself a session of its own (setsid) leaves the
group, and is the operator's.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from agent.core.model.fields import shown
from agent.core.node.state import HookDone, RunHook
from agent.host.deadline import Deadline

log = logging.getLogger(__name__)

KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "USER", "LOGNAME")
"""Variables of the agent's own environment that a hook gets."""
CHUNK = 64 * 1024
PAUSE_S = 0.02
"""Between two readings: one that writes without end is slowed down to 3 MB/s, and costs the agent nothing."""
LAST = 300
"""Characters of its output that are told."""
LOOK_S = 0.1
"""How soon the end is seen of one that has closed its output, or left it to a child."""
TAKEN_S = 1.0
"""How long a killed process may take to be gone."""


def environment(
    action: RunHook, group: str, node: str, own: Mapping[str, str], more: Mapping[str, str]
) -> dict[str, str]:
    """Return the whole environment of a hook; `more` words beside those that all are told."""
    fields = {
        "HOOK": action.hook,
        "GROUP": group,
        "NODE": node,
        "EPOCH": str(action.epoch),
        "REASON": shown(action.reason),
        "FROM": action.before,
        "TO": action.to,
        **more,
    }
    kept = {name: own[name] for name in KEPT if name in own}
    return kept | {f"NODEOS_FAILOVER_{name}": value for name, value in fields.items()}


@dataclass(eq=False)
class Hooks:
    """The hooks that are set, by name; `_words` that one of them is told alone. `run` is for a lane's thread."""

    _commands: Mapping[str, Sequence[str]]
    _group: str
    _node: str
    _words: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[int] = set()  # groups whose first process was not waited for yet
        self._closed = False

    @property
    def names(self) -> tuple[str, ...]:
        """The names of those that are set."""
        return tuple(self._commands)

    def close(self) -> None:
        """Kill those that run or start later: the agent ends, and nobody would keep their deadline. Never blocks."""
        with self._lock:
            self._closed = True
            for pid in self._running:
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(pid, signal.SIGKILL)

    def run(self, action: RunHook) -> HookDone:
        """Run one, and return what came of it, within its deadline and a second more."""
        begun = time.monotonic()
        result, detail = self._run(action)
        done = HookDone(action.hook, action.epoch, result, round((time.monotonic() - begun) * 1000), shown(detail))
        log.info("hook %s: %s", action.hook, done.result, extra={"epoch": action.epoch, "took_ms": done.took})
        return done

    def _run(self, action: RunHook) -> tuple[str, str]:
        deadline = Deadline(action.within / 1000)
        try:
            process = subprocess.Popen(
                self._commands[action.hook],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=environment(action, self._group, self._node, os.environ, self._words.get(action.hook, {})),
                cwd="/",
                start_new_session=True,
            )
        except (OSError, KeyError, ValueError) as error:
            return "error", f"not started: {error}"
        with self._lock:
            self._running.add(process.pid)
            closed = self._closed  # while it was started: `close` has not seen it
        try:
            said = "" if closed else _follow(process, deadline)
        finally:
            with self._lock:
                self._running.discard(process.pid)
            _end(process)
        code = process.returncode
        if deadline.remaining() <= 0 and code != 0:
            return "timeout", f"killed after {action.within / 1000:g} s{said}"
        if code == 0:
            return "ok", ""
        how = f"exit code {code}" if code is not None and code > 0 else f"ended by signal {-(code or 0)}"
        return "failed", f"{how}{said}"


def _follow(process: subprocess.Popen[bytes], deadline: Deadline) -> str:
    """Read what it writes until it ends or its time is over; return the end of that, for people."""
    assert process.stdout is not None
    fd, last, closed = process.stdout.fileno(), b"", False
    os.set_blocking(fd, False)
    while not _ended(process) and deadline.remaining() > 0:
        wait_s = min(LOOK_S, deadline.remaining())
        if not select.select([] if closed else [fd], [], [], wait_s)[0]:
            continue
        part = os.read(fd, CHUNK)
        closed = not part
        last = (last + part)[-LAST:]
        time.sleep(PAUSE_S)
    with suppress(BlockingIOError):
        last = (last + os.read(fd, CHUNK))[-LAST:]  # what came just before the end
    text = last.decode(errors="replace").strip()
    return f"; it said: {text}" if text else ""


def _ended(process: subprocess.Popen[bytes]) -> bool:
    """Tell whether it has ended, without taking its exit code: until that is taken its id cannot be anybody else's."""
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill what is left of its group, children of one that has ended well among them, and take its exit code."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    try:
        process.wait(TAKEN_S)
    except subprocess.TimeoutExpired:
        log.error("a hook, pid %d, cannot be killed: it hangs in the kernel", process.pid)  # noqa: TRY400 - no defect
    if process.stdout is not None:
        process.stdout.close()
