"""What a change of leader goes down in history with: who, from whom, why, and what it cost.

What stands in etcd is said in `archive`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from agent.core.blocks.follow import Following
from agent.core.blocks.schedule import ProducerWindows
from agent.core.health.checks import Health
from agent.core.leadership.state import State
from agent.core.model.archive import Fields, Window
from agent.core.model.slots import SLOT, slot_of
from agent.core.model.store import Ms

SETTLED: Ms = 1000
"""A block dated so long after nodeos resumed is not a late one of the leader before: none is dated 0.6 s ahead of time,
and blocks of both bear the same producer's name."""


@dataclass(frozen=True, slots=True)
class Proof:
    """A tenure and its record so far.

    after     the slot of the last own block before it, or the last before which the chain was not looked at
    own_from  the date (ms since 1970) from which on a block of our producer must be our own
    first     the slot of its first own block, None while none is seen
    """

    epoch: int
    fields: Fields
    after: int
    own_from: Ms
    first: int | None = None


def record(state: State, entered: Mapping[str, Ms], now: Ms) -> Fields:
    """Return the record of the tenure that begins. What is not known is left out: before the first one, since when.

    `entered` says when each phase was last entered.
    """
    tenure = state.tenure
    assert tenure is not None
    fields: dict[str, str | int] = {
        "epoch": tenure.epoch,
        "node": state.identity.node,
        "from": tenure.before,
        "reason": tenure.origin,
    }
    fields |= {"leaderless_ms": tenure.gap} if tenure.before else {}
    return fields | _spans(entered, now, take_ms=("campaigning", "elected"), resume_ms=("elected", ""))


def ended(fields: Fields, entered: Mapping[str, Ms], now: Ms) -> Fields:
    """Return the record of a tenure with how long its end took, now that the release is written."""
    return {**fields, **_spans(entered, now, stop_ms=("stopping", "releasing"), release_ms=("releasing", ""))}


def _spans(entered: Mapping[str, Ms], now: Ms, **spans: tuple[str, str]) -> dict[str, Ms]:
    """Return the spans from one phase to another, or until now, whose phases were entered in this order."""
    found = {
        name: (entered[end] if end else now) - entered[begin]
        for name, (begin, end) in spans.items()
        if begin in entered and (not end or end in entered)
    }
    return {name: span for name, span in found.items() if span >= 0}


def proof(epoch: int, fields: Fields, health: Health, chain: Following, last_own: int | None, now: Ms) -> Proof | None:
    """Return what to look for; None when our own head is not known, so that nothing could be counted."""
    if health.info is None:
        return None
    after = max(chain.since - 1, last_own or 0)
    return Proof(epoch, fields, after, health.info_wall + now - health.info_at + SETTLED)


def proven(
    waiting: Proof, chain: Following, producer: str, windows: ProducerWindows | None
) -> tuple[int, Fields] | None:
    """Return the slot of the first block that is surely our own, and the record with the slots that the change cost.

    None while there is none. The cost is left out when blocks were not looked at, as after a long silence of nodeos.
    """
    if not chain.settled:
        return None
    own = {slot_of(each.time): each for each in chain.blocks.values() if each.producer == producer}
    after, least = waiting.after, slot_of(waiting.own_from - 1) + 1
    first = min((slot for slot in own if slot > after and slot >= least), default=None)
    if first is None:
        return None
    fields = {**waiting.fields, "counted_to": own[first].num}
    if chain.since <= after + 1:
        ours = windows.count(after + 1, first) if windows else first - after - 1
        fields["slots_missed"] = max(0, ours - sum(after < slot < first for slot in own))
        fields["outage_ms"] = _longest_hole([after, *sorted(slot for slot in own if after < slot <= first)], windows)
    return first, fields


def _longest_hole(signed: Sequence[int], windows: ProducerWindows | None) -> Ms:
    """Return the longest time from an own slot without a block to the next own block; `signed`: all that have one."""
    holes = [0]
    for before, after in pairwise(signed):
        due = (slot for slot in range(before + 1, after) if windows is None or windows.ours(slot))
        holes.append((after - next(due, after)) * SLOT)
    return max(holes)


def witnessed(waiting: Proof, windows: tuple[Window, ...]) -> Fields | None:
    """Return the record with the first whole own window as another member's chain has it; None: that is not told."""
    me = waiting.fields["node"]
    found = [
        each
        for each in windows
        if waiting.first is not None
        and each.epoch == waiting.epoch
        and each.slot > waiting.first
        and each.witness not in ("", me)
    ]
    if not found or "window" in waiting.fields:
        return None
    window = min(found, key=lambda each: each.slot)
    return {
        **waiting.fields,
        "window": window.slot,
        "window_signed": window.signed,
        "window_missed": window.missed,
        "witness": window.witness,
    }
