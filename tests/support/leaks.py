"""What a process holds open: a test that leaves more than it found has seen a leak."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SETTLE_S = 5.0
"""How long threads that were told to end, and what they hold, may take on a busy machine."""


def descriptors() -> dict[int, str]:
    """Return the open descriptors of this process, and what each stands for."""
    found: dict[int, str] = {}
    for each in Path("/proc/self/fd").iterdir():
        try:
            found[int(each.name)] = str(each.readlink())
        except OSError:
            continue  # the one that reads this directory
    return found


def threads() -> set[threading.Thread]:
    """Return the threads that run."""
    return {each for each in threading.enumerate() if each.is_alive()}


@contextmanager
def nothing_left_open() -> Iterator[None]:
    """Fail unless every descriptor and thread that is opened within the block is closed soon after it.

    Objects in a circle count only once they are collected, which is done here: what nobody refers to is no leak.
    """
    before, ran = descriptors(), threads()
    yield
    end = time.monotonic() + SETTLE_S
    while (left := _more(before, ran)) and time.monotonic() < end:
        gc.collect()
        time.sleep(0.01)
    assert not left, f"left open: {', '.join(left)}"


def _more(before: dict[int, str], ran: set[threading.Thread]) -> list[str]:
    now = descriptors()
    opened = [f"descriptor {number} ({what})" for number, what in now.items() if before.get(number) != what]
    return opened + [f"thread {each.name}" for each in threads() - ran]
