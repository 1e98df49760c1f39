"""The rules of the leadership protocol, one after another: events in, actions out, at given times.

One node, `bp-a`, stands against a store and a nodeos that answer what the test says. Times are milliseconds.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.core.leadership import actions as do
from agent.core.leadership import events as ev
from agent.core.leadership import machine
from agent.core.leadership.timing import Timing
from agent.core.model.store import Ms
from tests.core.leadership.one import One, T


@pytest.mark.parametrize(
    ("timing", "within"),
    [
        (T, 1500),
        (replace(T, validity=3000, renew=400, request=600, election=500), 1500),
        (replace(T, validity=2000, renew=100, request=300, election=200), 2000 - T.margin - 2),
    ],
    ids=["default", "fast", "short"],
)
def test_a_resume_has_its_own_time_and_ends_before_the_stop(timing: Timing, within: Ms) -> None:
    """R9, R3: nodeos's first resume takes 0.7 s, which is no hang, whatever etcd is given; but none outlasts V - A."""
    one = One()
    one.given(timing)
    one.standby()
    one.see(leader=None, heartbeat=None)
    one.apply("take")
    resume = one.last(do.ResumeNodeos)
    assert resume.within == within
    assert one.now + resume.within <= one.state.stop_at


def test_every_step_is_pure() -> None:
    """The same state, event and time give the same state and the same actions."""
    one = One()
    one.lead()
    before = one.state
    first = machine.step(before, ev.ProcessSeen(None), one.now)
    assert first == machine.step(before, ev.ProcessSeen(None), one.now)
    assert one.state is before
