"""What the exhaustive search found about answers that come late, twice or never; each as a small story of one agent."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.leadership import actions as do
from agent.core.leadership import events as ev
from agent.core.leadership.state import Phase, Production
from agent.core.model.chain import ProcessId
from tests.core.leadership.one import NODEOS, One, T, record


def test_candidate_cut_off_for_long_keeps_few_writes_in_mind() -> None:
    """R2: writes too old to allow anything are forgotten, or a long outage of etcd would fill the memory."""
    one = One()
    one.standby()
    one.see(leader=None, heartbeat=None)
    for _ in range(200):
        one.tell(ev.Unknown(one.request("take").request, "no answer"), T.request)
        one.tick(one.state.pause)
    assert len(one.tenure.sent) <= T.validity // T.request + 1


def test_leader_stops_when_a_guard_may_have_acted_on_an_older_file() -> None:
    """R3: a guard fences by the run-time file; a leader that believes longer than that would lead a paused nodeos."""
    one = One()
    one.lead()
    written = one.tenure.valid_until - T.margin
    one.tick(T.renew)
    request = one.request("confirm")
    one.tell(ev.Applied(request.request, one.revision + 1), 2)  # and the run-time file is not written
    one.tick(written - one.now)
    assert one.state.renew_deadline > one.now
    assert one.phase() is Phase.STOPPING


def test_late_acknowledgement_of_an_older_file_counts_for_what_it_says() -> None:
    """R3: on a slow disk each write is acknowledged after the next was asked for, and the leader stays."""
    one = One()
    one.lead()
    for _ in range(30):
        one.tick(T.renew)
        before = one.state.saving
        request = one.request("confirm")
        one.revision += 1
        one.tell(ev.Applied(request.request, one.revision), 2)
        if before:
            one.tell(ev.RuntimeSaved(before, ok=True), 1)
    assert one.phase() is Phase.LEADING


def test_acknowledgement_after_the_guard_acted_comes_too_late() -> None:
    """R3: an agent that was frozen hears first that its file was written; the guard has paused nodeos before that."""
    one = One()
    one.lead()
    by = one.state.guard_stops_at
    one.tick(T.renew)
    one.tell(ev.Applied(one.request("confirm").request, one.revision + 1), 2)
    one.tell(ev.RuntimeSaved(one.state.saving, ok=True), by - one.now)
    assert one.phase() is Phase.STOPPING


def resuming() -> One:
    """An agent that was elected and has asked nodeos to resume."""
    one = One()
    one.standby()
    one.see(leader=None, heartbeat=None)
    one.apply("take")
    assert one.power() is Production.RESUMING
    return one


def test_process_that_came_while_a_resume_was_out_is_not_proven_by_a_pause() -> None:
    """R4: the resume may have reached the new process, and act after the pause; only that one's end is proof."""
    one = resuming()
    one.tell(ev.ProcessSeen(None), 10)
    one.tell(ev.ResumeDone(one.state.resume_call, ev.Call.TIMEOUT), T.request)
    one.tell(ev.ProcessSeen(ProcessId(101, 5)), 1)
    pause = one.last(do.PauseNodeos)
    one.tell(ev.PauseDone(pause.call, ev.Call.OK), 1)
    one.tick(T.pause)
    assert one.power() is Production.FENCING
    one.tell(ev.FenceDone(one.state.call, gone=True), 20)
    assert one.state.proven


def test_gone_process_is_no_proof_while_a_resume_is_out() -> None:
    """R4: a resume that has not come back may reach the process that is started next, so nothing is released."""
    one = resuming()
    one.tell(ev.ProcessSeen(None), 10)
    one.save()
    assert one.power() is Production.STOPPED
    assert one.phase() is Phase.STOPPING
    one.tell(ev.ResumeDone(one.state.resume_call, ev.Call.UNREACHABLE), 5)
    assert one.phase() is Phase.RELEASING


