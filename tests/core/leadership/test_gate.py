"""The signing gate in the protocol: when it is opened and closed, and what a closed one proves.

One node, `bp-a`, as in test_rules, with `gate.mode` required (fast spans) or on. Times are milliseconds.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.core.leadership import actions as do
from agent.core.leadership import events as ev
from agent.core.leadership.state import GateState, Phase, Production
from agent.core.leadership.timing import GateMode, Timing, standstill
from agent.core.model.chain import ProcessId
from agent.core.model.records import Heartbeat, HeartbeatKey, LeaderKey, RuntimeRecord, read_heartbeat
from agent.core.model.store import Put
from tests.core.leadership.one import LEASE, NODEOS, One

FAST = Timing(
    validity=1600, renew=200, slack=100, request=500, election=500, lease_ttl=3, nomination=2000, gate=GateMode.REQUIRED
)
BESIDE = Timing(gate=GateMode.ON)


class Gated(One):
    """An agent with a gate, which closes at once unless the test says otherwise."""

    def __init__(self, timing: Timing = FAST) -> None:
        super().__init__()
        self.state = replace(self.state, identity=replace(self.state.identity, timing=timing))
        self.answers = True

    def tell(self, event: ev.Event, after: int = 0) -> list[do.Action]:
        """Give an event, and let the gate answer."""
        new = super().tell(event, after)
        for action in tuple(new):
            if isinstance(action, do.CloseGate) and self.answers:
                new += super().tell(ev.GateClosed(action.call), 2)
        return new

    def stop(self) -> list[do.Action]:
        """Let an operator end the tenure."""
        return self.see(leader=None)

    def permits(self) -> list[tuple[int, int]]:
        """Return all that the gate was permitted: epoch, until."""
        return [(each.epoch, each.until) for each in self.all if isinstance(each, do.OpenGate)]

    def until_read(self) -> None:
        """Answer the pause, and the question for the head that comes after it."""
        pause = self.last(do.PauseNodeos)
        assert isinstance(pause, do.PauseNodeos)
        self.tell(ev.PauseDone(pause.call, ev.Call.OK), 1)
        self.read_head(41)
        self.save()


def kinds(actions: list[do.Action]) -> list[type]:
    """Return what kinds of actions they are."""
    return [type(each) for each in actions]


def test_without_a_gate_none_is_asked_for() -> None:
    """Mode off: nothing is opened, closed or waited for."""
    one = One()
    one.lead()
    one.see(leader=None)
    one.until_released()
    assert not {do.OpenGate, do.CloseGate} & set(kinds(one.all))
    assert one.state.gate is GateState.UNKNOWN


@pytest.mark.parametrize("timing", [FAST, BESIDE], ids=["required", "on"])
def test_the_gate_is_opened_with_the_resume_and_with_each_confirmation_until_v_minus_g(timing: Timing) -> None:
    """R1, R9: it is closed while the node is a candidate, opened right before the resume, and prolonged from V."""
    one = Gated(timing)
    one.lead()
    first = kinds(one.all).index(do.OpenGate)
    assert kinds(one.all).index(do.ResumeNodeos) == first + 1
    for _ in range(3):
        one.tick(timing.renew)
        one.apply("confirm")
        assert one.state.tenure is not None
        assert one.permits()[-1] == (1, one.state.tenure.valid_until - timing.slack)
    assert one.permits() == sorted(set(one.permits()))
    assert len(one.permits()) == 4


def test_a_confirmation_that_comes_too_late_opens_nothing() -> None:
    """R3: from V - A on the tenure is over, and no answer prolongs what the gate may sign."""
    one = Gated()
    one.lead()
    one.tick(200)
    before = one.permits()
    one.answers = False
    one.tell(ev.Applied(one.request("confirm").request, 99), FAST.validity - FAST.margin)
    assert one.phase() is Phase.STOPPING
    assert one.permits() == before


def test_a_stop_closes_the_gate_first_and_pauses_beside_it() -> None:
    """R3: the first thing that a stop asks for is the closing, then the pause, both in the same step."""
    one = Gated()
    one.lead()
    new = [each for each in kinds(one.stop()) if each in (do.CloseGate, do.PauseNodeos, do.FenceNodeos)]
    assert new == [do.CloseGate, do.PauseNodeos]


@pytest.mark.parametrize("timing", [FAST, BESIDE], ids=["required", "on"])
def test_a_closed_gate_is_the_proof_and_no_block_in_flight_is_waited_for(timing: Timing) -> None:
    """R4, R5: with the gate proven closed, the pause answered and the head read, the release goes at once."""
    one = Gated(timing)
    one.lead()
    one.tell(ev.GateSigned(one.now + 5), 10)
    one.stop()
    began = one.now
    one.until_read()
    one.request("release")
    assert one.now - began < 10
    assert one.power() is Production.SETTLING
    put = one.request("release").txn.then[0]
    assert isinstance(put, Put)
    block = read_heartbeat(put.value).last_block
    assert block is not None
    assert block.num == 41


def test_with_on_a_gate_that_was_not_seen_to_sign_proves_nothing() -> None:
    """R4: mode on: nodeos may have the key itself, so the stop is proven as without a gate."""
    one = Gated(BESIDE)
    one.lead()
    one.stop()
    pause = one.last(do.PauseNodeos)
    assert isinstance(pause, do.PauseNodeos)
    one.tell(ev.PauseDone(pause.call, ev.Call.OK), 1)
    assert one.state.gate is GateState.CLOSED
    assert not one.state.proven
    one.tick(BESIDE.block)
    assert one.state.proven


def test_with_on_what_was_seen_of_one_process_says_nothing_of_the_next() -> None:
    """R4: mode on: nodeos is another process now, perhaps with the key itself: its stop is proven by the pause."""
    one = Gated(BESIDE)
    one.lead()
    one.tell(ev.GateSigned(one.now + 5), 10)
    one.tell(ev.ProcessSeen(ProcessId(101, 2)), 10)
    pause = one.last(do.PauseNodeos)
    assert isinstance(pause, do.PauseNodeos)
    one.tell(ev.PauseDone(pause.call, ev.Call.OK), 1)
    assert one.state.gate is GateState.CLOSED
    assert not one.state.proven
    one.tick(BESIDE.block)
    assert one.state.proven


def test_a_hung_nodeos_is_neither_waited_for_nor_ended() -> None:
    """R4: no answer to the pause: the release goes when no slot of a last signature can be to come (B), no kill."""
    one = Gated()
    one.lead()
    one.stop()
    began = one.now
    while one.phase() is Phase.STOPPING:
        one.tick(10)
    one.save()
    one.request("release")
    assert FAST.block <= one.now - began <= FAST.block + 20
    assert do.FenceNodeos not in kinds(one.all)


def test_who_was_not_paused_does_not_campaign() -> None:
    """R8: after a release by the gate alone this node is no candidate until its nodeos is paused, proven by R4."""
    one = Gated()
    one.lead()
    one.stop()
    while one.phase() is Phase.STOPPING:
        one.tick(10)
    one.save()
    one.apply("release")
    one.see(leader=None)
    one.tick(10_000)
    assert one.phase() is Phase.STANDBY
    assert do.FenceNodeos not in kinds(one.all)
    one.paused()
    one.see(leader=None)
    assert one.phase() is Phase.CAMPAIGNING


def test_a_closing_that_is_not_proven_is_told_and_the_time_proves_it() -> None:
    """R4: required: no pause is a proof; from V on the gate has signed nothing for G, by its own clock."""
    one = Gated()
    one.lead()
    one.answers = False
    one.stop()
    assert one.state.tenure is not None
    over = one.state.tenure.valid_until
    one.until_read()
    new = one.tick(FAST.gate_close)
    assert [each.key for each in new if isinstance(each, do.Warn)] == ["gate_failed"]
    one.tick(FAST.block)
    assert one.power() is Production.STOPPED
    assert not one.state.proven
    one.tick(over - one.now - 1)
    assert one.phase() is Phase.STOPPING
    one.tick(1)
    one.read_head(41)
    assert one.phase() is Phase.RELEASING
    assert do.FenceNodeos not in kinds(one.all)


def test_with_on_a_gate_that_fails_leaves_the_stop_as_without_a_gate() -> None:
    """R3: mode on, the gate known to sign: it gives no proof and nodeos no answer, so nodeos is ended within A."""
    one = Gated(BESIDE)
    one.lead()
    one.tell(ev.GateSigned(one.now + 5), 10)
    one.answers = False
    one.stop()
    began = one.now
    while do.FenceNodeos not in kinds(one.all):
        one.tick(10)
    assert one.now - began <= BESIDE.pause
    fence = one.last(do.FenceNodeos)
    assert isinstance(fence, do.FenceNodeos)
    one.tell(ev.FenceDone(fence.call, gone=True), 20)
    assert one.state.proven


def test_answers_to_older_closings_are_ignored() -> None:
    """An answer to a closing that was given up proves nothing."""
    one = Gated()
    one.lead()
    one.answers = False
    one.stop()
    closing = one.last(do.CloseGate)
    assert isinstance(closing, do.CloseGate)
    one.tick(FAST.gate_close)
    one.tell(ev.GateClosed(closing.call), 1)
    assert one.state.gate is GateState.UNKNOWN
    one.tell(ev.GateFailed(closing.call, "late"), 1)
    assert one.state.gate is GateState.UNKNOWN


def test_required_no_candidate_before_the_gate_has_answered() -> None:
    """R8: a node whose gate was not heard of does not even come to standby; with the answer it does, and campaigns."""
    one = Gated()
    one.answers = False
    one.standby()
    one.see(leader=None, heartbeat=None)
    assert one.phase() is Phase.STARTING
    one.answers = True
    one.tick(one.state.identity.retry)
    assert one.phase() is Phase.CAMPAIGNING
    assert not [each for each in one.all if isinstance(each, do.Warn)], "a busy start is no reason to tell"


def test_a_gate_that_never_answers_is_told_though_nobody_leads() -> None:
    """A gate that hangs from the start on is told after E: this node cannot lead."""
    one = Gated()
    one.answers = False
    one.tell(ev.Started(None, NODEOS))
    for _ in range(FAST.validity // 50 + 20):
        one.tick(50)
    assert {each.key for each in one.all if isinstance(each, do.Warn)} >= {"gate_failed"}


def test_a_closing_that_was_late_is_tried_again_soon() -> None:
    """R5: a host that was busy for a moment does not hold the release up until V."""
    one = Gated()
    one.lead()
    one.answers = False
    one.stop()
    one.until_read()
    one.tick(FAST.gate_close)
    one.answers = True
    one.tick(FAST.gate_close)
    assert one.state.gate is GateState.CLOSED


def test_a_restart_within_v_leaves_the_page_open() -> None:
    """Restart: an agent that goes on closes nothing, permits what it knows, and more with its first confirmation."""
    one = Gated()
    until = one.now + 1000
    file = RuntimeRecord(
        "boot", 9, "held", 4, "old", 7, 30, 20, LEASE, until, until - FAST.margin, resume_open=False, process=NODEOS
    )
    one.tell(ev.Started(file, NODEOS))
    assert one.phase() is Phase.LEADING
    sent = one.now
    one.apply("confirm")
    assert one.permits() == [(4, until - FAST.slack), (4, sent + FAST.validity - FAST.slack)]
    assert do.CloseGate not in kinds(one.all)


def test_a_restart_that_may_not_go_on_closes_the_gate() -> None:
    """Restart: a tenure that is over, or none: the first act is the closing, beside the pause."""
    for state in ("stopping", "stopped"):
        one = Gated()
        until = one.now + 1000
        file = RuntimeRecord("boot", 9, state, 4, "old", 7, 30, 20, LEASE, until, until - 200, False, NODEOS)
        assert kinds(one.tell(ev.Started(file, NODEOS)))[:4].index(do.CloseGate) < 4
    one = Gated()
    assert do.CloseGate in kinds(one.tell(ev.Started(None, NODEOS)))


def test_the_heartbeat_tells_others_to_wait_for_slots_that_were_signed_ahead() -> None:
    """R8: with a gate signatures go on until V - G, for slots after it: others wait E + B, so none is signed twice."""
    one = Gated()
    one.lead()
    one.tick(200)
    put = one.request("confirm").txn.then[0]
    assert isinstance(put, Put)
    assert read_heartbeat(put.value).validity_ms == FAST.validity + FAST.block
    plain = One()
    plain.lead()
    plain.tick(500)
    put = plain.request("confirm").txn.then[0]
    assert isinstance(put, Put)
    assert read_heartbeat(put.value).validity_ms == Timing().validity


def test_an_unanswered_resume_does_not_end_nodeos() -> None:
    """R9: a resume that may yet act opens no gate: nodeos is paused and settled, and may lead again, unharmed."""
    one = Gated()
    one.standby()
    one.see(leader=None, heartbeat=None)
    one.apply("take")
    resume = one.last(do.ResumeNodeos)
    assert isinstance(resume, do.ResumeNodeos)
    one.tell(ev.ResumeDone(resume.call, ev.Call.TIMEOUT, "no answer"), 300)
    one.until_read()
    one.tick(FAST.block)
    assert one.state.quiet
    assert do.FenceNodeos not in kinds(one.all)


@pytest.mark.parametrize("mine", [FAST, Timing()], ids=["required", "off"])
@pytest.mark.parametrize("theirs", [FAST.promised, Timing().promised], ids=["after required", "after off"])
def test_groups_may_be_mixed_while_they_migrate(mine: Timing, theirs: int) -> None:
    """R8: who takes over waits for what the heartbeat says, whatever its own mode and spans are."""
    one = Gated(mine) if mine.gated else One()
    one.standby()
    beat = HeartbeatKey(Heartbeat(3, "bp-b", "other", 1, theirs, False, None, ""), 9)
    one.see(leader=LeaderKey("bp-b", 9, 5), heartbeat=beat)
    since = one.state.seen.heartbeat_since
    while one.phase() is Phase.STANDBY:
        one.tick(1)
    assert one.now - since == standstill(theirs)
