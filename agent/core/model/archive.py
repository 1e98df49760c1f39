"""What is kept of the past in etcd, and the one place that says what stands there.

`history/<epoch>` has one entry for each change of leader, `ledger/<slot>` one for each own window.

history/<epoch>, written by the new leader, and written again when more is known; the newest 100 stay:

    epoch          which tenure
    when_ms        when it began, in ms since 1970
    node           who leads since then
    from           who led before, empty if nobody ever did
    reason         why that ended, for people
    leaderless_ms  how long nobody was confirmed; left out if nobody ever led
    take_ms        from the moment at which the take-over was sent until etcd had written it
    resume_ms      from then until nodeos had answered the resume, hooks included
    stop_ms        how long its end took: from the moment at which the leader began to stop until nodeos was proven
                   stopped; like release_ms only in a tenure that ended by a release
    release_ms     from then until the release was written
    slots_missed   own slots without a block between the last block before the change and the first one after it, as the
                   new leader's chain has them
    counted_to     the number of that first block
    window         first slot of the first whole own window after it, from the ledger of another member's chain:
    window_signed, window_missed
                   its slots with and without a block
    witness        whose chain that was
    hooks          what became of the hooks of this change so far, for people

ledger/<first slot>, written once by whoever counted it first (who does not lead goes first); the newest 100 stay:

    slot, slots    first slot of the window, and how many there are: 12, or more for a chain that stood still
    signed, missed slots with and without a block
    causes         {cause: slots missed}; causes are those of `terms`: handover, node, network, unknown
    leader, epoch  who held the lead at its end, empty and 0 if nobody
    change         the epoch that the change led to in which slots were lost; 0: none
    witness        whose chain was looked at
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from typing import Any

from agent.core.model.fields import RecordError, an_object, number, text

KEEP = 100
"""Entries of the history, and of the ledger, that stay."""
Fields = Mapping[str, str | int]


@dataclass(frozen=True, slots=True)
class Change:
    """One entry of the history; None and empty texts: not known (yet)."""

    epoch: int
    node: str
    before: str = ""
    reason: str = ""
    when_ms: int | None = None
    leaderless_ms: int | None = None
    take_ms: int | None = None
    resume_ms: int | None = None
    stop_ms: int | None = None
    release_ms: int | None = None
    slots_missed: int | None = None
    counted_to: int | None = None
    window: int | None = None
    window_signed: int | None = None
    window_missed: int | None = None
    witness: str = ""
    hooks: str = ""


@dataclass(frozen=True, slots=True)
class Window:
    """One entry of the ledger."""

    slot: int
    slots: int
    signed: int
    missed: int
    causes: Mapping[str, int] = field(default_factory=dict)
    leader: str = ""
    epoch: int = 0
    change: int = 0
    witness: str = ""


def write_window(window: Window) -> bytes:
    """Return an entry of the ledger as JSON."""
    return json.dumps(asdict(window), separators=(",", ":")).encode()


@lru_cache(maxsize=4 * KEEP)
def read_window(raw: bytes) -> Window:
    """Read an entry of the ledger. Remembered: all of them are read again with every change of the group."""
    value = an_object(raw, "ledger")
    causes = value.get("causes", {})
    if not isinstance(causes, dict):
        raise RecordError("causes: expected an object")
    return Window(
        number(value, "slot"),
        number(value, "slots"),
        number(value, "signed"),
        number(value, "missed"),
        causes={name[:20]: number(causes, name) for name in list(causes)[:10]},
        leader=text(value, "leader", "", 63),
        epoch=number(value, "epoch", 0),
        change=number(value, "change", 0),
        witness=text(value, "witness", "", 63),
    )


def read_change(raw: bytes) -> Change:
    """Read an entry of the history."""
    value = an_object(raw, "history")

    def maybe(name: str) -> int | None:
        return number(value, name) if value.get(name) is not None else None

    return Change(
        epoch=number(value, "epoch"),
        node=text(value, "node", limit=63),
        before=text(value, "from", "", 63),
        reason=text(value, "reason", ""),
        witness=text(value, "witness", "", 63),
        hooks=text(value, "hooks", ""),
        **{name: maybe(name) for name in _NUMBERS},
    )


_NUMBERS: tuple[Any, ...] = (
    *("when_ms", "leaderless_ms", "slots_missed", "counted_to"),
    *("take_ms", "resume_ms", "stop_ms", "release_ms"),
    *("window", "window_signed", "window_missed"),
)
