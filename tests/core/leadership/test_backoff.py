"""An answer that came fast and means nothing is no reason to ask a thousand times: every failure brings a pause."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from agent.core.leadership import actions as do
from agent.core.leadership import events as ev
from agent.core.leadership.state import Phase, Production, State
from agent.core.leadership.timing import GateMode
from agent.core.model.backoff import longer
from agent.core.model.records import HeartbeatKey
from agent.core.model.store import Ms
from agent.errors import NodeosAnswer, NodeosError, NodeosUnreachable
from agent.runtime.calls import outcome
from tests.core.leadership.one import LEASE, NODEOS, One, T, held
from tests.core.leadership.test_gate import FAST as GATED
from tests.core.leadership.test_gate import Gated

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
    stop_by = one.state.renew_deadline
    assert 8 <= asked(one, kind, stop_by) <= 16
    assert one.phase() is Phase.STOPPING or one.now - begun < T.validity


@pytest.mark.parametrize("kind", ["unknown", "rejected", "refused"])
def test_release_pauses_but_its_first_try_does_not_wait(kind: str) -> None:
    """A release leaves as soon as the stop is proven, whatever pause a confirmation has met; then it backs off (R5)."""
    one = One()
    one.lead()
    asked(one, "unknown", one.state.renew_deadline)
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


BUSY: dict[str, NodeosError] = {
    "429": NodeosAnswer(429, 0, "too many requests"),
    "503": NodeosAnswer(503, 0, "too much work"),
    "404": NodeosAnswer(404, 0, "no such API"),
    "refused": NodeosUnreachable("connection refused"),
}
"""Answers of nodeos that come at once and do nothing."""


def answered(one: One, result: ev.Call, until: int) -> int:
    """Let time pass, let nodeos and the gate answer every call alike, and count the calls."""
    count, told = 0, 0
    while one.now < until:
        for action in one.all[told:]:
            match action:
                case do.PauseNodeos(call):
                    one.tell(ev.PauseDone(call, result, "at once"), FAST)
                case do.ReadHead(call):
                    one.tell(ev.HeadRead(call, None), FAST)
                case do.CloseGate(call):
                    one.tell(ev.GateDone(call, closed=False, why="at once"), FAST)
                case _:
                    told += 1
                    continue
            count += 1
            told += 1
        one.tick(FAST)
    return count


@pytest.mark.parametrize("says", BUSY)
@pytest.mark.parametrize("gate", [GateMode.OFF, GateMode.REQUIRED])
def test_what_fails_fast_is_asked_every_r_while_nothing_is_urgent(gate: GateMode, says: str) -> None:
    """A node that does not lead: its pause, and the closing of its gate, are tried about every R: 25 times in 10 s."""
    one = Gated(GATED) if gate is GateMode.REQUIRED else One()
    if isinstance(one, Gated):
        one.answers = False
    one.tell(ev.Started(None, NODEOS))
    calls = 1 if gate is GateMode.OFF else 2
    assert 15 * calls <= answered(one, outcome(BUSY[says]), one.now + 10_000) <= 25 * calls


@pytest.mark.parametrize("says", BUSY)
def test_a_stop_is_asked_for_with_growing_pauses_and_not_delayed_by_them(says: str) -> None:
    """R3: a pause that fails fast is asked for a few times, and when its time is over the process is ended."""
    one = One()
    one.lead()
    one.tell(ev.Eligibility(False, can_produce=False, rank=0, why="", handover="unhealthy"))
    due = one.state.pause_by
    assert due == one.now + T.pause
    assert 2 <= answered(one, outcome(BUSY[says]), due - FAST) <= 8
    assert one.power() is not Production.FENCING
    answered(one, outcome(BUSY[says]), due + 2 * FAST)
    assert one.power() is Production.FENCING


def test_a_head_that_cannot_be_read_is_asked_for_with_growing_pauses() -> None:
    """R9: who waits for the last block of the leader before asks after 50 ms at first, after R at the latest."""
    one = One()
    one.standby()
    one.see(leader=None, heartbeat=HeartbeatKey(held(3, released=True, block=1000), 9))
    one.apply("take")
    assert one.phase() is Phase.ELECTED
    assert 4 <= answered(one, ev.Call.OK, one.now + T.catch_up - 1) <= 5 + T.catch_up // T.renew


@pytest.mark.parametrize("kind", ["unknown", "rejected"])
@pytest.mark.parametrize("spare", [0, 100, 1000])
def test_a_lead_is_kept_that_a_retry_within_r_saves(kind: str, spare: int) -> None:
    """P3: etcd that is well again R before the stop keeps the leader, whatever pause its failures have come to."""
    one = One()
    one.lead()
    asked(one, kind, one.state.renew_deadline - T.renew - 2 * FAST - spare)
    since = one.now
    while not one.state.request:
        one.tick(1)
    assert one.now - since <= T.renew
    one.apply("confirm")
    assert one.phase() is Phase.LEADING
    assert one.state.renew_deadline > one.now + T.renew


@pytest.mark.parametrize("kind", ["unknown", "rejected"])
def test_no_pause_delays_the_stop(kind: str) -> None:
    """R3: at V - A nodeos is paused, to the millisecond, in the midst of a pause between transactions or not."""
    one = One()
    one.lead()
    stop_by = one.state.renew_deadline
    asked(one, kind, stop_by - 2 * FAST)
    while not any(isinstance(action, do.PauseNodeos) for action in one.all[-5:]):
        assert one.now < stop_by
        one.tick(1)
    assert one.now == stop_by


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
