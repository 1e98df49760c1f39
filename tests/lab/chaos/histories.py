"""Histories made by hand, for tests of the judge. Nothing else lives here."""

from __future__ import annotations

from agent.core.model.slots import slot_of
from tests.lab.chaos.history import Change, Done, History, slot_time
from tests.lab.chaos.plan import Fault
from tests.lab.evidence import Signature

BEGAN = 1_700_000_000.0
FIRST = slot_of(round(BEGAN * 1000))


def signature(node: str, slot: int, block: str = "") -> Signature:
    """Return a block of a slot counted from the beginning."""
    number = FIRST + slot
    return Signature(node, "eosio", number, 100 + slot, block or f"{slot:016x}", slot_time(number))


def at(slot: int) -> float:
    """Return the time of a slot counted from the beginning."""
    return slot_time(FIRST + slot)


def done(kind: str, target: str, started: float, ended: float, number: int = 1, failed: str = "") -> Done:
    """Return a fault that was in force from one slot to another."""
    whole = Fault(number, 0.0, kind, target, max(0.0, (ended - started) / 2))
    return Done(whole, at(0) + started / 2, at(0) + ended / 2, failed)


def change(node: str, slot: float, phase: str, key: str, epoch: int) -> Change:
    """Return a change of phase."""
    return Change(node, at(0) + slot / 2, phase, key, epoch, key)


def history(slots: int = 40) -> History:
    """Return a history in which bp-a leads and signs every slot, and nothing happens."""
    return History(
        nodes=["bp-a", "bp-b"],
        began=at(0),
        ended=at(slots),
        signatures=[signature("bp-a", slot) for slot in range(slots)],
        changes=[change("bp-a", 0, "leading", "leads", 1), change("bp-b", 0, "standby", "ready", 0)],
    )


def without(found: History, first: int, last: int) -> History:
    """Take the blocks of these slots out."""
    kept = [each for each in found.signatures if not FIRST + first <= each.slot <= FIRST + last]
    found.signatures = kept
    return found
