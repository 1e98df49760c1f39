"""Which block of our producer each member's chain has, slot by slot, as far as they have told.

Two blocks for one slot are two signatures, whatever branch they are on: a governed producer never makes them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from agent.core.model.records import OWN, Member
from agent.core.model.store import Ms

KEPT = 400
"""Slots of ours that are remembered at most, and at least half as many: on a chain of one producer, 100 seconds."""
SHORT = 24
"""Characters of an id that are told: 8 of them are the number, the rest are 64 bits of a hash."""

LATELY: Ms = 150_000
"""A block that is dated so shortly before a report is of the last round, up to 24 producers."""


@dataclass(frozen=True, slots=True)
class Sightings:
    """slot → id → the nodes on whose chain it was seen. What is older than `oldest` was forgotten."""

    by_slot: Mapping[int, Mapping[str, frozenset[str]]] = field(default_factory=dict)
    oldest: int = -1

    def holders(self, slot: int) -> frozenset[str]:
        """Return on whose chain any block of a slot is."""
        return frozenset().union(*self.by_slot.get(slot, {}).values())


def claimed(claims: Sightings, node: str, blocks: Mapping[int, str]) -> Sightings:
    """Note the blocks (slot → id) that are on the chain of `node`. Of more than `KEPT` slots the oldest go."""
    known = claims.by_slot
    new = [
        (slot, short)
        for slot, full in blocks.items()
        if node not in known.get(slot, {}).get(short := full[:SHORT], ()) and (slot > claims.oldest or slot in known)
    ]
    if not new:
        return claims
    kept = dict(known)
    for slot, short in new:
        ids = kept.get(slot, {})
        kept[slot] = {**ids, short: ids.get(short, frozenset()) | {node}}
    if len(kept) <= KEPT:
        return Sightings(kept, claims.oldest)
    newest = sorted(kept)[-KEPT // 2 :]
    return Sightings({slot: kept[slot] for slot in newest}, newest[0])


def told(blocks: Mapping[int, str]) -> tuple[str, ...]:
    """Return the newest blocks as a member tells of them."""
    return tuple(f"{slot}:{blocks[slot][:SHORT]}" for slot in sorted(blocks)[-OWN:])


def strays(members: Iterable[Member], *, led: bool) -> list[str]:
    """Return what reports tell of blocks that no leader can have signed, a line for each kind, for those outside.

    Two blocks for one slot are on the chains of two members; or blocks come though nobody has ever `led`.
    """
    members = tuple(members)
    by_slot: dict[int, dict[str, set[str]]] = {}
    for member in members:
        for slot, short in member.own_blocks.items():
            by_slot.setdefault(slot, {}).setdefault(short, set()).add(member.node)
    found = []
    if twice := [slot for slot, ids in by_slot.items() if len(ids) > 1]:
        nodes = sorted(set().union(*(each for slot in twice for each in by_slot[slot].values())))
        found.append(f"slots were signed twice, the last of them {max(twice)}, by the chains of {', '.join(nodes)}")
    if not led and (seen := sorted(each.node for each in members if 0 < each.asked_ms < each.own_ms + LATELY)):
        found.append(
            f"blocks come though nobody has led, on the chain of {', '.join(seen)}: a nodeos without agent signs"
        )
    return found
