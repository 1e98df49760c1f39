"""The rules of the leadership protocol, one after another: events in, actions out, at given times.

One node, `bp-a`, stands against a store and a nodeos that answer what the test says. Times are milliseconds.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.core.leadership import actions as do
from agent.core.leadership import events as ev
from agent.core.leadership import machine
from agent.core.leadership.state import Identity, Phase
from agent.core.leadership.timing import Timing
from agent.core.model.chain import ProcessId
from agent.core.model.records import Heartbeat, HeartbeatKey, LeaderKey, RuntimeRecord
from agent.core.model.store import Ms
from tests.core.leadership.one import KEYS, LEASE, NODEOS, One, T, record


def test_unknown_outcome_is_read_back_with_its_own_time() -> None:
    """R2: a write that timed out and was applied counts from when that very write was sent."""
    one = One()
    one.lead()
    one.tick(T.renew)
    sent, won = one.now, one.state.tenure
    assert won is not None
    one.tell(ev.Unknown(one.request("confirm").request, "no answer"), T.request)
    one.tick(one.state.pause)
    again = one.request("confirm")
    mine = Heartbeat(1, "bp-a", "me", 2, T.validity)
    leader = LeaderKey("bp-a", won.leader_revision, LEASE)
    one.tell(ev.Refused(again.request, 50, leader, HeartbeatKey(mine, 49)), 5)
    assert one.state.tenure is not None
    assert one.state.tenure.valid_until == sent + T.validity
    assert one.state.tenure.heartbeat_revision == 49
    assert one.state.phase is Phase.LEADING


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
    one.state = replace(one.state, identity=replace(one.state.identity, timing=timing))
    one.standby()
    one.see(leader=None, heartbeat=None)
    one.apply("take")
    resume = one.last(do.ResumeNodeos)
    assert isinstance(resume, do.ResumeNodeos)
    assert resume.within == within
    assert one.now + resume.within <= one.state.stop_at


def test_restart_goes_on_with_the_old_validity_only() -> None:
    """Restart: a fresh file lets the agent go on, confirming at once; V stays what it was until that succeeds (R1)."""
    one = One()
    one.tell(ev.Started(record(one.now - 2000), NODEOS))
    assert one.state.phase is Phase.LEADING
    assert one.state.tenure is not None
    assert one.state.tenure.valid_until == one.now - 2000 + T.validity
    sent = one.now
    one.apply("confirm")
    assert one.state.tenure.valid_until == sent + T.validity


@pytest.mark.parametrize(
    "file",
    [
        record(1000, "stopping"),
        record(1000, resume_open=True),
        record(1000, process=ProcessId(5, 5)),
        record(1000 - T.validity + T.margin),
    ],
    ids=["stopping", "resume unanswered", "another nodeos", "too old"],
)
def test_restart_that_may_not_go_on_pauses(file: RuntimeRecord) -> None:
    """Restart: a tenure that began to stop, or of another nodeos, or past V - A, is over: it is stopped (R3)."""
    one = One()
    one.tell(ev.Started(file, NODEOS))
    assert one.state.phase is Phase.STOPPING
    assert any(isinstance(action, do.PauseNodeos) for action in one.all)


def test_file_of_another_boot_means_nothing() -> None:
    """Restart: times of another boot are no times; the agent begins anew with a pause."""
    one = One()
    one.tell(ev.Started(record(1000), NODEOS))
    other = One()
    other.state = replace(other.state, identity=Identity("bp-a", "me", KEYS, boot_id="another"))
    other.tell(ev.Started(record(1000), NODEOS))
    assert one.state.phase is Phase.LEADING
    assert other.state.phase is Phase.STARTING


def test_every_step_is_pure() -> None:
    """The same state, event and time give the same state and the same actions."""
    one = One()
    one.lead()
    before = one.state
    first = machine.step(before, ev.ProcessSeen(None), one.now)
    assert first == machine.step(before, ev.ProcessSeen(None), one.now)
    assert one.state is before
