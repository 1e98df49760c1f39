"""A value that is made of files, and made anew when they change: what was read once would be old until a restart."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Generic, TypeVar

from agent.errors import FailoverError

log = logging.getLogger(__name__)

SETTLED_S = 1.0
"""A file that changed less than so many seconds ago may change again without another time stamp: it is read again."""

T = TypeVar("T")
_Look = tuple[tuple[int, int, int, int, int] | None, ...]


class FromFiles(Generic[T]):
    """Gives a value each time it is called. Safe to use from several threads.

    `make` reads the files; it raises FailoverError, ValueError or OSError when they cannot be used. Then the value
    before stays, and the reason is logged: a key that is written after its certificate must not end anything. Only the
    first reading raises. To look costs one stat for each file.
    """

    def __init__(self, name: str, files: Iterable[Path | None], make: Callable[[], T]) -> None:
        self._name = name
        self._files = tuple(each for each in files if each is not None)
        self._make = make
        self._lock = threading.Lock()
        self._seen, self._settled = self._look()
        self._value = make()

    def __call__(self) -> T:
        """Return the value by the files as they are now."""
        if not self._files:
            return self._value
        with self._lock:
            seen, settled = self._look()
            if seen != self._seen or not self._settled:
                self._read_again(told=seen == self._seen)
                self._seen, self._settled = seen, settled
            return self._value

    def _read_again(self, *, told: bool) -> None:
        try:
            self._value = self._make()
        except (FailoverError, ValueError, OSError) as error:
            log.warning("%s: a changed file cannot be used, what was read before stays: %s", self._name, error)
        else:
            if not told:
                log.info("%s: read again, for its file was changed", self._name)

    def _look(self) -> tuple[_Look, bool]:
        """Return what tells the files as they are from others, and whether that can be relied on."""
        found: list[tuple[int, int, int, int, int] | None] = []
        newest = 0.0
        for path in self._files:
            try:
                stat = path.stat()
            except OSError:
                found.append(None)
                continue
            found.append((stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns))
            newest = max(newest, stat.st_ctime)
        return tuple(found), time.time() - newest > SETTLED_S
