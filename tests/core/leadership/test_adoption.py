"""The first take-over: a live producer is adopted without a pause (R19), and nobody resumes one beside it (R18)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from agent.core.leadership import actions as do
from agent.core.leadership import events as ev
from agent.core.leadership.state import Phase, Production
from agent.core.leadership.timing import GateMode
from agent.core.model.chain import ProcessId
from agent.core.model.operator import Override
from agent.core.model.records import HeartbeatKey, LeaderKey
from agent.core.model.slots import SLOT
from agent.core.model.store import Ms
from agent.core.node.state import LookedBack
from tests.core.leadership.one import LEASE, NODEOS, One, T, held
from tests.core.node.test_urgency import TWENTY_ONE
from tests.simulation.story import Story

TOUCH = (do.PauseNodeos, do.ResumeNodeos, do.FenceNodeos)


def kinds(asked: list[do.Action]) -> list[type[do.Action]]:
    """Return what was asked for, by kind."""
    return [type(each) for each in asked]


def claiming() -> One:
    """Return an agent that has just started beside a nodeos which produces."""
    one = One()
    assert one.tell(ev.Started(None, NODEOS, claims=True)) == []
    return one


def test_a_live_producer_is_adopted_without_a_pause_or_a_resume() -> None:
    """R19: one transaction, and it goes on; from then on it is a tenure like any other, and stops by a pause (R3)."""
    one = claiming()
    asked = [*one.tell(ev.LeaseSeen(LEASE)), *one.see(leader=None, heartbeat=None), *one.apply("take")]
    assert one.state.phase is Phase.LEADING
    assert one.state.production is Production.PRODUCING
    assert not any(isinstance(each, TOUCH) for each in asked)
    assert one.state.tenure is not None
    assert one.state.tenure.epoch == 1
    assert do.PauseNodeos in kinds(one.tick(T.validity))


Doubt = Callable[[One], list[do.Action]]
DOUBTS: dict[str, Doubt] = {
    "a heartbeat is there": lambda one: one.see(heartbeat=HeartbeatKey(held(3), 5)),
    "a heartbeat was released": lambda one: one.see(heartbeat=HeartbeatKey(held(3, released=True), 5)),
    "garbage stands in heartbeat": lambda one: one.see(heartbeat=HeartbeatKey(None, 5)),
    "another has the seat": lambda one: one.see(leader=LeaderKey("bp-b", 5, 9)),
    "an override names another": lambda one: one.see(override=Override("bp-b")),
    "there is maintenance": lambda one: one.see(maintenance="why"),
    "the agent is asked to end": lambda one: one.tell(ev.Shutdown()),
    "somebody paused it": lambda one: one.tell(ev.PausedSeen(one.now, paused=True)),
    "it is another process now": lambda one: one.tell(ev.ProcessSeen(ProcessId(71, 1))),
    "etcd does not answer": lambda one: one.tick(2 * T.request),
}


@pytest.mark.parametrize("doubt", DOUBTS)
def test_in_doubt_nodeos_is_paused_at_once(doubt: str) -> None:
    """R19: whatever speaks against an adoption, the first act is the pause, as ever (R4)."""
    one = claiming()
    one.tell(ev.LeaseSeen(LEASE))
    asked = DOUBTS[doubt](one)
    assert do.PauseNodeos in kinds(asked)
    assert do.Transact not in kinds(asked)
    assert one.state.phase is Phase.STARTING


@pytest.mark.parametrize("process", [None, ProcessId(0, 0)], ids=["gone", "not found"])
def test_a_nodeos_that_cannot_be_named_is_not_adopted(process: ProcessId | None) -> None:
    """R19: nothing could end it in time (R3)."""
    one = One()
    one.tell(ev.Started(None, process, claims=True))
    assert one.state.production is not Production.FOUND


def test_a_node_with_a_gate_is_not_adopted() -> None:
    """R19: through a gate that no tenure has opened nothing is signed; what signs has the key itself."""
    one = One()
    one.state = replace(one.state, identity=replace(one.state.identity, timing=replace(T, gate=GateMode.ON)))
    one.tell(ev.Started(None, NODEOS, claims=True))
    assert one.state.production is Production.PAUSING


def test_of_two_that_claim_the_second_pauses() -> None:
    """R8, R19: its transaction is refused, for a heartbeat stands there now."""
    one = claiming()
    one.tell(ev.LeaseSeen(LEASE))
    one.see(leader=None, heartbeat=None)
    request = one.request("take")
    one.revision += 1
    found = HeartbeatKey(held(1), one.revision)
    asked = one.tell(ev.Refused(request.request, one.revision, LeaderKey("bp-b", one.revision, 9), found))
    assert do.PauseNodeos in kinds(asked)
    assert one.state.phase is Phase.STANDBY


def test_a_take_over_without_an_answer_in_time_goes_on_the_ordinary_way() -> None:
    """R2, R9: nodeos is paused at the bound; an answer that comes later leads to a resume only after the proof (R4)."""
    one = claiming()
    one.tell(ev.LeaseSeen(LEASE))
    one.see(leader=None, heartbeat=None)
    assert do.PauseNodeos in kinds(one.tick(2 * T.request))
    one.apply("take")
    assert one.state.phase is Phase.ELECTED
    assert do.ResumeNodeos not in kinds(one.all)
    one.paused()
    assert do.ResumeNodeos in kinds(one.all)


# --- R18 -----------------------------------------------------------------------------------------------------------


def test_an_absent_heartbeat_waits_until_no_block_has_come_for_a_window() -> None:
    """R18: a candidate holds back; the word of an operator goes before."""
    one = One()
    one.standby()
    one.tell(ev.Ungoverned(one.now + 3000))
    one.see(leader=None, heartbeat=None)
    assert one.phase() is Phase.STANDBY
    one.tick(3001)
    assert one.phase() is Phase.CAMPAIGNING
    other = One()
    other.standby()
    other.tell(ev.Ungoverned(other.now + 60_000))
    other.see(leader=None, heartbeat=None)
    other.see(leader=LeaderKey("bp-a", other.revision + 1))
    assert other.state.phase is Phase.CAMPAIGNING


def begun(story: Story) -> None:
    """Start all agents."""
    for host in story.hosts:
        host.start()


def test_a_group_waits_for_the_agent_of_a_live_producer_and_tells_whom_to_look_for() -> None:
    """R18: no governed node signs beside it; when its blocks have stopped for 3 s, one takes over."""
    story = Story("bp-a", "bp-b")
    story.rogue = True
    begun(story)
    story.go(30)
    assert story.leader is None
    assert all("stray_block" in host.events_told() for host in story.hosts)
    assert "nodeos without an agent signs" in story.hosts[0].published()[-1][1].plan
    story.rogue = False
    took = story.until(lambda: story.leader is not None)
    assert 2.0 < took < 4.5


def test_the_word_of_an_operator_ends_the_wait() -> None:
    """R18: `put leader` makes a node lead beside blocks that nobody governs."""
    story = Story("bp-a", "bp-b")
    story.rogue = True
    begun(story)
    story.go(5)
    assert story.leader is None
    story.put("leader", b"bp-b")
    story.until(lambda: story.hosts[1].leads, 5.0)


def first_leader(past: Callable[[Story], LookedBack | None], limit: float) -> float:
    """Return after how many seconds a group of a long schedule has its first leader."""
    story = Story("bp-a", "bp-b", turns=TWENTY_ONE)
    story.until_window()
    story.go(20)
    begun(story)
    for host in story.hosts:
        host.node = replace(host.node, past=past(story))
    return story.until(lambda: story.leader is not None, limit)


def test_on_a_long_schedule_the_last_window_decides() -> None:
    """R18: an empty one is enough; a block in it, or not knowing, makes a candidate watch the next one whole."""
    assert first_leader(lambda story: LookedBack(story.wall - 40_000), 10.0) < 5.0
    signed = first_leader(lambda story: LookedBack(story.wall - 40_000, story.wall - 20_000 - 2 * SLOT), 200.0)
    unknown = first_leader(lambda _: None, 200.0)
    assert 100.0 < signed < 130.0
    assert 100.0 < unknown < 130.0


def test_a_heartbeat_that_was_deleted_is_the_word_of_an_operator() -> None:
    """R8: after `del heartbeat` nobody waits, though the old leader has signed a moment ago."""
    story = Story("bp-a", "bp-b")
    begun(story)
    story.until(lambda: story.leader is not None)
    story.go(10)
    leader = story.leader
    assert leader is not None
    other = next(host for host in story.hosts if host is not leader)
    leader.store.cut = True
    leader.nodeos.kill()
    story.delete("heartbeat")
    story.delete("leader")
    took: Ms = round(1000 * story.until(lambda: other.leads, 10.0))
    assert took < 2500
