"""An answer that came fast and means nothing is no reason to ask a thousand times: every failure brings a pause."""

from __future__ import annotations

import pytest

from agent.core.leadership import events as ev
from agent.core.leadership.state import Phase
from agent.core.model.backoff import longer
from tests.core.leadership.test_rules import LEASE, One, T

FAST = 2
"""Milliseconds until etcd answers."""


def answer(kind: str, request: int) -> ev.Event:
    """Return an answer that changes nothing."""
    if kind == "unknown":
        return ev.Unknown(request, "RESOURCE_EXHAUSTED")
    if kind == "refused":
        return ev.Refused(request, 11, None, None)
    return ev.Rejected(request, kind == "lease gone", "permission denied")


def asked(one: One, kind: str, until: int) -> int:
    """Let time pass, answer every request alike, and count them."""
    count = 0
    while one.now < until:
        if one.state.request:
            count += 1
            one.tell(answer(kind, one.state.request), FAST)
            one.tell(ev.LeaseSeen(LEASE))
        else:
            one.tick(FAST)
    return count


@pytest.mark.parametrize("kind", ["unknown", "refused", "rejected", "lease gone"])
def test_candidate_pauses_after_every_answer(kind: str) -> None:
    """A take-over that gets nothing but fast answers asks about every R: 25 times in 10 s at most, not 5,000."""
    one = One()
    one.standby()
    one.see(leader=None, heartbeat=None)
    assert 15 <= asked(one, kind, one.now + 10_000) <= 25


@pytest.mark.parametrize("kind", ["unknown", "rejected"])
def test_leader_pauses_and_still_tries_until_it_must_stop(kind: str) -> None:
    """Confirmations are tried again after 50 ms at first and every R at the latest, so that V is not lost to pauses."""
    one = One()
    one.lead()
    begun = one.now
    stop_by = one.state.stop_by
    assert 8 <= asked(one, kind, stop_by) <= 16
    assert one.phase() is Phase.STOPPING or one.now - begun < T.validity


@pytest.mark.parametrize("kind", ["unknown", "rejected", "refused"])
def test_release_pauses_but_its_first_try_does_not_wait(kind: str) -> None:
    """A release leaves as soon as the stop is proven, whatever pause a confirmation has met; then it backs off (R5)."""
    one = One()
    one.lead()
    asked(one, "unknown", one.state.stop_by)
    one.tick(1)
    if one.state.request:
        one.tell(ev.Unknown(one.state.request, "late"), 1)
    one.until_released()
    assert asked(one, kind, one.now + 10_000) <= 25


def test_pauses_double_up_to_the_bound_and_begin_anew_after_quiet() -> None:
    """50, 100, 200, 400, 500, 500 ms; and 50 again when nothing failed for longer than the bound."""
    pauses = [0]
    for _ in range(6):
        pauses.append(longer(pauses[-1], 500, 2))
    assert pauses[1:] == [50, 100, 200, 400, 500, 500]
    assert longer(500, 500, 501) == 50