@pytest.mark.parametrize("unpaused", [True, False])
def test_nodeos_of_a_standby_that_starts_unpaused_is_told(unpaused: bool) -> None:
    """R4: it is paused at once, by when nobody could see how it began: so it is asked before."""
    one = One()
    one.standby()
    one.tell(ev.ProcessSeen(ProcessId(101, 5)))
    pause = one.last(do.PauseNodeos)
    assert pause.looks
    found = one.tell(ev.PauseDone(pause.call, ev.Call.OK, unpaused=unpaused), 1)
    assert [each.key for each in found if isinstance(each, do.Warn)] == ["unpaused"] * unpaused
    one.tick(T.block)
    assert one.state.proven


def test_leader_that_stops_asks_nothing_before_its_pause() -> None:
    """R3: what is left until V is for the pause alone."""
    one = One()
    one.lead()
    one.tell(replace(one.state.eligibility, handover="asked for", cause="switchover"))
    pause = one.last(do.PauseNodeos)
    assert not pause.looks


def refused(one: One, result: ev.Call = ev.Call.ERROR, after: int = 11) -> list[do.Action]:
    """Answer the pause under way with an error."""
    pause = one.last(do.PauseNodeos)
    return one.tell(ev.PauseDone(pause.call, result, "HTTP 429: busy"), after)


@pytest.mark.parametrize("result", [ev.Call.ERROR, ev.Call.UNREACHABLE])
def test_busy_nodeos_is_asked_again_and_not_ended(result: ev.Call) -> None:
    """R3: one 429 or 503 to the pause of a planned handover costs 50 ms, not a killed nodeos and its replay."""
    one = One()
    one.lead()
    one.tell(replace(one.state.eligibility, handover="asked for", cause="switchover"))
    assert not any(isinstance(action, do.FenceNodeos) for action in refused(one, result))
    (again,) = [action for action in one.tick(50) if isinstance(action, do.PauseNodeos)]
    one.tell(ev.PauseDone(again.call, ev.Call.OK), 1)
    one.tick(T.block)
    assert one.power() is Production.STOPPED
    assert not any(isinstance(action, do.FenceNodeos) for action in one.all)


@given(st.lists(st.integers(0, 60), min_size=40, max_size=40))
def test_nodeos_that_refuses_every_pause_is_ended_in_time_and_asked_less_and_less(waits: list[int]) -> None:
    """R3: the fence begins P after the stop at the latest, however nodeos refuses; until then it is asked few times."""
    one = One()
    one.lead()
    one.tell(replace(one.state.eligibility, handover="asked for", cause="switchover"))
    begun, before = one.now, len(one.all)
    for wait in waits:
        if one.power() is Production.PAUSING:
            refused(one, after=wait)
        elif one.power() is Production.UNKNOWN:
            assert one.state.wake is not None
            one.tick(max(0, one.state.wake - one.now))
    assert one.power() is Production.FENCING
    assert one.state.production_since <= begun + T.pause + 60
    assert sum(isinstance(action, do.PauseNodeos) for action in one.all[before:]) <= 4


def test_no_file_lets_a_restarted_agent_lead_for_longer_than_a_confirmation_counts() -> None:
    """P1, R1: a time far ahead in the run-time file (damaged, of another clock) ends with E, counted from the start."""
    one = One()
    until = one.now + 1000 * T.validity
    one.tell(ev.Started(replace(record(one.now), valid_until=until, stop_by=until - T.margin), NODEOS))
    assert one.phase() is Phase.LEADING
    one.tick(T.validity - T.margin)
    assert one.phase() is Phase.STOPPING


@pytest.mark.parametrize("late", [False, True], ids=["in time", "after V"])
def test_a_stop_that_comes_after_its_time_does_not_hurry(late: bool) -> None:
    """R3: by V the guard has stopped nodeos; an agent that thaws later must not end one that is slow to answer."""
    one = One()
    one.lead()
    tenure = one.state.tenure
    assert tenure is not None
    at = tenure.valid_until + 1 if late else one.state.stop_at
    one.tick(at - one.now)
    assert one.phase() is Phase.STOPPING
    one.tick(T.pause)
    assert (one.power() is Production.FENCING) is not late
    one.tick(T.request - T.pause)
    assert one.power() is Production.FENCING
