"""The page as a file, as its one writer, the agent, holds it. What stands in it: `agent.host.page`."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import stat
import threading
from pathlib import Path

from agent.core.model.copying import replace
from agent.errors import GateError
from agent.host import page as pages
from agent.host.page import Page

log = logging.getLogger(__name__)

MODE = 0o640
"""The gate's user reads the page as a member of the agent's group."""


class PageFile:
    """The page as a file on tmpfs: to write is to copy `pages.SIZE` bytes, and blocks on no disk.

    One process writes it, each of its threads under `lock`, which is held for what tmpfs does: that waits for nobody.
    """

    def __init__(self, path: Path, boot_id: str, identity: bytes) -> None:
        """Take over the page as it stands, or put a closed one in the place of what is none. GateError if neither."""
        self.path = path
        self.lock = threading.Lock()
        self.descriptor = -1
        self._former: list[int] = []  # pages that were taken away: a gate may still have locked one
        self.page = Page(boot_id, identity)
        try:
            try:
                self.descriptor = self._open(path, os.O_CREAT)
            except (OSError, ValueError):
                self._make_anew()
            else:
                self._take_over(self.page)
        except (OSError, ValueError, GateError) as error:
            self.close()
            raise GateError(f"the permit page {path} cannot be used: {error}; remove it") from error

    def _take_over(self, empty: Page) -> None:
        """Keep what stands in the file when it is a page of this boot and node; else put the empty one there."""
        try:
            self.page = pages.unpack(os.pread(self.descriptor, pages.SIZE + 1, 0))
        except pages.PageError:
            self.page = empty
            os.ftruncate(self.descriptor, 0)
        if (self.page.boot_id, self.page.identity) != (empty.boot_id, empty.identity):
            self.page = empty
        if self.page is empty:
            self.write(empty)

    def _open(self, path: Path, more: int) -> int:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | more, MODE)
        try:
            found = os.fstat(descriptor)
            ours = stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid()
            if ours:
                os.fchmod(descriptor, MODE)  # the umask may have taken the group's right
        except OSError:
            os.close(descriptor)
            raise
        if not ours:
            os.close(descriptor)
            raise ValueError("it is no file of ours")
        return descriptor

    def write(self, page: Page) -> None:
        """Replace what stands in the page; a reader sees the old one, the new one, or that it is being written.

        GateError when it cannot be written: then the page lets nothing be signed, or is the old one.
        """
        sequence = (self.page.sequence | 1) + 1
        try:
            os.pwrite(self.descriptor, pages.pack(replace(self.page, sequence=sequence - 1)), 0)
            new = replace(page, sequence=sequence)
            os.pwrite(self.descriptor, pages.pack(new), 0)
        except OSError as error:
            raise GateError(f"the permit page {self.path} cannot be written: {error.strerror}") from error
        self.page = new

    def stands(self) -> bool:
        """Tell whether the page is still the file at its path, ours, and written by nobody else."""
        try:
            found = self.path.lstat()
        except OSError:
            return False
        form = found.st_uid, found.st_mode & 0o777, found.st_size
        return (found.st_dev, found.st_ino) == self.file and form == (os.geteuid(), MODE, pages.SIZE)

    def see_that_it_stands(self) -> None:
        """Make a page anew that somebody took away or changed. GateError when that fails."""
        if self.stands():
            return
        try:
            self._make_anew()
        except (OSError, ValueError) as error:
            raise GateError(f"the permit page {self.path} is gone and cannot be made anew: {error}") from error
        log.warning("the permit page %s was taken away or changed; it is made anew", self.path)

    def _make_anew(self) -> None:
        """Put a page that says the same in its place.

        The old files stay open until nobody has them locked: a gate that was frozen in between could still hand out a
        signature that the old page allowed (R4).
        """
        new = self.path.with_suffix(".permit-new")
        new.unlink(missing_ok=True)
        descriptor = self._open(new, os.O_CREAT | os.O_EXCL)
        stood: list[int] = []
        try:
            os.pwrite(descriptor, pages.pack(self.page), 0)
            with contextlib.suppress(OSError):  # there is none, or none that we may read: nor may a gate
                stood.append(os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK))
            new.replace(self.path)
        except OSError:
            for each in (descriptor, *stood):
                os.close(each)
            raise
        self._former += [each for each in (self.descriptor, *stood) if each >= 0]
        self.descriptor = descriptor

    def unlocked(self) -> bool:
        """Tell whether no gate has locked this page, or one that stood in its place."""
        self._former = [each for each in self._former if not _let_go_of(each)]
        return not self._former and self._path_is_ours_or_free() and _free(self.descriptor)

    def _path_is_ours_or_free(self) -> bool:
        try:
            found = self.path.lstat()
        except FileNotFoundError:
            return True
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == self.file

    @property
    def file(self) -> tuple[int, int]:
        """Device and inode: what the gate has locked has to be the same."""
        found = os.fstat(self.descriptor)
        return found.st_dev, found.st_ino

    def close(self) -> None:
        """Let go of the file. The page stays as it is."""
        for each in (*self._former, self.descriptor):
            if each >= 0:
                os.close(each)
        self._former, self.descriptor = [], -1


def _free(descriptor: int) -> bool:
    """Tell whether nobody has locked a file."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return True


def _let_go_of(descriptor: int) -> bool:
    """Close a file that nobody has locked; tell whether it was done."""
    if not _free(descriptor):
        return False
    os.close(descriptor)
    return True
