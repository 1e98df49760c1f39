"""Urgency: how many bad results a leader waits for, by how far its own window is; what is certain, and P1, stay."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.election.policy import Policy, Urgency
from agent.core.health import checks
from agent.core.health.checks import Health, PausedProbed, Probe
from agent.core.health.hysteresis import STEADY, CheckResult, CheckState, Pace, Thresholds, update
from agent.core.leadership.state import Phase, Production, State
from agent.core.model.chain import Producer, Schedule
from agent.core.model.slots import date
from agent.core.node.state import LiveSettings, Node
from agent.core.node.urgency import pace
from tests.core.parts import KEY, LIMITS, OTHER_KEY, PRODUCER, SETUP
from tests.simulation.story import Host, pair, settled

FAR_AWAY = Schedule(1, tuple(Producer(f"bp{letter}", (OTHER_KEY,)) for letter in "abcdefghijkl"))
TWENTY_ONE = replace(FAR_AWAY, producers=(Producer(PRODUCER, (KEY,)), *FAR_AWAY.producers, *FAR_AWAY.producers[:8]))
ROUND = 21 * 12
NEAR, FAR = Pace(most=2, why="it is near"), Pace(least=10, why="it is far")
SILENCE = PausedProbed(1000, None, "no answer")
BAD = CheckResult(ok=False, reason="no answer")
GOOD = CheckState(ok=True, reason="", known=True)


def leader_at(slot: int, policy: Policy | None = None, schedule: Schedule | None = TWENTY_ONE) -> Node:
    """Return a leader that knows the schedule, at the date of a slot (0 is our first one in the round)."""
    state = State(SETUP, phase=Phase.LEADING, production=Production.PRODUCING)
    found = Health(info_wall=date(ROUND * 1_000_000 + slot), info_at=1000, schedule=schedule)
    return Node(LiveSettings("lab", LIMITS, policy=policy or Policy()), state, found)


@pytest.mark.parametrize(
    ("slot", "fall"),
    [(0, 2), (11, 2), (12, 10), (60, 10), (ROUND - 44, 10), (ROUND - 41, 3), (ROUND - 13, 3), (ROUND - 11, 2)],
)
def test_the_pace_follows_the_schedule(slot: int, fall: int) -> None:
    """In the window and 5 s before it two bad results suffice; more than 20 s before it ten are wanted; else three."""
    found = pace(leader_at(slot), SILENCE, 1000)
    assert found.fall(Thresholds(2, 3)) == fall
    assert bool(found.why) == (fall != 3)


@pytest.mark.parametrize(
    "node",
    [
        leader_at(0, Policy(urgency=Urgency(enabled=False))),
        leader_at(0, schedule=None),
        leader_at(0, schedule=FAR_AWAY),
        leader_at(0, schedule=Schedule(1, (Producer(PRODUCER, (KEY,)),))),
        replace(leader_at(0), leadership=State(SETUP, phase=Phase.STANDBY)),
        replace(leader_at(0), health=Health(schedule=TWENTY_ONE)),
    ],
    ids=["switched off", "no schedule", "not scheduled", "alone", "standby", "no time of day"],
)
def test_without_a_window_to_look_at_the_pace_is_steady(node: Node) -> None:
    """Alone in the schedule, out of it, or as a standby, `fall` of the check alone counts."""
    assert pace(node, SILENCE, 1000) == STEADY


@given(st.integers(1, 20), st.integers(1, 20), st.integers(1, 40))
def test_a_certain_fault_is_certain_at_any_pace(fall: int, least: int, most: int) -> None:
    """A check that fails at the first bad result does so always: a process that is gone waits for no schedule."""
    assert Pace(least, most).fall(Thresholds(1, 1)) == 1
    assert Pace(1, most).fall(Thresholds(1, fall)) <= fall
    assert Pace(least).fall(Thresholds(1, fall)) in (fall, max(fall, least) if fall > 1 else 1)


def fail(count: int, found: Pace) -> CheckState:
    """Return a check that was well, after so many bad results."""
    check = GOOD
    for _ in range(count):
        check = update(check, Thresholds(2, 3), BAD, found)
    return check


def test_near_the_window_a_fault_is_acted_on_faster_and_says_why() -> None:
    """Two bad results in a row instead of three, with the reason for the haste."""
    assert fail(1, NEAR).ok
    assert fail(2, NEAR) == CheckState(False, "no answer (2 in a row, because it is near)", True, 0, 2)
    assert fail(2, STEADY).ok
    assert fail(3, STEADY).reason == "no answer"


def test_far_from_it_a_fault_is_confirmed_longer_and_says_how_long() -> None:
    """The doubt is shown with what is waited for; a good result ends it."""
    assert fail(9, FAR).ok
    assert fail(9, FAR).doubt == "no answer (9 of 10, it is far)"
    assert not fail(10, FAR).ok
    again = update(fail(9, FAR), Thresholds(2, 3), CheckResult(ok=True))
    assert (again.streak, again.doubt) == (0, "")


def test_a_doubt_is_not_carried_into_the_window() -> None:
    """When the window comes near while a fault is being confirmed, the next bad result decides."""
    assert not update(fail(4, FAR), Thresholds(2, 3), BAD, NEAR).ok


@pytest.mark.parametrize(("name", "hurried"), [("main_thread", True), ("head_age", True), ("lib_progress", False)])
def test_only_what_tells_of_production_is_hurried(name: str, hurried: bool) -> None:
    """Haste gains nothing where production is not at stake: there `fall` counts in any window."""
    assert (name in checks.HURRIED) == hurried


def test_good_results_are_counted_as_ever() -> None:
    """Urgency changes what it takes to fail, never what it takes to pass again."""
    bad = CheckState(ok=False, reason="no answer", known=True)
    for found in (NEAR, FAR, STEADY):
        once = update(bad, Thresholds(2, 3), CheckResult(ok=True), found)
        assert (once.ok, update(once, Thresholds(2, 3), CheckResult(ok=True), found).ok) == (False, True)


def hang(host: Host, probes: int) -> None:
    """Let a number of questions to a host's nodeos stay unanswered, half a second apart."""
    for _ in range(probes):
        host.step(PausedProbed(host.story.now, None, "no answer in time"))
        host.story.now += 500


