"""Who held the lead when, as this agent saw it, and what each end was due to. Pure.

A slot that was missed is put down to one of four causes:

    handover  a change that an operator asked for: the leader stopped for it, or the next had not begun yet
    node      the leader, its agent or its host failed: it made no block, or the lead went to another because of that
    network   the leader's own chain has the block, and ours has not
    unknown   nothing that we have seen tells
"""

from __future__ import annotations

from dataclasses import dataclass

from agent.core.leadership.state import State
from agent.core.leadership.transitions import ASKED, TRANSITIONS
from agent.core.model.store import Ms

CAUSES = ("handover", "node", "network", "unknown")
KEPT = 16
BEGIN: Ms = 3000
"""What a new leader misses before its first block belongs to the change for so long: it waits up to 2 s for the last
block of the one before (R9)."""
END: Ms = 30_000
"""What a leader misses after its last block belongs to the change: nobody notices a fault at once."""
REASONS = (*(TRANSITIONS[key].reason for key in ASKED), "named by hand")


@dataclass(frozen=True, slots=True)
class Term:
    """From `since` on (ms of CLOCK_BOOTTIME) `node` held the lead; nobody if that is empty, for the reason `cause`.

    Of a tenure, `cause` tells why the one before ended, as far as it is known.
    """

    since: Ms
    node: str
    epoch: int
    cause: str


Terms = tuple[Term, ...]


def seen(terms: Terms, state: State, now: Ms) -> Terms:
    """Note who holds the lead now."""
    term = _now(state, now)
    if term is None or (terms and (terms[-1].node, terms[-1].epoch) == (term.node, term.epoch)):
        return terms
    return (*terms[-KEPT + 1 :], term)


def _now(state: State, now: Ms) -> Term | None:
    free, known = state.free_at(), state.seen
    if free is None:
        return None
    record = known.record
    if record is None:
        return Term(known.heartbeat_since, "", known.max_epoch, "handover" if known.heartbeat is None else "unknown")
    if record.released:
        return Term(known.heartbeat_since, "", record.epoch, asked(record.reason))
    if now >= free:
        return Term(known.heartbeat_since, "", record.epoch, "node")
    return Term(known.heartbeat_since, record.node, record.epoch, asked(record.reason))


def asked(reason: str) -> str:
    """Return whether a tenure ended because an operator asked for it, or because something failed, as the cause."""
    return "handover" if any(words in reason for words in REASONS) else "node"


def at(terms: Terms, when: Ms) -> Term | None:
    """Return who held the lead at a time; None: that is not known."""
    return next((each for each in reversed(terms) if each.since <= when), None)


def change_at(terms: Terms, when: Ms, before: Ms | None, after: Ms | None) -> tuple[str, int] | None:
    """Return the cause of the change that a slot at `when` was lost in, and the epoch that it led to (0: none yet).

    None when one node held the lead steadily. `before`, `after`: when the next blocks of ours around it were due.
    """
    place = next((i for i in reversed(range(len(terms))) if terms[i].since <= when), None)
    if place is None:
        return None
    here = terms[place]
    later = terms[place + 1 :]
    if not here.node:
        return here.cause, next((each.epoch for each in later if each.node), 0)
    if later and when >= later[0].since - END and (after is None or after >= later[0].since):
        return later[0].cause, next((each.epoch for each in later if each.node), 0)
    begins = when < here.since + BEGIN and (before is None or before < here.since)
    return (here.cause, here.epoch) if begins and place > 0 else None
