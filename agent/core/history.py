"""What a change of leader goes down in history with: who, from whom, why, and what it cost. Only that lives here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from agent.core.chain import ChainInfo
from agent.core.health import Health
from agent.core.slots import missed
from agent.core.state import State
from agent.core.store import Ms

Fields = Mapping[str, str | int]
SETTLED: Ms = 1000
"""A block dated so long after nodeos resumed is not a late one of the leader before: none is dated 0.6 s ahead of time,
and blocks of both bear the same producer's name."""


@dataclass(frozen=True, slots=True)
class Proof:
    """A tenure whose first blocks are not seen yet: its record so far, and the head before it.

    own_from  the date (ms since 1970) from which on a block of our producer must be our own
    """

    epoch: int
    fields: Fields
    before: ChainInfo
    own_from: Ms


def record(state: State) -> Fields:
    """Return the record of the tenure that begins. What is not known is left out: before the first one, since when."""
    tenure = state.tenure
    assert tenure is not None
    fields: dict[str, str | int] = {
        "epoch": tenure.epoch,
        "node": state.setup.node,
        "from": tenure.before,
        "reason": tenure.origin,
    }
    return fields | ({"leaderless_ms": tenure.gap} if tenure.before else {})


def proof(epoch: int, fields: Fields, health: Health, now: Ms) -> Proof | None:
    """Return what to look for; None when our own head is not known, so that nothing could be counted."""
    if health.info is None:
        return None
    return Proof(epoch, fields, health.info, health.info_wall + now - health.info_at + SETTLED)


def proven(waiting: Proof, info: ChainInfo, producer: str) -> Fields | None:
    """Return the record with the slots that the change cost, None while no block is surely our own."""
    before = waiting.before
    if info.head_producer != producer or info.head_num <= before.head_num or info.head_time < waiting.own_from:
        return None
    count = missed(before.head_num, before.head_time, info.head_num, info.head_time)
    return {**waiting.fields, "slots_missed": count, "counted_to": info.head_num}
