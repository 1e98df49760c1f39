"""What became of the last reload, in a file of the run-time directory: a signal brings its sender no answer."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from agent.host.paths import write_whole
from agent.host.process import start_ticks


@dataclass(frozen=True, slots=True)
class ReloadNote:
    """`count`: how many reloads this process has done; `ok` and `said`: what became of the last."""

    pid: int
    started: int
    count: int = 0
    ok: bool = True
    said: tuple[str, ...] = ()


def read_note(file: Path) -> ReloadNote:
    """Return what an agent left. OSError or ValueError when there is nothing that can be used."""
    found = json.loads(file.read_bytes())
    try:
        pid, started, count = (int(found[name]) for name in ("pid", "started", "count"))
        return ReloadNote(pid, started, count, bool(found["ok"]), tuple(map(str, found["said"])))
    except (TypeError, KeyError) as error:
        raise ValueError(f"{file} is no note of a reload: {error!r}") from error


def write_note(file: Path, count: int, *, ok: bool = True, said: tuple[str, ...] = ()) -> None:
    """Write the note of this process, as a whole or not at all. OSError when that fails."""
    note = ReloadNote(os.getpid(), start_ticks(os.getpid()), count, ok, said)
    write_whole(file, json.dumps(asdict(note)))
