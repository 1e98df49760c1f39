"""Pauses between tries: they grow while something fails, and begin anew when it did not for long."""

from __future__ import annotations

from agent.host.jitter import Pauses, spread
from tests.support.moved_time import MovedTime


def test_pauses_double_up_to_the_longest_and_begin_anew() -> None:
    """A tenth of the longest at first; each at least half of what it may be, so that agents do not ask together."""
    time = MovedTime(1_000_000)
    pauses = Pauses(4.0, lambda: time.now)
    assert pauses.left_s() == 0
    for longest_s in (0.4, 0.8, 1.6, 3.2, 4.0, 4.0):
        waited = pauses.after_failure()
        assert longest_s / 2 - 0.001 <= waited <= longest_s + 0.001
        assert pauses.left_s() == waited
        time.go(round(waited * 1000))
        assert pauses.left_s() == 0
    time.go(4_001)
    assert pauses.after_failure() <= 0.401


def test_a_spread_pause_is_never_longer_than_planned() -> None:
    """It lies between the share that is given and the whole."""
    for least in (0.5, 0.9):
        found = [spread(10.0, least) for _ in range(200)]
        assert all(10 * least <= each <= 10.0 for each in found)
        assert len(set(found)) > 100
