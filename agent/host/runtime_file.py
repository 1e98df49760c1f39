"""The run-time file on tmpfs, and the lock that lets one agent only have it (port `RuntimeFile`)."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import threading
import time
from pathlib import Path

from agent.errors import RefusedError
from agent.host.small_file import create, read_whole

log = logging.getLogger(__name__)


AGAIN_S = 0.05
"""Between two tries to have the lock."""
TRIAL = 16 * 1024
"""Bytes of a trial: more than a record and what the guard needs beside it."""


def _locked(descriptor: int) -> bool:
    """Take the lock of an open file, if nobody has it; tell whether it was taken."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _look(path: Path) -> tuple[int, ...]:
    """Return what tells a file from any other, and from what it is once it was written into."""
    found = path.lstat()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


class LockedFile:
    """A small file that is replaced as a whole. `lock` first: two agents may not share it.

    Of two threads that save or remove, the one that began last wins, even if the other hung meanwhile.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: int | None = None
        self._turn = threading.Lock()
        self._making = threading.Lock()
        self._newest = 0
        self._written: tuple[int, ...] = ()

    def lock(self, within_s: float = 0.0) -> None:
        """Take the lock until the process ends, waiting at most `within_s` seconds for another agent to end.

        RefusedError when another agent has it, or it cannot be made.
        """
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            descriptor = os.open(self.path.with_suffix(".lock"), flags, 0o600)
        except OSError as error:
            raise RefusedError(
                f"the run-time directory {self.path.parent} cannot be used: {error.strerror}; "
                "make it writable for the agent, or set runtime.dir"
            ) from error
        by = time.monotonic() + within_s
        while not _locked(descriptor):
            if time.monotonic() >= by:
                os.close(descriptor)
                raise RefusedError(
                    f"another agent runs with {self.path}: end it first, or give each its own `node` name"
                )
            time.sleep(AGAIN_S)
        self._lock = descriptor

    def load(self) -> bytes | None:
        """Return the content, None when there is none."""
        try:
            return read_whole(self.path) or None
        except FileNotFoundError:
            return None
        except OSError as error:
            log.warning("the run-time file %s cannot be read, starting without: %s", self.path, error.strerror)
            return None

    def save(self, content: bytes, turn: int = 0) -> None:
        """Replace the content atomically. OSError when that fails, or when a later save or remove came before.

        `turn`: by `begin`, for those who begin with more than the file; 0: it begins now.
        """
        turn = turn or self.begin()
        new = self.path.with_suffix(".new")
        descriptor = self._make(new)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        with self._turn:
            if turn != self._newest:
                raise OSError(errno.ESTALE, "a later content was written meanwhile")
            self._written = _look(new)
            new.replace(self.path)

    def _make(self, new: Path) -> int:
        """Open a file that nobody else writes into; with its directory, where somebody took that away."""
        try:
            return create(new)
        except FileNotFoundError:
            if self._lock is None:
                raise
        self._make_directory()
        return create(new)

    def _make_directory(self) -> None:
        """Make the directory anew that was taken away, with a lock in place of the one that went with it."""
        with self._making:
            before = self._lock
            if before is None or self.path.parent.exists():
                return  # another thread was first
            try:
                self.lock()
            except RefusedError as error:
                raise OSError(errno.EAGAIN, str(error)) from error
            os.close(before)
            log.warning("the run-time directory %s was taken away; it is made anew", self.path.parent)

    def stands(self) -> bool:
        """Tell whether the file at its path is as it was saved last: nobody took it away or wrote into it."""
        try:
            return _look(self.path) == self._written
        except OSError:
            return False

    def try_write(self) -> None:
        """Write as much as a content may have into a file of its own, and remove it. OSError when that fails.

        Or when a directory stands where the content, or its draft, has to be.
        """
        for each in (self.path, self.path.with_suffix(".new")):
            if each.is_dir() and not each.is_symlink():
                raise IsADirectoryError(errno.EISDIR, f"{each} is a directory: remove it")
        trial = self.path.with_suffix(".try")
        descriptor = self._make(trial)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(bytes(TRIAL))
        finally:
            trial.unlink(missing_ok=True)

    def remove(self, turn: int = 0) -> None:
        """Leave an empty file: one that is gone would look to the guard as if an operator had taken it away."""
        turn = turn or self.begin()
        if self.path.exists():
            self.save(b"", turn)

    def begin(self, above: int = 0) -> int:
        """Return the number of a turn that is newer than all before, and greater than `above`."""
        with self._turn:
            self._newest = max(self._newest, above) + 1
            return self._newest

    def newest(self, turn: int) -> bool:
        """Tell whether nobody has begun since that turn."""
        return turn == self._newest
