"""Finding the nodeos process, and holding it so that no other can be taken for it.

Standard library only: the guard uses it, and must start fast. A process is held by a pidfd and known by pid and start
time: a pid alone may belong to somebody else a moment later.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import struct
import subprocess
from pathlib import Path

from agent.core.chain import ProcessId
from agent.errors import FenceError

UNIT_S = 2.0
"""Total deadline of one question to systemd."""
STALE_S = 5.0
"""A process that started later than its pid file was written, by more than this, is another one."""
_LISTEN = "0A"  # the state in /proc/net/tcp (linux: include/net/tcp_states.h)


class Held:
    """A process that was found (port `ProcessHandle`)."""

    def __init__(self, pid: int) -> None:
        """Take hold of `pid`. ProcessLookupError when there is none."""
        self._fd = os.pidfd_open(pid)
        try:
            self._id = ProcessId(pid, start_ticks(pid))
        except OSError as error:
            os.close(self._fd)
            raise ProcessLookupError(pid) from error

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
            return _stat(self._id.pid)[0] in ("T", "t")
        except OSError:
            return False

    def close(self) -> None:
        """Let go."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def hold(wanted: ProcessId) -> Held | None:
    """Hold the very process `wanted`, None when it is gone."""
    try:
        held = Held(wanted.pid)
    except ProcessLookupError:
        return None
    if held.id != wanted:
        held.close()
        return None
    return held


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat behind the name, which may hold blanks and brackets (proc(5))."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def start_ticks(pid: int) -> int:
    """Return when the process started, in clock ticks since boot (field 22 of proc(5))."""
    return int(_stat(pid)[19])


def by_pid_file(path: str) -> Held | None:
    """Find the process that a pid file names; None when file or process is not there."""
    try:
        text = Path(path).read_text().strip()
        written = Path(path).stat().st_mtime
    except FileNotFoundError:
        return None
    except OSError as error:
        raise FenceError(f"fence.pid_file {path}: {error.strerror}") from error
    if not text.isdigit():
        raise FenceError(f"fence.pid_file {path}: expected a process id, found {text[:20]!r}")
    held = _held(int(text))
    if held is not None and _started(held.id) > written + STALE_S:
        held.close()  # a file left behind: its pid belongs to somebody else by now
        return None
    return held


def _started(found: ProcessId) -> float:
    """Return when a process started, in seconds since 1970."""
    line = next(line for line in Path("/proc/stat").read_text().splitlines() if line.startswith("btime "))
    return int(line.split()[1]) + found.start_ticks / os.sysconf("SC_CLK_TCK")


def by_unit(unit: str) -> Held | None:
    """Find the main process of a systemd unit."""
    command = ["systemctl", "show", "--property=MainPID", "--value", "--", unit]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=UNIT_S, check=True, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise FenceError(f"fence.unit {unit}: systemctl did not tell its process: {error}") from error
    text = done.stdout.strip()
    return _held(int(text)) if text.isdigit() and int(text) else None


def _held(pid: int) -> Held | None:
    try:
        return Held(pid)
    except ProcessLookupError:
        return None


def by_tcp(host: str, port: int) -> Held | None:
    """Find the process that listens on a TCP address of this host."""
    addresses = _addresses(host, port)
    inodes: set[str] = set()
    for table in ("tcp", "tcp6"):
        try:
            lines = Path(f"/proc/net/{table}").read_text().splitlines()[1:]
        except OSError:
            continue  # a kernel without IPv6
        for line in lines:
            fields = line.split()
            if fields[3] == _LISTEN and fields[1] in addresses:
                inodes.add(fields[9])
    return _owner(inodes, f"{host}:{port}")


def _addresses(host: str, port: int) -> set[str]:
    """Return how /proc/net writes the addresses at which a listener for `host` may sit: itself, or any."""
    end = f":{port:04X}"
    found = {"0" * 8 + end, "0" * 32 + end}
    try:
        infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise FenceError(f"the host {host} of nodeos.url is not known: {error}") from error
    for family, _, _, _, address in infos:
        raw = socket.inet_pton(family, str(address[0]).partition("%")[0])
        words = struct.unpack(f"={len(raw) // 4}I", raw)  # the kernel prints each word in host order
        found.add("".join(f"{word:08X}" for word in words) + end)
        if family == socket.AF_INET:
            mapped = (0, 0, struct.unpack("=I", b"\x00\x00\xff\xff")[0], *words)
            found.add("".join(f"{word:08X}" for word in mapped) + end)
    return found


def by_socket(path: str) -> Held | None:
    """Find the process that listens on a Unix socket."""
    inodes = set()
    for line in Path("/proc/net/unix").read_text().splitlines()[1:]:
        fields = line.split(maxsplit=7)
        if len(fields) == 8 and fields[7] == path and int(fields[3], 16) & 0x10000:  # __SO_ACCEPTCON: it listens
            inodes.add(fields[6])
    return _owner(inodes, path)


def _owner(inodes: set[str], where: str) -> Held | None:
    """Return the process that has one of the socket inodes open."""
    if not inodes:
        return None
    wanted = {f"socket:[{inode}]" for inode in inodes}
    hidden = False
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit():
            continue
        try:
            links = os.listdir(f"/proc/{entry.name}/fd")  # noqa: PTH208 - runs for every process of the host
            if any(_link(f"/proc/{entry.name}/fd/{link}") in wanted for link in links):
                return _held(int(entry.name))
        except PermissionError:
            hidden = True
        except OSError:
            continue  # it ended meanwhile
    if hidden:
        raise FenceError(
            f"somebody listens on {where}, but whose process it is may not be seen: run the agent as nodeos's user, "
            "or set fence.pid_file or fence.unit"
        )
    return None


def _link(path: str) -> str:
    try:
        return os.readlink(path)  # noqa: PTH115 - Path costs more, and this runs for every open file of the host
    except OSError:
        return ""
