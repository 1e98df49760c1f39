"""The signing gate in the protocol: when it is opened and closed, and what a closed one proves.

One node, `bp-a`, as in test_rules, with `gate.mode` required (fast spans) or on. Times are milliseconds.
"""

from __future__ import annotations

import pytest

from agent.core.leadership import actions as do
from agent.core.leadership import events as ev
from agent.core.leadership.state import GateState, Phase
from agent.core.leadership.timing import GateMode, Timing, standstill
from agent.core.model.records import Heartbeat, HeartbeatKey, LeaderKey
from agent.core.model.runtime_record import RuntimeRecord
from tests.core.leadership.one import LEASE, NODEOS, One

FAST = Timing(
    validity=1600, renew=200, slack=100, request=500, election=500, lease_ttl=3, nomination=2000, gate=GateMode.REQUIRED
)


class Gated(One):
    """An agent with a gate, which closes at once unless the test says otherwise."""

    def __init__(self, timing: Timing = FAST) -> None:
        super().__init__()
        self.given(timing)
        self.answers = True

    def tell(self, event: ev.Event, after: int = 0) -> list[do.Action]:
        """Give an event, and let the gate answer."""
        new = super().tell(event, after)
        for action in tuple(new):
            if isinstance(action, do.CloseGate) and self.answers:
                new += super().tell(ev.GateDone(action.call, closed=True), 2)
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


def test_answers_to_older_closings_are_ignored() -> None:
    """An answer to a closing that was given up proves nothing."""
    one = Gated()
    one.lead()
    one.answers = False
    one.stop()
    closing = one.last(do.CloseGate)
    one.tick(FAST.gate_close)
    one.tell(ev.GateDone(closing.call, closed=True), 1)
    assert one.state.gate is GateState.UNKNOWN
    one.tell(ev.GateDone(closing.call, closed=False, why="late"), 1)
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
        "boot", 9, "held", 4, "old", 7, 30, 20, LEASE, until, until - FAST.margin, False, NODEOS, beyond=FAST.block
    )
    one.tell(ev.Started(file, NODEOS))
    assert one.phase() is Phase.LEADING
    sent = one.now
    one.apply("confirm")
    assert one.permits() == [(4, until - FAST.slack), (4, sent + FAST.validity - FAST.slack)]
    assert do.CloseGate not in kinds(one.all)


def test_a_gate_that_is_required_since_a_restart_signs_less_until_the_others_wait_for_more() -> None:
    """R8: a heartbeat of before tells E alone, so its V counts B less: a block may be signed B ahead of its slot."""
    one = Gated()
    until = one.now + 1400
    file = RuntimeRecord("boot", 9, "held", 4, "old", 7, 30, 20, LEASE, until, until - 1100, False, NODEOS)
    one.tell(ev.Started(file, NODEOS))
    assert one.phase() is Phase.LEADING
    one.save()
    sent = one.now
    one.apply("confirm")
    whole = sent + FAST.validity - FAST.slack
    assert one.permits() == [(4, until - FAST.block - FAST.slack), (4, whole)]
    saved = one.last(do.SaveRuntime)
    assert saved.record is not None
    assert saved.record.beyond == FAST.block


def test_a_restart_that_may_not_go_on_closes_the_gate() -> None:
    """Restart: a tenure that is over, or none: the first act is the closing, beside the pause."""
    for state in ("stopping", "stopped"):
        one = Gated()
        until = one.now + 1000
        file = RuntimeRecord("boot", 9, state, 4, "old", 7, 30, 20, LEASE, until, until - 200, False, NODEOS)
        assert kinds(one.tell(ev.Started(file, NODEOS)))[:4].index(do.CloseGate) < 4
    one = Gated()
    assert do.CloseGate in kinds(one.tell(ev.Started(None, NODEOS)))


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


@pytest.mark.parametrize(("silent", "wait"), [(600, 0), (200, FAST.block - 200), (None, FAST.block)])
def test_a_nodeos_that_is_deaf_is_not_waited_for(silent: int | None, wait: int) -> None:
    """R4, R5: the release comes B after the last signature, with no answer to the pause; nobody is ended."""
    one = Gated()
    one.lead()
    one.answers = False
    deaf = ev.Eligibility(False, True, 0, "", "no answer", "unhealthy", deaf=True)
    one.tell(deaf)
    closing = one.last(do.CloseGate)
    one.tell(ev.GateDone(closing.call, closed=True, quiet=None if silent is None else one.now - silent))
    one.save()
    if wait:
        one.tick(wait - 1)
        assert one.phase() is Phase.STOPPING
        one.tick(1)
    one.save()
    assert one.request("release").txn
    assert do.FenceNodeos not in kinds(one.all)
