"""The run-time file with its page: the record of a tenure (port `RuntimeFile`), its one writer and its one reader.

The file is replaced whenever the record changes, or somebody took it away, and is another edition then. What
confirmations and promises change as long as V grows is written into the page alone, and counts for the edition that it
names. While the file has a newer edition than the page, V is that of the file, which was just written. A page that is
torn or away tells nothing: who has read the tenure before goes by what it read then, and who has not by the file alone,
whose V is an older and never a longer one (R3).
"""

from __future__ import annotations

import errno
import logging
import os
import threading
import time
from pathlib import Path

from agent.core.model import records
from agent.core.model.copying import replace
from agent.core.model.fields import RecordError
from agent.core.model.records import RuntimeRecord
from agent.host import page as pages
from agent.host.page import Page, PageError, identity
from agent.host.page_file import PageFile
from agent.host.runtime_file import LockedFile

log = logging.getLogger(__name__)

IN_PAGE = ("valid_until", "stop_by", "seq", "heartbeat_revision")
"""Fields of a record that stand in the page; in the file they are as of its edition."""
TRIES = 5
"""Readings before a page counts as torn, or as newer than any file."""
AGAIN_S = 0.01
"""Between two of them: a writer that waits for the processor in the middle of a write is nothing to stop for."""


class TenureFile:
    """The record of a tenure. Of two threads that save or remove, the one that began last wins."""

    def __init__(self, file: LockedFile, page: PageFile) -> None:
        self._file = file
        self.page = page
        self._turn = threading.Lock()
        self._last: tuple[int, RuntimeRecord, dict[str, object]] | None = None  # what stands, and of which edition

    @property
    def path(self) -> Path:
        """Where the file is; the page is beside it."""
        return self._file.path

    def load(self) -> RuntimeRecord | None:
        """Return the record, None when there is none, or none that can be read, which is logged."""
        try:
            found = read(self.path)
        except FileNotFoundError:
            return None
        except (OSError, RecordError) as error:
            log.warning("the run-time file %s cannot be read, starting without: %s", self.path, error)
            return None
        return found[0] if found else None

    def save(self, record: RuntimeRecord, more: dict[str, object]) -> None:
        """Write a record, with `more` beside it. OSError or GateError on failure, or when a later call came before."""
        with self._turn:
            edition = turn = self._file.begin(above=self.page.page.edition)
            last, self._last = self._last, None
        if last is not None and last[2] == more and _goes_on(last[1], record) and self._file.stands():
            edition = last[0]
        else:
            self._file.save(records.write(replace(record, edition=edition), **more), turn)
        with self._turn, self.page.lock:
            if not self._file.newest(turn):
                raise OSError(errno.ESTALE, "a later content was written meanwhile")
            self.page.see_that_it_stands()
            fields = {name: getattr(record, name) for name in IN_PAGE}
            self.page.write(replace(self.page.page, edition=edition, **fields))
            self._last = edition, record, more

    def remove(self) -> None:
        """Leave an empty file. OSError when that fails."""
        with self._turn:
            turn = self._file.begin()
            self._last = None
        self._file.remove(turn)

    def close(self) -> None:
        """Let go of the page. Both stay as they are."""
        self.page.close()

    def try_write(self) -> None:
        """See that a record could be saved. OSError when it could not."""
        self._file.try_write()


def open_file(directory: Path, group: str, node: str, boot: str, within_s: float = 0.0) -> TenureFile:
    """Return the file of a node, and its page, for the one process that writes them (`LockedFile.lock`).

    RefusedError, GateError: another process has it, or it cannot be used.
    """
    file = LockedFile(directory / f"{group}-{node}.json")
    file.lock(within_s)
    return TenureFile(file, PageFile(file.path.with_suffix(".permit"), boot, identity(group, node)))


def _goes_on(old: RuntimeRecord, new: RuntimeRecord) -> bool:
    """Tell whether only what stands in the page has changed, and V has not become shorter (R16)."""
    later = new.valid_until >= old.valid_until and new.stop_by >= old.stop_by
    return later and replace(new, **{name: getattr(old, name) for name in IN_PAGE}) == old


def read(path: Path, *, anew: bool = False) -> tuple[RuntimeRecord, bytes] | None:
    """Return the record and the whole file, None when it is empty: then nothing has to be stopped.

    OSError, RecordError: it, or the page that belongs to it, is away or cannot be read. `anew`: the reader has nothing
    that it read before, and goes by the file alone where only the page cannot be read.
    """
    why, alone = "", None
    for turn in range(TRIES):
        time.sleep(AGAIN_S if turn else 0)
        raw = path.read_bytes()
        if not raw:
            return None
        record = records.read_runtime(raw)
        if not record.edition:  # there is no page beside it
            return record, raw
        try:
            page = _page(path)
        except (PageError, OSError) as error:
            why, alone = f"the page beside it: {error}", (record, raw)
            continue
        if page.boot_id != record.boot_id or page.edition < record.edition:
            return record, raw
        if page.edition == record.edition:
            return replace(record, **{name: getattr(page, name) for name in IN_PAGE}), raw
        why, alone = "the page belongs to a later run-time file", None
    if anew and alone is not None:
        return alone
    raise RecordError(why)


def _page(path: Path) -> Page:
    descriptor = os.open(path.with_suffix(".permit"), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        return pages.read(descriptor)
    finally:
        os.close(descriptor)
