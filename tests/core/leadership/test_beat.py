"""A node confirms at a beat of its own: leaders that one election held up do not go on in step."""

from __future__ import annotations

import itertools
from dataclasses import replace

from agent.core.leadership.state import State
from agent.core.model.store import Ms
from tests.core.leadership.one import One, T


def confirmations(at: Ms | None, count: int) -> list[Ms]:
    """Lead; etcd holds one confirmation up for 1.2 s; return when the next ones are sent (ms after that answer)."""
    one = One()
    one.state = State(replace(one.state.identity, renew_phase=at))
    one.lead()
    one.tick(T.renew)
    one.apply("confirm", after=1200)
    begin, found = one.now, [0]
    for _ in range(count):
        one.apply("confirm", after=0)
        assert one.state.wake is not None
        while not one.state.request:
            one.tick(max(1, one.state.wake - one.now))
        found.append(one.now - begin)
    return found


def test_held_up_leaders_part_again() -> None:
    """R1: after an election each confirms at once, and then, R later at most, at its own beat; from then on every R."""
    seen = set()
    for at in (0, 100, 200, 300, 400):
        sent = confirmations(at, 4)
        gaps = [later - earlier for earlier, later in itertools.pairwise(sent)]
        assert sent[0] == 0
        assert 0 < gaps[0] <= T.renew
        assert gaps[1:] == [T.renew] * 3
        seen.add(sent[1])
    assert len(seen) == 5
    assert confirmations(None, 4) == [0, 500, 1000, 1500, 2000], "without a beat all of them stay in step"