@pytest.mark.parametrize(("away", "probes"), [(0.0, 2), (60.0, 10)])
def test_a_leader_whose_nodeos_hangs_hands_over_by_the_schedule(away: float, probes: int) -> None:
    """In its window after two silent probes, a minute away from it after ten, each time with the reason (P3)."""
    story, leader, _ = pair(turns=TWENTY_ONE)
    story.until_window(1.0 + away)
    before = leader.node
    hang(leader, probes - 1)
    assert leader.leads
    assert leader.node.health.checks["main_thread"].doubt.startswith("no answer in time")
    hang(leader, 1)
    assert leader.phase is Phase.STOPPING
    reason = leader.node.leadership.tenure.stop_reason if leader.node.leadership.tenure else ""
    assert "own window" in reason
    assert f"({probes} in a row" in reason
    assert before.leadership.stop_at <= leader.node.leadership.stop_at


def test_urgency_never_moves_the_time_to_stop() -> None:
    """P1: whatever the pace, a leader that cannot confirm stops at the same moment, V - A (R3)."""
    ends = []
    for policy in (
        Policy(),
        Policy(urgency=Urgency(near_fall=1, far_fall=1000)),
        Policy(urgency=Urgency(enabled=False)),
    ):
        story = settled("bp-a", turns=TWENTY_ONE, bp_a={"policy": policy})
        host = story.hosts[0]
        story.until_window(30.0)
        host.store.cut = True
        story.until(lambda at=host: at.phase is Phase.STOPPING, 10)  # type: ignore[misc] # bound now, asked now
        assert host.node.leadership.tenure is not None
        ends.append((story.now, host.node.leadership.tenure.valid_until - host.node.leadership.phase_since))
    assert len(set(ends)) == 1
    assert ends[0][1] >= SETUP.timing.margin


probes = st.lists(st.tuples(st.booleans(), st.sampled_from([NEAR, FAR, STEADY])), max_size=40)


@given(probes)
def test_whatever_the_pace_a_check_needs_bad_results_to_fail_and_fails_at_last(
    results: list[tuple[bool, Pace]],
) -> None:
    """No pace fails a check at a good result, and ten bad ones in a row fail it at any pace."""
    found, streak = Health({"main_thread": GOOD}), 0
    limits = replace(LIMITS, thresholds={"main_thread": Thresholds(2, 3)})
    for number, (ok, now) in enumerate(results):
        probe: Probe = PausedProbed(number, True if ok else None, "" if ok else "no answer")
        before = found.ok
        found = checks.take(found, probe, limits, checks.Others(), None, number, now)
        streak = 0 if ok else streak + 1
        assert not (ok and before and not found.ok)
        assert not (streak >= 10 and found.ok)
        assert not (before and not found.ok and streak < 2)
