"""What the gate counts, and tells the agent over its control socket: a line of question, a line of JSON.

status     how the gate is
closed N   whether the page is seen as closed by closing N or a later one: then nothing is or can be signed
"""

from __future__ import annotations

import json
import os
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable

from agent.core.model.store import Ms
from agent.gate.permit import NotSigned, Permit

LONGEST = 64
"""Bytes of a question."""
BOUNDS = (0.0005, 0.001, 0.002, 0.003, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5)
"""Upper bounds in seconds of the histogram; one more bucket takes the rest."""
READY = "ready"
"""The state of a wallet that signs."""


class Counts:
    """Counts since the start. `reasons` are all that can be, so that each is there from the start at 0."""

    def __init__(self, reasons: tuple[str, ...]) -> None:
        self.refused = Counter(dict.fromkeys(reasons, 0))
        self.signed = 0
        self.latency = [0] * (len(BOUNDS) + 1)
        self.seconds = 0.0

    def sign(self, seconds: float) -> None:
        """Count a signature that left, and the seconds from the request's last byte until then."""
        self.signed += 1
        self.latency[bisect_left(BOUNDS, seconds)] += 1
        self.seconds += seconds


class Control:
    """Answers questions, on the thread that signs: between two signatures, never within one (see `agent.gate`)."""

    def __init__(self, permit: Permit, counts: Counts, keosd: Callable[[], str], started: Ms) -> None:
        self._permit = permit
        self._counts = counts
        self._keosd = keosd
        self._started = started
        self.last_signature: Ms | None = None

    def answer(self, question: str) -> bytes:
        """Return the answer, a line."""
        words = question.split()
        found = self._status()
        match words:
            case ["status"]:
                pass
            case ["closed", number] if number.isascii() and number.isdecimal() and len(number) < LONGEST // 2:
                found |= self._closed(int(number))
            case _:
                found = {"why": "the questions are: status, closed NUMBER"}
        return json.dumps(found).encode() + b"\n"

    def _status(self) -> dict[str, object]:
        last = self.last_signature
        return {
            "pid": os.getpid(),
            "started": self._started,
            "refuses": self._permit.why_not(),
            "page": self._permit.file,
            "keosd": self._keosd(),
            "signed": self._counts.signed,
            "last_signature": last,
            "quiet_since": self._started if last is None else last,
            "refused": self._counts.refused,
            "latency": self._counts.latency,
            "seconds": self._counts.seconds,
        }

    def _closed(self, number: int) -> dict[str, object]:
        try:
            if self._permit.closed(number):
                return {"closed": number, "page": self._permit.file}
        except NotSigned as refused:
            return {"closed": None, "why": refused.reason, "page": self._permit.file}
        return {"closed": None, "why": "the page is open"}
