"""Windows of our producer, how far the next is, and the gaps between them, for any schedule."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.blocks.schedule import EARLY, QUIET, ProducerWindows, windows_of
from agent.core.model.chain import Producer, Schedule
from agent.core.model.slots import EPOCH, REPETITIONS, SLOT, date, producer_index, slot_of

WINDOW = REPETITIONS * SLOT
walls = st.integers(EPOCH + 10**11, EPOCH + 2 * 10**11)
places = st.integers(1, 25).flatmap(lambda n: st.builds(ProducerWindows, st.just(n), st.integers(0, n - 1)))
spans = st.integers(0, 6000)


def ours(windows: ProducerWindows, slot: int) -> bool:
    """Whether a slot is ours, by the schedule's own rule."""
    return producer_index(slot, windows.producers) == windows.index


@given(places, walls)
def test_a_window_is_twelve_slots_of_ours(windows: ProducerWindows, wall: int) -> None:
    """The window found is ours, from its first to its last slot, and not over."""
    first, last = windows.window(wall)
    assert last - first == WINDOW - SLOT
    assert all(ours(windows, slot) for slot in range(slot_of(first), slot_of(last) + 1))
    assert slot_of(first) % REPETITIONS == 0
    assert last + QUIET > wall >= first - windows.producers * WINDOW + QUIET - SLOT


@given(places.filter(lambda each: not each.alone), walls, spans)
def test_a_handover_in_a_gap_meets_no_slot_of_ours(windows: ProducerWindows, wall: int, span: int) -> None:
    """From a slot after our last one until a slot before our next is begun, nothing of ours is lost."""
    begins = windows.gap(wall, span)
    assert begins >= wall
    roomy = (windows.producers - 1) * WINDOW > span + QUIET + EARLY
    if roomy:
        touched = range(slot_of(begins - QUIET) + 1, slot_of(begins + span + EARLY - 1) + 1)
        assert not any(ours(windows, slot) for slot in touched)


@given(places, walls, st.integers(6000, 60_000))
def test_a_gap_always_comes(windows: ProducerWindows, wall: int, span: int) -> None:
    """Even where none is long enough a moment is found within one round, and is still one when it has come."""
    begins = windows.gap(wall, span)
    assert begins - wall <= windows.producers * WINDOW + QUIET
    assert windows.gap(begins, span) == begins


def test_alone_every_moment_is_as_good() -> None:
    """With every slot ours there is no gap to wait for, and no window is near or far."""
    assert ProducerWindows(1, 0).gap(EPOCH + 12345, 3400) == EPOCH + 12345
    assert ProducerWindows(1, 0).away(EPOCH + 12345) == 0


def test_the_margins_of_a_round_of_four() -> None:
    """Second of four: the window is slots 12 to 23 of 48; a gap opens half a second after it, and closes in time."""
    windows, span = ProducerWindows(4, 1), 3400
    first, last = date(12), date(23)
    closes = first - EARLY - span
    assert windows.gap(closes, span) == closes
    assert windows.gap(closes + 1, span) == last + QUIET
    assert windows.gap(first, span) == windows.gap(last, span) == last + QUIET
    assert windows.gap(last + QUIET, span) == last + QUIET
    assert windows.away(first - EARLY - 700) == 700
    assert windows.away(first - EARLY) == windows.away(last + QUIET - 1) == 0
    assert windows.away(last + QUIET) == date(60) - EARLY - last - QUIET


@given(places, walls, st.integers(1, 30))
def test_own_slots_are_counted_across_windows(windows: ProducerWindows, wall: int, count: int) -> None:
    """The n-th slot of ours from a moment on is ours, and so many lie between."""
    first, last = windows.own(wall, count)
    assert first >= wall
    assert first - wall <= windows.producers * WINDOW
    assert sum(ours(windows, slot) for slot in range(slot_of(first), slot_of(last) + 1)) == count
    assert ours(windows, slot_of(first))
    assert ours(windows, slot_of(last))


@pytest.mark.parametrize(
    ("names", "found"), [(["a", "b"], ProducerWindows(2, 1)), (["b"], ProducerWindows(1, 0)), (["a"], None), ([], None)]
)
def test_the_place_is_that_of_the_schedule(names: list[str], found: ProducerWindows | None) -> None:
    """A producer that is not in the schedule has no windows."""
    assert windows_of(Schedule(1, tuple(Producer(name, ()) for name in names)), "b") == found
    assert windows_of(None, "b") is None
