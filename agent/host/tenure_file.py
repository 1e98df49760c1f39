"""The run-time file with its page: the record of a tenure (port `RuntimeFile`) and its one writer.

The file is replaced whenever the record changes, or somebody took it away, and is another edition then. What
confirmations and promises change as long as V grows is written into the page alone, and counts for the edition that it
names (`tenure_reader`).
"""

from __future__ import annotations

import errno
import logging
import threading
from pathlib import Path

from agent.core.model.copying import differing, replace
from agent.core.model.fields import RecordError, as_json
from agent.core.model.runtime_record import RuntimeRecord
from agent.host.page import identity
from agent.host.page_file import PageFile
from agent.host.runtime_file import LockedFile
from agent.host.tenure_reader import IN_PAGE, read

log = logging.getLogger(__name__)


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
            self._file.save(as_json(replace(record, edition=edition), **more), turn)
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
        """See that a record could be saved. OSError or GateError when it could not."""
        self._file.try_write()
        with self.page.lock:
            self.page.see_that_it_stands()


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
    return later and differing(old, new) <= set(IN_PAGE)
