"""Finding the nodeos process by what names it, and holding it so that no other can be taken for it.

Standard library only: the guard uses it, and must start fast. A process is held by a pidfd and known by pid and start
time: a pid alone may belong to another process a moment later. None always means "seen to be gone"; whatever cannot be
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

from agent.core.model.chain import ProcessId
from agent.errors import FenceError
from agent.host.clock import boot_s
from agent.host.deadline import Deadline
from agent.host.small_file import read_whole

STALE_S = 5.0
"""A process that started later than its pid file was written, by more than this, is another one."""
_COMM = 15
"""Characters that the kernel keeps of a name (linux: TASK_COMM_LEN less one)."""
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
        """Tell whether a signal or a debugger has stopped it: then it cannot react to SIGTERM."""
        return stopped(self._id.pid)

    def runs(self, executable: str) -> bool:
        """Tell whether this very process runs `executable`, a file name or a whole path.

        Where /proc/PID/exe may not be read, as of another user, its first argument and its name in the kernel must both
        say so: of a script the first argument is the interpreter. FenceError when those cannot be seen either.
        """
        return runs(self._id.pid, executable) and not self.wait_gone(0.0)

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
    """Hold the process that has this pid, None when there is none."""
    try:
        return Held(pid)
    except ProcessLookupError:
        return None


def runs(pid: int, executable: str) -> bool:
    """Tell whether the process that has this pid now runs `executable` (see Held.runs)."""
    try:
        path = os.readlink(f"/proc/{pid}/exe")  # noqa: PTH115 - a text: "PATH (deleted)" names no file
    except PermissionError:
        return _name(_first_argument(pid)) == _name(executable) and comm(pid) == _name(executable)[:_COMM]
    except OSError:
        return False  # it is gone, or a thread of the kernel
    path = path.removesuffix(" (deleted)")  # the file was replaced since, as by an upgrade (proc(5))
    return executable in (path, _name(path))


def _first_argument(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().partition(b"\0")[0].decode(errors="replace")
    except OSError as error:
        raise FenceError(f"which program pid {pid} runs cannot be seen: run the agent as nodeos's user") from error


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def comm(pid: int) -> str:
    """Return the name that the kernel has for a process, 15 characters at most, nothing when it is gone."""
    try:
        return Path(f"/proc/{pid}/comm").read_text(errors="replace").strip()
    except OSError:
        return ""


def stat(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat behind the name, which may hold blanks and brackets (proc(5))."""
    return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()


def stopped(pid: int) -> bool:
    """Tell whether a signal or a debugger has stopped a process."""
    try:
        return stat(pid)[0] in ("T", "t")
    except OSError:
        return False


def cpu_ms(pid: int) -> int | None:
    """Return the processor time that a process has used, all its threads, in ms; None when it cannot be seen."""
    try:
        found = stat(pid)
        return (int(found[11]) + int(found[12])) * 1000 // os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return None


def start_ticks(pid: int) -> int:
    """Return when the process started, in clock ticks since boot (field 22 of proc(5))."""
    return int(stat(pid)[19])


def parent(pid: int) -> int:
    """Return the pid of the parent, 0 when there is none to be seen."""
    try:
        return int(stat(pid)[1])
    except OSError:
        return 0


def below(ancestor: int, executable: str) -> list[ProcessId]:
    """Return the processes that run `executable` and that `ancestor` started, directly or not, as a start script does.

    What such a process starts is left out: nodeos forks itself to compile contracts (oc-monitor).
    """
    with os.scandir("/proc") as entries:
        parents = {int(entry.name): parent(int(entry.name)) for entry in entries if entry.name.isdigit()}
    found, above = [], {ancestor}
    while above:
        children = {pid for pid, its in parents.items() if its in above}
        above = set()
        for pid in children:
            del parents[pid]  # pids that are used again meanwhile cannot make a circle
            if (held := hold_pid(pid)) is None:
                continue
            if held.runs(executable):
                found.append(held.id)
            else:
                above.add(pid)
            held.close()
    return found


def by_lock(path: Path) -> Held | None:
    """Find the process that has locked a file as nodeos locks its database; None when none is seen.

    The kernel tells pids of our own process namespace only, and on some file systems (btrfs) another device.
    """
    try:
        found = path.stat()
        locks = Path("/proc/locks").read_text().splitlines()
    except OSError:
        return None
    file = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
    for fields in map(str.split, locks):
        if fields[1:4] == ["POSIX", "ADVISORY", "WRITE"] and fields[5] == file:
            return hold_pid(int(fields[4]))
    return None


def by_pid_file(path: str) -> Held | None:
    """Find the process that a pid file names; None when file or process is not there."""
    try:
        text = read_whole(Path(path)).strip()
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
    try:
        shown = unit_properties(unit, "MainPID,LoadState,ActiveState", deadline.remaining())
    except (OSError, subprocess.SubprocessError) as error:
        raise FenceError(f"fence.unit {unit}: systemctl did not tell its process: {error}") from error
    if not shown.get("MainPID", "").isdecimal():
        raise FenceError(f"fence.unit {unit}: systemctl did not tell its process, but {str(shown)[:100]}")
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


def unit_properties(unit: str, names: str, timeout_s: float) -> dict[str, str]:
    """Return what systemd says of a unit: the properties in `names`, with commas between.

    OSError or subprocess.SubprocessError when it does not tell within `timeout_s` seconds.
    """
    command = ["systemctl", "show", f"--property={names}", "--", unit]
    done = subprocess.run(command, capture_output=True, timeout=timeout_s, check=True, stdin=subprocess.DEVNULL)
    lines = done.stdout.decode(errors="replace").splitlines()
    return {name: value for name, sign, value in (line.partition("=") for line in lines) if sign}
