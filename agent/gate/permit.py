"""The gate's side of the permit page: its lock, and whether it allows a signature now. Whatever is unclear, is no."""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from collections.abc import Callable
from pathlib import Path

from agent.core.model.store import Ms
from agent.host import page as pages
from agent.host.page import Page, PageError, Sign

FARTHEST: Ms = 600_000
"""No confirmation is valid for longer, so no permit is: a later end is a defect."""
REASONS = (
    "no_page",
    "no_lock",
    "other_owner",
    "other_page",
    "other_boot",
    "other_node",
    "torn",
    "damaged",
    "closed",
    "expired",
)
"""Why the page allows no signature."""


class NotSigned(Exception):
    """No signature now. `reason` is one of `REASONS`."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class Permit:
    """The page of one node, locked by us as soon as it is there. One thread only.

    boot_id and boot: this boot's id, and CLOCK_BOOTTIME in ms; owner: the user whose file the page must be.
    """

    def __init__(self, path: Path, identity: bytes, owner: int, boot_id: str, boot: Callable[[], Ms]) -> None:
        self._path = path
        self._identity = identity
        self._owner = owner
        self._boot_id = boot_id
        self._boot = boot
        self._descriptor = -1
        self._file = (0, 0)
        self._why = "no_page"

    @property
    def file(self) -> tuple[int, int] | None:
        """Device and inode of the page that we hold, None when we hold none."""
        return self._file if self._descriptor >= 0 else None

    def look(self) -> None:
        """Let go of a page that is gone or was replaced, and lock the one that is there. Never waits.

        A lock on a page that nobody can find would look to the agent as if this gate still signed by it.
        """
        with contextlib.suppress(NotSigned):
            if self.hold():
                self._standing()
        self.hold()

    def hold(self) -> bool:
        """Try to lock the page unless one is locked already; tell whether it is. Never waits."""
        if self._descriptor >= 0:
            return True
        try:
            self._descriptor = self._locked()
            self._why = ""
        except NotSigned as refused:
            self._why = refused.reason
        return self._descriptor >= 0

    def why_not(self) -> str:
        """Return the reason why the page could not be read now, nothing if it can be, whatever it says."""
        try:
            self.read()
        except NotSigned as refused:
            return refused.reason
        return ""

    def _locked(self) -> int:
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            raise NotSigned("no_page") from None
        try:
            found = os.fstat(descriptor)
            self._owned(found)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            raise NotSigned("no_lock") from None
        except NotSigned:
            os.close(descriptor)
            raise
        self._file = found.st_dev, found.st_ino
        return descriptor

    def _owned(self, found: os.stat_result) -> None:
        """Refuse a file that others than the agent's user own or may write."""
        if not stat.S_ISREG(found.st_mode) or found.st_uid != self._owner or found.st_mode & 0o022:
            raise NotSigned("other_owner")

    def let_go(self) -> None:
        """Give the lock back."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
            self._why = "no_page"

    def read(self) -> Page:
        """Return the page that we hold, if it is the one at its path, of this boot and this node."""
        if not self.hold():
            raise NotSigned(self._why)
        self._owned(self._standing())
        try:
            page = pages.read(self._descriptor)
        except OSError:
            raise NotSigned("no_page") from None
        except PageError as error:
            raise NotSigned(error.reason) from None
        if page.boot_id != self._boot_id:
            raise NotSigned("other_boot")
        if page.identity != self._identity:
            raise NotSigned("other_node")
        return page

    def _standing(self) -> os.stat_result:
        """Return what stands at the path, if it is the page that we hold; else let go of that. One system call."""
        try:
            found = self._path.lstat()
        except OSError:
            self.let_go()
            raise NotSigned("no_page") from None
        if (found.st_dev, found.st_ino) != self._file:
            self.let_go()  # we sign by no page that we have not locked; the next look locks the new one
            raise NotSigned("other_page")
        return found

    def check(self) -> None:
        """Return if a signature may be given now; Refused if not. The clock is read last."""
        page = self.read()
        if page.sign is not Sign.OPEN:
            raise NotSigned("closed")
        now = self._boot()
        if now >= page.until:
            raise NotSigned("expired")
        if page.until - now > FARTHEST:
            raise NotSigned("damaged")

    def closed(self, number: int) -> bool:
        """Tell whether the page is seen as closed, by that closing or a later one. Refused when it cannot be seen."""
        page = self.read()
        return page.sign is Sign.CLOSED and page.close_number >= number
