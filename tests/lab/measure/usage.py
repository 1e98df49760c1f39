"""What a process uses, read from /proc: processor, memory, threads, descriptors. Only that lives here."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from agent.host.process import stat

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_UTIME, _STIME, _THREADS = 11, 12, 17
"""Fields of /proc/PID/stat behind the name, counted from the state."""


@dataclass(frozen=True)
class Usage:
    """What a process uses at one moment. `cpu_s`: processor seconds since its start, its ended threads included.

    `pss_kib` is `rss_kib` with each page that several processes share divided among them; `own_kib` is what would be
    free if the process ended, without pages of files.
    """

    cpu_s: float
    rss_kib: int
    pss_kib: int
    own_kib: int
    threads: int
    descriptors: int


def usage(pid: int) -> Usage:
    """Read what process `pid` uses. OSError when it is gone, or another user's."""
    proc = Path(f"/proc/{pid}")
    fields = stat(pid)
    memory = {}
    for line in proc.joinpath("smaps_rollup").read_text().splitlines()[1:]:
        name, _, rest = line.partition(":")
        memory[name] = int(rest.split()[0])
    return Usage(
        (int(fields[_UTIME]) + int(fields[_STIME])) * _TICK_S,
        memory["Rss"],
        memory["Pss"],
        memory["Anonymous"],
        int(fields[_THREADS]),
        len(os.listdir(proc / "fd")),  # noqa: PTH208 - only their number is wanted
    )


def as_installed() -> None:
    """Let children write byte code, as an installed product has it: else each start compiles all it imports."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
