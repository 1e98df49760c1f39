"""Where the time of one failover goes: the agents' own logs, the nodes' and the observer's, put on one line of time."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from tests.lab.bench.tails import Blocks, Tail
from tests.lab.evidence import Signature

STEPS = {
    "noticed": "the leader's agent notices",
    "proven": "nodeos is proven stopped",
    "released": "the release is written",
    "watched": "the standby's watch tells of it",
    "campaign": "the take-over is sent",
    "elected": "the take-over is written",
    "resumed": "nodeos has answered the resume",
    "signed": "its first block is signed",
    "seen": "the observer has that block",
}
"""Every step in order, with what it is; a failover without a release has no `released` nor `watched`."""
Trace = dict[str, int]
"""Milliseconds from the fault to each step, by its name."""


class Tracer:
    """Reads what two agents logged since the last look. All clocks are this machine's, so the lines can be compared."""

    def __init__(self, tails: Mapping[str, Tail], blocks: Blocks) -> None:
        self._tails, self._blocks = tails, blocks
        self._lines: dict[str, list[dict[str, Any]]] = {name: [] for name in tails}

    def forget(self) -> None:
        """Leave out what was logged so far."""
        for name, tail in self._tails.items():
            self._lines[name] = []
            for _ in tail.lines():
                pass

    def trace(self, old: str, new: str, started: float, first: Signature) -> Trace:
        """Return the steps of the failover from one host to another. `started` in seconds since 1970."""
        for name, tail in self._tails.items():
            self._lines[name] += [json.loads(line) for line in tail.lines() if line.startswith("{")]
        self._blocks.look()
        mine = _Story(self._lines.get(old, []), started)
        theirs = _Story(self._lines.get(new, []), started)
        found = {
            "noticed": mine.first("to", "stopping"),
            "proven": mine.first("transition", "proven"),
            "released": mine.first("transition", "released"),
            "watched": theirs.first("message", f"{old} has released the lead"),
            "campaign": theirs.first("transition", "campaign"),
            "elected": theirs.first("transition", "elected"),
            "resumed": theirs.first("transition", "leads"),
            "signed": first.wall,
            "seen": self._blocks.seen.get(first.id),
        }
        return {name: round(1000 * (at - started)) for name, at in found.items() if at is not None}


class _Story:
    """The lines of one agent from a moment on (seconds since 1970; they are dated in whole milliseconds)."""

    def __init__(self, lines: Iterable[Mapping[str, Any]], started: float) -> None:
        dated = ((datetime.fromisoformat(str(line["time"])).timestamp(), line) for line in lines)
        self._lines = [(at, line) for at, line in dated if at >= started - 0.001]

    def first(self, field: str, begins: str) -> float | None:
        """Return when the first line came whose `field` begins so."""
        return next((at for at, line in self._lines if str(line.get(field, "")).startswith(begins)), None)
