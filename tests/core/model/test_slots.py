"""Slots: whose turn it is, and how many slots a gap has."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.model.slots import EPOCH, REPETITIONS, SLOT, missed, producer_index, slot_of

walls = st.integers(0, 4 * 10**12)
slots = st.integers(0, 10**10)


def test_slot_zero_is_the_first_moment_of_2000() -> None:
    """Slots count from 2000-01-01T00:00Z, half a second each."""
    assert datetime(2000, 1, 1, tzinfo=UTC).timestamp() * 1000 == EPOCH
    assert [slot_of(EPOCH - 1), slot_of(EPOCH), slot_of(EPOCH + 499), slot_of(EPOCH + 500)] == [-1, 0, 0, 1]


@given(walls)
def test_a_slot_holds_its_time(wall: int) -> None:
    """Every moment lies in exactly one slot, which begins at or before it."""
    start = EPOCH + slot_of(wall) * SLOT
    assert start <= wall < start + SLOT


@given(slots, st.integers(1, 125))
def test_each_producer_has_twelve_slots_in_a_row(slot: int, producers: int) -> None:
    """In any round each producer has twelve slots, one after another, in the order of the schedule."""
    first = slot - slot % (producers * REPETITIONS)
    turns = [producer_index(each, producers) for each in range(first, first + producers * REPETITIONS)]
    assert turns == [index for index in range(producers) for _ in range(12)]


@given(walls, st.lists(st.integers(1, 50), min_size=1, max_size=30))
def test_missed_slots_add_up(start: int, steps: list[int]) -> None:
    """The slots missed between the ends of a chain are those missed between its neighbours, summed."""
    blocks = [(7, start)]
    for step in steps:
        num, time = blocks[-1]
        blocks.append((num + 1, time + step * SLOT))
    each = [missed(*one, *two) for one, two in pairwise(blocks)]
    assert missed(*blocks[0], *blocks[-1]) == sum(each) == sum(step - 1 for step in steps)


@pytest.mark.parametrize(("to_num", "to_time"), [(7, EPOCH), (9, EPOCH + SLOT), (8, EPOCH - 5 * SLOT)])
def test_a_gap_is_never_below_zero(to_num: int, to_time: int) -> None:
    """From a block to itself, or to one of another fork, no slots are missed rather than less than none."""
    assert missed(7, EPOCH, to_num, to_time) == 0
