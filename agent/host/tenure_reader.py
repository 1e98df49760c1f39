"""The run-time file with its page as it is read: by the guard and `fence` too, so that it needs few modules (R3).

While the file has a newer edition than the page, V is that of the file, which was just written. A page that is torn or
away tells nothing: who has read the tenure before goes by what it read then, and who has not by the file alone, whose V
is an older and never a longer one.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from agent.core.model.copying import replace
from agent.core.model.fields import RecordError
from agent.core.model.runtime_record import RuntimeRecord, read_runtime
from agent.host import page as pages
from agent.host.page import Page, PageError
from agent.host.small_file import read_whole

IN_PAGE = ("valid_until", "stop_by", "seq", "heartbeat_revision")
"""Fields of a record that stand in the page; in the file they are as of its edition."""
TRIES = 5
"""Readings before a page counts as torn, or as newer than any file."""
AGAIN_S = 0.01
"""Between two of them: a writer that waits for the processor in the middle of a write is nothing to stop for."""


def read(path: Path, *, anew: bool = False) -> tuple[RuntimeRecord, bytes] | None:
    """Return the record and the whole file, None when it is empty: then nothing has to be stopped.

    OSError, RecordError: it, or the page that belongs to it, is away or cannot be read. `anew`: the reader has nothing
    that it read before, and goes by the file alone where only the page cannot be read.
    """
    why, alone = "", None
    for turn in range(TRIES):
        time.sleep(AGAIN_S if turn else 0)
        raw = read_whole(path)
        if not raw:
            return None
        record = read_runtime(raw)
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
