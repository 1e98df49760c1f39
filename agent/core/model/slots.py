"""Slots of an Antelope chain, and whose they are: pure arithmetic."""

from __future__ import annotations

from agent.core.model.store import Ms

SLOT: Ms = 500
"""One slot (nodeos: `block_interval_ms`)."""
EPOCH: Ms = 946_684_800_000
"""Slot 0: 2000-01-01T00:00Z, in milliseconds since 1970 (nodeos: `block_timestamp_epoch`)."""
REPETITIONS = 12
"""Blocks that a producer signs in a row (nodeos: `producer_repetitions`)."""


def slot_of(wall: Ms) -> int:
    """Return the slot of a time in milliseconds since 1970 UTC."""
    return (wall - EPOCH) // SLOT


def date(slot: int) -> Ms:
    """Return the date of a slot in milliseconds since 1970 UTC."""
    return EPOCH + slot * SLOT


def producer_index(slot: int, producers: int) -> int:
    """Return the place in a schedule of `producers` entries whose turn `slot` is."""
    return slot % (producers * REPETITIONS) // REPETITIONS


def missed(from_num: int, from_time: Ms, to_num: int, to_time: Ms) -> int:
    """Return how many slots between two blocks of one chain have no block."""
    return max(0, slot_of(to_time) - slot_of(from_time) - (to_num - from_num))
