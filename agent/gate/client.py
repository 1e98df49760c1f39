"""The agent's side of the signing gate (port `Gate`): it writes the permit, and asks the gate over its socket.

Why a closing is proven, and by what, stands in `agent.gate`.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agent.core.model.backoff import longer
from agent.core.model.copying import replace
from agent.core.model.fields import shown
from agent.core.model.store import Ms
from agent.errors import GateError
from agent.gate.control import BOUNDS
from agent.host.deadline import Deadline, DeadlineSocket
from agent.host.page import Page, Sign
from agent.host.page_file import PageFile
from agent.ports import Closed, GateStatus

LONGEST = 16 * 1024
"""Bytes of an answer; one has about 600."""
AGAIN_MS = 50
"""The longest pause between two questions whether it is closed. The first is a tenth of it: a stop waits for that."""
REASONS = 64
"""Reasons of refusals that are taken from an answer."""


class FileGate:
    """The gate of one node. `permit` comes from one thread, the rest from any.

    `control` is the gate's socket; `boot` reads CLOCK_BOOTTIME in ms.
    """

    def __init__(self, page: PageFile, control: Path, boot: Callable[[], Ms]) -> None:
        self._file = page
        self._control = control
        self._boot = boot
        self._lock = page.lock
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
            self._file.see_that_it_stands()
            page = list(self._file.file)
        return _status(ask(self._control, "status", Deadline(timeout_s)), page)

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
    return shown(str(value), 200)
