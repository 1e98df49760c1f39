"""Flapping: who fails again and again goes last for a growing, bounded time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.core.election.hold_down import Flaps, failed
from agent.core.election.policy import Policy

P = Policy()


def test_one_fault_holds_nobody_down() -> None:
    """A node that failed once is as good as any."""
    assert failed(Flaps(), 1000, P).left(1000) == 0


def test_each_further_fault_doubles_the_time_up_to_a_bound() -> None:
    """The second fault costs 30 s, the third 60 s … but never more than ten minutes."""
    flaps, spans = Flaps(), []
    for _ in range(9):
        flaps = failed(flaps, 1000, P)
        spans.append(flaps.left(1000) // 1000)
    assert spans == [0, 30, 60, 120, 240, 480, 600, 600, 600]
    assert flaps.left(601_000) == 0


def test_faults_of_long_ago_are_forgotten() -> None:
    """What lies farther back than the window counts no more."""
    flaps = failed(failed(Flaps(), 1000, P), 2000, P)
    assert failed(flaps, 2000 + P.hold_down_window, P).left(2000 + P.hold_down_window) == 0


def test_leading_in_vain_holds_down_at_once() -> None:
    """A fault of double weight counts as if it had happened before."""
    assert failed(Flaps(), 1000, P, weight=2).left(1000) == P.hold_down


@given(st.lists(st.tuples(st.integers(0, 700_000), st.sampled_from([1, 2])), max_size=80))
def test_holding_down_is_bounded_whatever_happens(faults: list[tuple[int, int]]) -> None:
    """However often a node fails, what is remembered is bounded, and so is the time."""
    flaps, now = Flaps(), 0
    for wait, weight in faults:
        now += wait
        flaps = failed(flaps, now, P, weight)
        assert len(flaps.times) <= 32
        assert flaps.left(now) <= P.hold_down_max
