"""The agent's side of the signing gate (port `Gate`): it writes the permit page, and asks the gate over its socket.

Why a closing is proven, and by what, stands in `agent.gate`.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import socket
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agent.core.model.backoff import longer
from agent.core.model.copying import replace
from agent.core.model.store import Ms
from agent.errors import GateError
from agent.gate import page as pages
from agent.gate.counts import BOUNDS
from agent.gate.page import Page, Sign
from agent.host.deadline import Deadline, DeadlineSocket
from agent.ports import Closed, GateStatus

log = logging.getLogger(__name__)

MODE = 0o640
"""The gate's user reads the page as a member of the agent's group."""
LONGEST = 16 * 1024
"""Bytes of an answer; one has about 600."""
AGAIN_MS = 50
"""The longest pause between two questions whether it is closed. The first is a tenth of it: a stop waits for that."""
REASONS = 64
"""Reasons of refusals that are taken from an answer."""


class PageFile:
    """The page as a file on tmpfs: to write is to copy `pages.SIZE` bytes, and blocks on no disk. One writer only."""

    def __init__(self, path: Path, boot_id: str, identity: bytes) -> None:
        """Take over the page as it stands, or make a closed one. GateError when the file cannot be used."""
        self.path = path
        self.descriptor = -1
        self._former: list[int] = []  # pages that were taken away: a gate may still have locked one
        try:
            self.descriptor = self._open(path, os.O_CREAT)
            self._take_over(Page(boot_id, identity))
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
        return (found.st_dev, found.st_ino) == self.file and (found.st_uid, found.st_mode & 0o777) == (
            os.geteuid(),
            MODE,
        )

    def make_anew(self) -> None:
        """Put a page that says the same in the place of one that was taken away or changed. OSError, ValueError.

        The old files stay open until nobody has them locked: a gate that was frozen in between could still hand out a
        signature that the old page allowed (R4).
        """
        new = self.path.with_suffix(".permit-new")
        new.unlink(missing_ok=True)
        descriptor = self._open(new, os.O_CREAT | os.O_EXCL)
        former = [self.descriptor]
        try:
            os.pwrite(descriptor, pages.pack(self.page), 0)
            with contextlib.suppress(OSError):  # there is none, or none that we may read: nor may a gate
                former.append(os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK))
            new.replace(self.path)
        except OSError:
            for each in (descriptor, *former[1:]):
                os.close(each)
            raise
        self._former += former
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


class FileGate:
    """The gate of one node. `permit` comes from one thread, the rest from any.

    `control` is the gate's socket; `boot` reads CLOCK_BOOTTIME in ms.
    """

    def __init__(self, page: PageFile, control: Path, boot: Callable[[], Ms]) -> None:
        self._file = page
        self._control = control
        self._boot = boot
        self._lock = threading.Lock()  # held for what tmpfs does, which waits for nobody
        self._over: int | None = None  # the epoch that this process closed last

    @property
    def page(self) -> Page:
        """What stands in the page."""
        return self._file.page

    def permit(self, epoch: int, until: Ms) -> None:
        """Let it sign for the tenure `epoch` until that moment."""
        with self._lock:
            if epoch == self._over:
                raise GateError(f"epoch {epoch} was closed at the gate: it signs no more")
            self._file.write(replace(self._file.page, epoch=epoch, sign=Sign.OPEN, until=until))

    def close(self, timeout_s: float) -> Closed:
        """Forbid signatures, and return once it is proven that none can be given any more."""
        deadline, pause = Deadline(timeout_s), 0
        with self._lock:
            page = self._file.page
            number = page.close_number + 1
            self._over = page.epoch
            self._file.write(replace(page, sign=Sign.CLOSED, until=0, close_number=number))
        while True:
            with self._lock:
                unlocked = self._file.unlocked()
            if unlocked:
                return Closed("no gate runs", self._boot())
            why = ""
            try:
                return self._said(number, deadline)
            except GateError as error:
                why = str(error)
            left = deadline.remaining()
            if left <= AGAIN_MS / 10_000:
                raise GateError(f"the signing gate is not proven closed: {why}")
            pause = longer(pause, AGAIN_MS, 0)
            time.sleep(min(pause / 1000, left / 2))

    def _said(self, number: int, deadline: Deadline) -> Closed:
        answer = ask(self._control, f"closed {number}", deadline)
        if answer.get("closed") != number or answer.get("page") != list(self._file.file):
            raise GateError(f"it says that it is not closed: {_text(answer.get('why'))}")
        return Closed("the gate said so", _number(answer, "quiet_since"))

    def status(self, timeout_s: float) -> GateStatus:
        """Ask the gate how it is; it must hold our page. A page that somebody took away is made anew before."""
        with self._lock:
            if not self._file.stands():
                self._make_anew()
            page = list(self._file.file)
        return _status(ask(self._control, "status", Deadline(timeout_s)), page)

    def _make_anew(self) -> None:
        try:
            self._file.make_anew()
        except (OSError, ValueError) as error:
            raise GateError(f"the permit page {self._file.path} is gone and cannot be made anew: {error}") from error
        log.warning("the permit page %s was taken away or changed; it is made anew", self._file.path)

    def let_go(self) -> None:
        """Let go of the page, which stays as it is."""
        self._file.close()


def look(control: Path, timeout_s: float, page: Path | None = None) -> GateStatus:
    """Ask a gate how it is, from outside. `holds`: whether it has locked `page`, or any if none is named."""
    answer = ask(control, "status", Deadline(timeout_s))
    try:
        found = None if page is None else page.stat()
    except OSError:
        return replace(_status(answer, None), holds=False)
    return _status(answer, None if found is None else [found.st_dev, found.st_ino])


def ask(control: Path, question: str, deadline: Deadline) -> dict[str, Any]:
    """Ask the gate behind a control socket one question. GateError when there is no whole answer in time."""
    raw = b""
    try:
        with DeadlineSocket(socket.AF_UNIX, deadline) as sock:
            sock.connect(str(control))
            sock.sendall(question.encode() + b"\n")
            while not raw.endswith(b"\n"):
                more = sock.recv(4096)
                if not more or len(raw) > LONGEST:
                    raise GateError(f"the signing gate at {control} broke off its answer")
                raw += more
        answer = json.loads(raw)
    except (OSError, ValueError, RecursionError) as error:
        raise GateError(f"the signing gate at {control} does not answer: {error}") from error
    if not isinstance(answer, dict):
        raise GateError("the signing gate's answer cannot be read: is it of another version?")
    return answer


def _status(answer: dict[str, Any], page: list[int] | None) -> GateStatus:
    """Read what a gate says of itself. `page`: device and inode of the one that it should hold, None: any."""
    refused, latency, seconds = answer.get("refused"), answer.get("latency"), answer.get("seconds")
    if not isinstance(refused, dict) or not isinstance(latency, list) or len(latency) != len(BOUNDS) + 1:
        raise GateError("the signing gate's answer cannot be read: is it of another version?")
    held, last = answer.get("page"), answer.get("last_signature")
    return GateStatus(
        pid=_number(answer, "pid"),
        started=_number(answer, "started"),
        holds=held is not None if page is None else held == page,
        keosd=_text(answer.get("keosd")),
        refuses=_text(answer.get("refuses", "")),
        signed=_number(answer, "signed"),
        last_signature=None if last is None else _number(answer, "last_signature"),
        refused={_text(key): _number(refused, key) for key in list(refused)[:REASONS]},
        latency=tuple(_number(dict(enumerate(latency)), index) for index in range(len(latency))),
        seconds=float(seconds) if isinstance(seconds, int | float) else 0.0,
    )


def _number(table: dict[Any, Any], key: Any) -> int:
    value = table.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise GateError(f"the signing gate's answer has no number as {_text(key)}")
    return value


def _text(value: object) -> str:
    return "".join(each if each.isprintable() else " " for each in str(value)[:200])
