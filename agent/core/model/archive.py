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
    outage_ms      the longest time in between without an own block: from the date of an own slot without one to that of
                   the next own block, whoever led; 0: none is missing
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
from dataclasses import dataclass, field
from functools import lru_cache

from agent.core.model.fields import Rule, an_object, plain, record

KEEP = 100
"""Entries of the history, and of the ledger, that stay."""
Fields = Mapping[str, str | int]


@dataclass(frozen=True, slots=True)
class Window:
    """One entry of the ledger."""

    slot: int
    slots: int
    signed: int
    missed: int
    causes: Mapping[str, int] = field(default_factory=dict, metadata=Rule(most=10, limit=20))
    leader: str = field(default="", metadata=Rule(limit=63))
    epoch: int = 0
    change: int = 0
    witness: str = field(default="", metadata=Rule(limit=63))


def write_window(window: Window) -> bytes:
    """Return an entry of the ledger as JSON."""
    return json.dumps(plain(window), separators=(",", ":")).encode()


@lru_cache(maxsize=4 * KEEP)
def read_window(raw: bytes) -> Window:
    """Read an entry of the ledger. Remembered: all of them are read again with every change of the group."""
    return record(Window, an_object(raw, "ledger"))
