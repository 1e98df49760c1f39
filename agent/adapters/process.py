"""Finding the nodeos process by what names it, and holding it so that no other can be taken for it.

Standard library only: the guard uses it, and must start fast. A process is held by a pidfd and known by pid and start
time: a pid alone may belong to somebody else a moment later. None always means "seen to be gone"; whatever can not be
told is a FenceError, because a process that is gone counts as a proof (R4).
"""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import time
from pathlib import Path

from agent.adapters.clock import boot_s
from agent.adapters.deadline import Deadline
from agent.core.chain import ProcessId
from agent.errors import FenceError

STALE_S = 5.0
"""A process that started later than its pid file was written, by more than this, is another one."""
_PID = re.compile(rb"[1-9][0-9]{0,9}")


class Held:
    """A process that was found (port `ProcessHandle`)."""

    def __init__(self, pid: int) -> None:
        """Take hold of `pid`. ProcessLookupError when there is none, or only a zombie; FenceError when it hides."""
        try:
            self._fd = os.pidfd_open(pid)
        except ProcessLookupError:
            raise
        except (OSError, OverflowError) as error:
            raise FenceError(f"no handle on pid {pid}: {error}; a pidfd needs Linux 5.3 or later") from error
        try:
            ticks: int | None = start_ticks(pid)
        except OSError:
            ticks = None
        if self.wait_gone(0.0):  # only now is it sure that what was read is not of a later process of this pid
            self.close()
            raise ProcessLookupError(pid)
        if ticks is None:
            self.close()
            raise FenceError(f"pid {pid} lives, but /proc hides it (hidepid): run the agent as nodeos's user")
        self._id = ProcessId(pid, ticks)

    @property
    def id(self) -> ProcessId:
        """Return pid and start time."""
        return self._id

    def wait_gone(self, timeout_s: float) -> bool:
        """Wait until the process is gone; a zombie is gone: it runs no code. False after `timeout_s` seconds."""
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        return bool(poll.poll(max(0.0, timeout_s) * 1000))

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to this very process; one that is gone already is fine. FenceError without permission."""
        try:
            signal.pidfd_send_signal(self._fd, number)
        except ProcessLookupError:
            return
        except PermissionError as error:
            raise FenceError(
                f"no permission to signal nodeos (pid {self._id.pid}): run the agent as nodeos's user, or with CAP_KILL"
            ) from error

    def stopped(self) -> bool:
        """Tell whether a signal or a debugger has stopped it: then it can not react to SIGTERM."""
        try:
            return stat(self._id.pid)[0] in ("T", "t")
        except OSError:
            return False

    def close(self) -> None:
        """Let go."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def hold(wanted: ProcessId) -> Held | None:
    """Hold the very process `wanted`, None when it is gone."""
    held = hold_pid(wanted.pid)
    if held is not None and held.id != wanted:
        held.close()
        return None
    return held


def hold_pid(pid: int) -> Held | None:
    """Hold whoever has this pid, None when nobody has."""
    try:
        return Held(pid)
    except ProcessLookupError:
        return None


def stat(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat behind the name, which may hold blanks and brackets (proc(5))."""
    return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()


def start_ticks(pid: int) -> int:
    """Return when the process started, in clock ticks since boot (field 22 of proc(5))."""
    return int(stat(pid)[19])


def parent(pid: int) -> int:
    """Return the pid of the parent, 0 when there is none to be seen."""
    try:
        return int(stat(pid)[1])
    except OSError:
        return 0


def descends(pid: int, ancestor: int) -> bool:
    """Tell whether `ancestor` started `pid`, directly or not."""
    for _ in range(64):  # deeper than any start script; a chain that changes while it is read can not loop for ever
        pid = parent(pid)
        if pid == ancestor:
            return True
        if pid <= 1:
            return False
    return False


def runs_others(pid: int) -> bool:
    """Tell whether a process has started another program, as a start script has.

    nodeos has a child too, that compiles contracts (oc-monitor): a fork of itself, with the same command line.
    """
    own = _command_line(pid)
    with os.scandir("/proc") as entries:
        children = [int(entry.name) for entry in entries if entry.name.isdigit() and parent(int(entry.name)) == pid]
    lines = {child: line for child in children if (line := _command_line(child))}
    return any(line != own or runs_others(child) for child, line in lines.items())


def _command_line(pid: int) -> bytes:
    """Return the command line of a process, nothing when it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def by_pid_file(path: str) -> Held | None:
    """Find the process that a pid file names; None when file or process is not there."""
    try:
        text = Path(path).read_bytes().strip()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise FenceError(f"fence.pid_file {path}: {error.strerror}") from error
    if not _PID.fullmatch(text):
        raise FenceError(f"fence.pid_file {path}: expected a process id, found {text[:20]!r}")
    return hold_pid(int(text))


def is_stale(path: str, found: ProcessId) -> bool:
    """Tell whether a pid file is older than the process that it names: then its pid was used again.

    A file's time is wall-clock time: after a clock was set this may be wrong, so it must not be all that is asked.
    """
    try:
        written = Path(path).stat().st_mtime
    except OSError:
        return False
    started = time.time() - boot_s() + found.start_ticks / os.sysconf("SC_CLK_TCK")
    return started > written + STALE_S


def by_unit(unit: str, deadline: Deadline) -> Held | None:
    """Find the main process of a systemd unit."""
    shown = _show(unit, deadline)
    if shown.get("LoadState") != "loaded":
        raise FenceError(f"fence.unit {unit}: there is no such unit (systemd says {shown.get('LoadState')})")
    pid = int(shown["MainPID"])
    if pid:
        return hold_pid(pid)
    if shown.get("ActiveState") in ("active", "reloading"):
        raise FenceError(
            f"fence.unit {unit}: it is active, but systemd knows no main process of it; set Type=exec in the unit, or "
            "fence.pid_file"
        )
    return None


def _show(unit: str, deadline: Deadline) -> dict[str, str]:
    """Ask systemd about a unit."""
    command = ["systemctl", "show", "--property=MainPID,LoadState,ActiveState", "--", unit]
    try:
        done = subprocess.run(
            command, capture_output=True, timeout=deadline.remaining(), check=True, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise FenceError(f"fence.unit {unit}: systemctl did not tell its process: {error}") from error
    lines = done.stdout.decode(errors="replace").splitlines()
    shown = {name: value for name, sign, value in (line.partition("=") for line in lines) if sign}
    if not shown.get("MainPID", "").isdecimal():
        raise FenceError(f"fence.unit {unit}: systemctl did not tell its process, but {done.stdout[:100]!r}")
    return shown
