"""The agent's side of the signing gate (port `Gate`): it writes the permit page, and asks the gate over its socket.

Why a closing is proven, and by what, stands in `agent.gate`.
"""

from __future__ import annotations

import fcntl
import json
import mmap
import os
import socket
import stat
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from agent.adapters.deadline import Deadline, DeadlineSocket
from agent.core.store import Ms
from agent.errors import GateError
from agent.gate import page as pages
from agent.gate.counts import BOUNDS
from agent.gate.page import Page, Sign
from agent.ports import Closed, GateStatus

MODE = 0o640
"""The gate's user reads the page as a member of the agent's group."""
LONGEST = 16 * 1024
"""Bytes of an answer; one has about 600."""
AGAIN_S = 0.005
"""Between two questions whether it is closed."""
REASONS = 64
"""Reasons of refusals that are taken from an answer."""


class PageFile:
    """The page as a file that is mapped into memory: to write is a memory store. One writer only."""

    def __init__(self, path: Path, boot_id: str, identity: bytes) -> None:
        """Take over the page as it stands, or make a closed one. GateError when the file can not be used."""
        self.path = path
        self.descriptor = -1
        try:
            self._map = self._open()
        except (OSError, ValueError) as error:
            self.close()
            raise GateError(f"the permit page {path} can not be used: {error}; remove it") from error
        empty = Page(boot_id, identity)
        try:
            self.page = pages.unpack(self._map[:])
        except pages.PageError:
            self.page = empty
        if (self.page.boot_id, self.page.identity) != (boot_id, identity):
            self.page = empty
        if self.page is empty:
            self.write(empty)

    def _open(self) -> mmap.mmap:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        self.descriptor = os.open(self.path, flags, MODE)
        found = os.fstat(self.descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
            raise ValueError("it is no file of ours")
        os.fchmod(self.descriptor, MODE)  # the umask may have taken the group's right
        if found.st_size != pages.SIZE:
            os.ftruncate(self.descriptor, 0)
            os.pwrite(self.descriptor, bytes(pages.SIZE), 0)  # takes the memory now, so that no store can lack it
        return mmap.mmap(self.descriptor, pages.SIZE)

    def write(self, page: Page) -> None:
        """Replace what stands in the page; a reader sees the old one, the new one, or that it is being written."""
        sequence = (self.page.sequence | 1) + 1
        busy = pages.pack(replace(self.page, sequence=sequence - 1))
        self._map[: pages.SIZE] = busy
        self.page = replace(page, sequence=sequence)
        self._map[: pages.SIZE] = pages.pack(self.page)

    @property
    def file(self) -> tuple[int, int]:
        """Device and inode: what the gate has locked has to be the same."""
        found = os.fstat(self.descriptor)
        return found.st_dev, found.st_ino

    def close(self) -> None:
        """Let go of the file. The page stays as it is."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


class FileGate:
    """The gate of one node. `permit` comes from one thread, the rest from any.

    `control` is the gate's socket; `boot` reads CLOCK_BOOTTIME in ms.
    """

    def __init__(self, page: PageFile, control: Path, boot: Callable[[], Ms]) -> None:
        self._file = page
        self._control = control
        self._boot = boot
        self._lock = threading.Lock()  # held for memory stores only
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
        deadline = Deadline(timeout_s)
        with self._lock:
            page = self._file.page
            number = page.close_number + 1
            self._over = page.epoch
            self._file.write(replace(page, sign=Sign.CLOSED, until=0, close_number=number))
        while True:
            if self._no_gate():
                return Closed("no gate runs", self._boot())
            why = ""
            try:
                return self._said(number, deadline)
            except GateError as error:
                why = str(error)
            if deadline.remaining() <= AGAIN_S:
                raise GateError(f"the signing gate is not proven closed: {why}")
            time.sleep(AGAIN_S)

    def _no_gate(self) -> bool:
        """Tell whether no gate holds the page's lock."""
        try:
            fcntl.flock(self._file.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        fcntl.flock(self._file.descriptor, fcntl.LOCK_UN)
        return True

    def _said(self, number: int, deadline: Deadline) -> Closed:
        answer = ask(self._control, f"closed {number}", deadline)
        if answer.get("closed") != number or answer.get("page") != list(self._file.file):
            raise GateError(f"it says that it is not closed: {_text(answer.get('why'))}")
        return Closed("the gate said so", _number(answer, "quiet_since"))

    def status(self, timeout_s: float) -> GateStatus:
        """Ask the gate how it is; it must hold our page."""
        return _status(ask(self._control, "status", Deadline(timeout_s)), list(self._file.file))

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
        raise GateError("the signing gate's answer can not be read: is it of another version?")
    return answer


def _status(answer: dict[str, Any], page: list[int] | None) -> GateStatus:
    """Read what a gate says of itself. `page`: device and inode of the one that it should hold, None: any."""
    refused, latency, seconds = answer.get("refused"), answer.get("latency"), answer.get("seconds")
    if not isinstance(refused, dict) or not isinstance(latency, list) or len(latency) != len(BOUNDS) + 1:
        raise GateError("the signing gate's answer can not be read: is it of another version?")
    held, last = answer.get("page"), answer.get("last_signature")
    return GateStatus(
        pid=_number(answer, "pid"),
        started=_number(answer, "started"),
        holds=held is not None if page is None else held == page,
        keosd=_text(answer.get("keosd")),
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
