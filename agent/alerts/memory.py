"""What must survive a restart of the agent: the alerts that are open, and what channels have not been told yet.

A file in the run-time directory, written by a thread of its own: a full or hanging disk holds up no channel for longer
than `PATIENCE_S`, and the loop not at all. What stands there is as small as the queues are.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent.core.alerts.notice import Notice
from agent.core.model.fields import RecordError, an_object, inner, plain, record, text
from agent.host.runtime_file import LockedFile

log = logging.getLogger(__name__)

PATIENCE_S = 1.0
"""So long a channel waits for the file before it sends: an alert that is told and then forgotten is never resolved."""
MOST = 200
"""Notices of each kind that are kept."""
MAX_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class Saved:
    """What stands in the file. `owed`: for each channel what it was not told yet."""

    still_open: tuple[Notice, ...] = ()
    owed: Mapping[str, tuple[Notice, ...]] = field(default_factory=dict)


class Memory:
    """Where the dispatcher keeps what must survive a restart; this one keeps nothing, for a single call."""

    def load(self) -> Saved:
        """Return what was kept; nothing when it cannot be read."""
        return Saved()

    def begin(self, collect: Callable[[], Saved]) -> None:
        """Say who knows what is to be kept: asked on the memory's own thread."""

    def touch(self) -> int:
        """Say that it has changed, and is to be written soon; return the number of this change. Never blocks."""
        return 0

    def wait(self, number: int) -> None:
        """Wait until the change with this number was written or failed to be; at most `PATIENCE_S`."""

    def close(self, timeout_s: float) -> None:
        """Write what is left, within `timeout_s`."""


class FileMemory(Memory):
    """Keeps it in a file. `boot_id`: times of an earlier boot of the host say nothing, and count from now."""

    def __init__(self, path: Path, boot_id: str, now_ms: int) -> None:
        self._file = LockedFile(path)
        self._boot_id = boot_id
        self._now = now_ms
        self._change = threading.Condition()
        self._collect: Callable[[], Saved] = Saved
        self._wanted = 0
        self._written = 0
        self._ending = False
        self._failing = False
        self._thread = threading.Thread(target=self._run, name="alerts-memory", daemon=True)

    def begin(self, collect: Callable[[], Saved]) -> None:
        """Start to write what `collect` returns, whenever it was touched."""
        self._collect = collect
        self._thread.start()

    def load(self) -> Saved:
        """Return what was kept; nothing, and a line in the log, when it cannot be read."""
        raw = self._file.load()
        if not raw:
            return Saved()
        try:
            return self._read(raw)
        except RecordError as error:
            log.warning("what alerts were open cannot be read, starting without: %s", error)
            return Saved()

    def _read(self, raw: bytes) -> Saved:
        value = an_object(raw, "alerts", MAX_BYTES)
        now = None if text(value, "boot_id") == self._boot_id else self._now
        owed = inner(value, "owed", {})
        return Saved(_notices(value.get("open"), now), {str(name): _notices(each, now) for name, each in owed.items()})

    def touch(self) -> int:
        """Have it written soon; return the number of this change."""
        with self._change:
            self._wanted += 1
            self._change.notify_all()
            return self._wanted

    def wait(self, number: int) -> None:
        """Wait until it was written, or could not be."""
        with self._change:
            self._change.wait_for(lambda: self._written >= number, PATIENCE_S)

    def close(self, timeout_s: float) -> None:
        """Write what is left, within `timeout_s`."""
        with self._change:
            self._ending = True
            self._change.notify_all()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while True:
            with self._change:
                self._change.wait_for(lambda: self._wanted > self._written or self._ending)
                number = self._wanted
                if number <= self._written:
                    return
            self._write(self._collect())
            with self._change:
                self._written = number
                self._change.notify_all()

    def _write(self, what: Saved) -> None:
        data = {
            "version": 1,
            "boot_id": self._boot_id,
            "open": [plain(each) for each in what.still_open[-MOST:]],
            "owed": {name: [plain(each) for each in owed[-MOST:]] for name, owed in what.owed.items()},
        }
        try:
            self._file.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file.save(json.dumps(data).encode())
            self._failing = False
        except OSError as error:
            if not self._failing:
                log.warning("open alerts cannot be kept over a restart: %s; mend the run-time directory", error)
            self._failing = True


def _notices(found: Any, since: int | None) -> tuple[Notice, ...]:
    """Read notices; unless None, `since` is when all of them began."""
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise RecordError("expected a list of notices")
    return tuple(record(Notice, each if since is None else each | {"since": since}) for each in found[:MOST])
