"""Leads in vain: a leader whose blocks are on nobody's chain gives the lead away, or begins anew (P2)."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from agent.core.blocks.schedule import ProducerWindows
from agent.core.election.hold_down import Flaps
from agent.core.health.checks import ScheduleProbed
from agent.core.health.hysteresis import CheckState
from agent.core.leadership.state import Phase
from agent.core.model.chain import Schedule
from agent.core.node.first_blocks import barren, unseen_from
from agent.core.node.plan import plan
from agent.core.node.state import GroupReports, Node
from agent.runtime import probes
from tests.core.parts import PRODUCER, member
from tests.simulation.story import ALONE, FOUR, ROUND, Host, Story, StoryClock, ask, group, settled

TWO = replace(FOUR, producers=FOUR.producers[:2])
MINUTES = 60.0


def changes(story: Story) -> list[tuple[int, str]]:
    """Return every tenure that led: (epoch, node)."""
    return sorted({(epoch, host.name) for host in story.hosts for epoch, _ in host.changes()})


def moves(story: Story) -> int:
    """Return how often the lead went to another node."""
    nodes = [node for _, node in changes(story)]
    return sum(a != b for a, b in itertools.pairwise(nodes))


# --- a new leader ---


def test_a_new_leader_that_does_not_produce_steps_down_and_the_old_one_comes_back() -> None:
    """Resumed, and none of its slots on anybody's chain: it is critical, and goes down in history (P2)."""
    story, leader, standby = group()
    standby.nodeos.barren = True
    story.until_window(3.0)
    ask(story, standby.name)
    story.until(lambda: standby.leads, 15)
    story.until(lambda: leader.leads, 40)
    assert story.missed <= 12
    reason = str(leader.changes()[-1][1]["reason"])
    assert "its blocks do not appear on the chain: none of its last 6 slots is on the chain of" in reason
    (told,) = [each for each in standby.told if each.event == "leader_in_vain" and not each.resolved]
    assert told.severity == "critical"
    story.missed = 0
    story.go(2 * ROUND)
    assert leader.leads
    assert story.missed == 0
    assert len(standby.node.assessment.flaps.times) == 2


def test_on_a_chain_of_one_producer_too() -> None:
    """There the chain stands with the leader in vain: the old one is back within ten seconds."""
    story = settled(turns=ALONE)
    leader, standby = story.hosts
    standby.nodeos.barren = True
    ask(story, standby.name)
    story.until(lambda: standby.leads, 5)
    assert story.until(lambda: leader.leads, 15) < 8
    story.go(60)
    assert leader.leads


def test_when_nobody_can_produce_the_lead_is_tried_less_and_less() -> None:
    """With both nodes in vain each is held down for longer: the lead does not bounce."""
    story, leader, standby = group()
    leader.nodeos.barren = standby.nodeos.barren = True
    ask(story, standby.name)
    story.go(150)
    epoch = max(host.node.leadership.seen.max_epoch for host in (leader, standby))
    assert epoch < 8


# --- at any time of a tenure ---


@pytest.mark.parametrize("turns", [FOUR, TWO], ids=["four", "two"])
@pytest.mark.parametrize("at", [-8.0, 0.2, 3.5, 5.5])
def test_a_leader_that_ceases_to_sign_costs_a_window_and_no_more(turns: Schedule, at: float) -> None:
    """Its key, its wallet or its gate is gone: the standby leads before the next window begins, and it is told (P2)."""
    story = settled(turns=turns)
    leader, standby = story.hosts
    story.until_window(6.2)
    story.go(len(turns.producers) * 6.0 - 6.2 + at)
    story.missed = 0
    leader.nodeos.barren = True
    story.until(lambda: standby.leads, 2 * ROUND + 6)
    story.go(2 * ROUND)
    assert standby.leads
    assert story.missed <= 12 + (at == 3.5)  # five slots of one window say too little, but they are few
    (told,) = [each for each in leader.told if each.event == "leader_in_vain" and not each.resolved]
    assert told.severity == "critical"
    assert len(leader.node.assessment.flaps.times) == 2


def test_a_leader_of_a_chain_of_one_producer_that_ceases_to_sign_hands_over_in_seconds() -> None:
    """Six slots without a block are enough, and our own chain is the first to tell (P2)."""
    story = settled(turns=ALONE)
    leader, standby = story.hosts
    story.go(100)
    story.missed = 0
    leader.nodeos.barren = True
    assert story.until(lambda: standby.leads, 20) < 8
    story.go(30)
    assert story.missed <= 16


def test_a_standby_that_cannot_tell_is_not_waited_for() -> None:
    """With the other member cut off from its peers our own chain is the witness."""
    story, leader, standby = group()
    standby.nodeos.isolated = True
    story.go(20)
    leader.nodeos.barren = True
    story.until(lambda: len(changes(story)) == 2, 40)
    assert "none of its last 6 slots is on the chain of bp-a" in str(leader.changes()[-1][1]["reason"])


# --- nobody else may lead ---


@pytest.mark.parametrize("turns", [FOUR, ALONE], ids=["four", "alone"])
def test_a_leader_that_is_alone_begins_anew_and_produces_when_it_can_again(turns: Schedule) -> None:
    """It stops, proves it, takes the lead again, less and less often, and says so; then it signs at once (P2)."""
    story = settled("bp-a", turns=turns)
    (leader,) = story.hosts
    leader.nodeos.barren = True
    story.go(10 * MINUTES)
    tenures = len(changes(story))
    assert 3 <= tenures <= 8
    assert "in_vain" in leader.events_told()
    assert leader.leads
    assert "begins anew" in leader.published()[-1][1].plan
    leader.nodeos.barren = False
    story.go(ROUND)
    story.missed = 0
    story.go(MINUTES)
    assert story.missed == 0
    assert leader.published()[-1][1].healthy
    told = "in_vain", "-in_vain"
    story.until(lambda: [each for each in leader.events_told() if each in told][-1] == "-in_vain", 5 * MINUTES)


@pytest.mark.parametrize("word", ["", "bp-a"])
def test_a_leader_whose_nodeos_somebody_paused_begins_anew(word: str) -> None:
    """Without a standby nobody else would resume it; an override for this node does not keep it from it (P2)."""
    story = settled("bp-a", turns=ALONE)
    (leader,) = story.hosts
    if word:
        story.put("override", word.encode())
    story.go(30)
    story.missed = 0
    leader.nodeos.paused_flag = True
    story.go(6)
    assert leader.nodeos.producing
    assert story.missed <= 10
    assert [node for _, node in changes(story)] == ["bp-a", "bp-a"]
    reason = str(leader.changes()[-1][1]["reason"])
    assert "it signs nothing, and begins anew: nodeos is paused though this node leads" in reason
    story.go(5 * MINUTES)
    assert len(changes(story)) == 2


def test_in_maintenance_nothing_begins_anew() -> None:
    """Agents watch and report then, and change nothing."""
    story = settled("bp-a", turns=ALONE)
    (leader,) = story.hosts
    story.put("maintenance", b"a test")
    story.go(1)
    leader.nodeos.paused_flag = True
    story.go(60)
    assert leader.nodeos.paused_flag
    assert len(changes(story)) == 1


def test_a_nodeos_that_hangs_is_not_ended_to_begin_anew() -> None:
    """It would not answer the pause, and ending it would mend nothing that its own start does not."""
    story = settled("bp-a", turns=ALONE)
    (leader,) = story.hosts
    leader.nodeos.frozen = True
    story.go(60)
    assert leader.leads
    assert leader.nodeos.process is not None


# --- a fault that all share ---


@pytest.mark.parametrize(
    ("names", "fault", "turns"),
    [
        (("bp-a", "bp-b"), "balks", ALONE),
        (("bp-a", "bp-b", "bp-c"), "balks", FOUR),
        (("bp-a", "bp-b"), "barren", FOUR),
        (("bp-a", "bp-b"), "refuses", ALONE),
    ],
    ids=lambda each: each if isinstance(each, str) else str(len(getattr(each, "producers", each))),
)
def test_a_fault_that_all_share_moves_the_lead_a_few_times_only(
    names: tuple[str, ...], fault: str, turns: Schedule
) -> None:
    """Nodeos pauses itself on every node, or signs on none: changes of leader get rarer and rarer (P3)."""
    story = settled(*names, turns=turns)
    for host in story.hosts:
        setattr(host.nodeos, fault, ("resume",) if fault == "refuses" else True)
    story.go(10 * MINUTES)
    assert moves(story) <= 5 * len(names)
    assert len(changes(story)) <= 8 * len(names)
    for host in story.hosts:
        setattr(host.nodeos, fault, () if fault == "refuses" else False)
    story.until(lambda: any(host.nodeos.producing for host in story.hosts), 10 * MINUTES)
    story.go(2 * ROUND)
    story.missed = 0
    story.go(MINUTES)
    assert story.missed == 0


@pytest.mark.parametrize(
    ("faults", "held_ms", "check", "expected"),
    [
        (0, 9000, "peers", ("unhealthy", 0)),  # one fault, and the others are held down: better a flapping leader
        (2, 0, "producing", ("unhealthy", 0)),  # one of the others is not
        (2, 9000, "peers", ("unhealthy", 5000)),
        (3, 9000, "peers", ("unhealthy", 10_000)),
        (5, 9000, "peers", ("unhealthy", 40_000)),
        (32, 9000, "peers", ("unhealthy", 600_000)),
        (2, 9000, "producing", ("begins_anew", 0)),  # whether the others would do better nobody knows
        (-5, 9000, "peers", ("unhealthy", 0)),  # it did well for a while: so may they
        (0, 9000, "disk_space", None),  # it produces: those that fail again and again would be worse
    ],
)
def test_where_all_are_held_down_the_leader_stays(
    faults: int, held_ms: int, check: str, expected: tuple[str, int] | None
) -> None:
    """For longer each time if the others pass the check that it fails, else until one of them is held down no more."""
    story, leader, _ = group()
    others = (member(held_down_ms=held_ms),)
    flaps = Flaps((story.now,) * abs(faults), story.now + 600_000 if abs(faults) > 1 else 0)
    state = replace(leader.node.leadership, phase_since=story.now - (3000 if faults >= 0 else 30_000))
    health = replace(
        leader.node.health,
        checks={**leader.node.health.checks, check: CheckState(ok=False, known=True, reason="a test")},
    )
    mind = replace(leader.node.assessment, flaps=flaps)
    reports = GroupReports(members=others)
    found = plan(replace(leader.node, leadership=state, reports=reports, assessment=mind, health=health), story.now)
    assert (found and (found.cause, found.at - story.now)) == expected


# --- what is no fault of the leader ---


@pytest.mark.parametrize(
    ("still", "after"), [(5.0, -1.0), (11.0, -1.0), (11.0, 3.0), (20.0, 7.0), (26.0, 3.0), (26.0, 12.0), (120.0, -1.0)]
)
def test_a_chain_that_stands_still_everywhere_changes_nothing(still: float, after: float) -> None:
    """On a chain of several producers a time without any block is nobody's fault, also when it is over (P3)."""
    story, leader, _ = group()
    story.until_window(6.2)
    story.go(ROUND - 6.2 + after)
    story.stalled = True
    story.go(still)
    story.stalled = False
    story.go(3 * ROUND)
    assert leader.leads
    assert leader.node.leadership.seen.max_epoch == 1


def test_another_schedule_changes_nothing() -> None:
    """Which slots are ours is another matter from one round to the next: nobody is blamed for those of others (P3)."""
    story, leader, _ = group()
    for place in (3, 0, 2, 1):
        names = [each for each in FOUR.producers if each.name != PRODUCER]
        ours = next(each for each in FOUR.producers if each.name == PRODUCER)
        story.go(5)
        story.schedule = Schedule(story.schedule.version + 1, (*names[:place], ours, *names[place:]))
        story.go(2.5 * ROUND)
    assert leader.leads
    assert leader.node.leadership.seen.max_epoch == 1


def test_a_producer_that_is_not_scheduled_is_not_judged() -> None:
    """Nothing is expected of it."""
    story, leader, _ = group()
    story.schedule = Schedule(2, tuple(each for each in FOUR.producers if each.name != PRODUCER))
    leader.step(ScheduleProbed(story.schedule))
    assert leader.node.assessment.unseen is None


# --- the questions themselves ---


def judged(leader: Host, story: Story, since: int, report: dict[str, object]) -> Node:
    """Return the leader with one other report, judged from a date on; its own chain says nothing."""
    known = {"asked_ms": story.wall, "head_age_ms": 0, "own_ms": 0} | report
    reports = GroupReports(members=(member(**known),))  # type: ignore[arg-type] # fields of the table
    mind = replace(leader.node.assessment, unseen=since)
    silent = replace(leader.node.health, info=None)
    return replace(leader.node, reports=reports, assessment=mind, health=silent)


@pytest.mark.parametrize(
    ("report", "tells"),
    [
        ({}, True),
        ({"healthy": False, "reasons": ("disk_space: full",)}, True),
        ({"reasons": ("head_age: 9 s old, bp-c is 18 blocks ahead",)}, False),
        ({"reasons": ("peers: 0 peers connected",)}, False),
        ({"asked_ms": 0}, False),
        ({"head_age_ms": 2**40}, False),
        ({"own_ms": 2**50}, False),
        ({"node": "bp-a"}, False),
    ],
)
def test_only_who_sees_the_chain_tells_that_a_lead_is_in_vain(report: dict[str, object], tells: bool) -> None:
    """Who lags, is cut off, has not looked since or stands still says nothing about our blocks (P3)."""
    story, leader, _ = group()
    node = judged(leader, story, story.wall - 60_000, report)
    assert bool(barren(node, story.now)) == tells


def test_lost_standby_whose_clock_was_ahead_says_nothing_against_a_leader(monkeypatch: pytest.MonkeyPatch) -> None:
    """P3: alone in the schedule, a leader is judged by dates: an old word that bears a late one is old all the same."""
    story = Story("bp-a", "bp-b")
    leader, other = story.hosts
    ahead = StoryClock(story)
    monkeypatch.setattr(ahead, "wall", lambda: story.wall + 6000)
    monkeypatch.setattr(other, "_info", lambda: other.step(probes.info(other.nodeos, ahead, 1.0)))
    for host in story.hosts:
        host.start()
        story.until(lambda: story.leader is leader)
    story.go(20)
    other.store.cut = True
    story.missed = 0
    story.go(20)
    assert changes(story) == [(1, "bp-a")]
    assert story.missed == 0


def test_what_only_our_own_chain_has_does_not_count_beside_others() -> None:
    """A leader whose blocks reach nobody has them on a branch of its own: those of the others decide."""
    story, leader, _ = group()
    node = judged(leader, story, story.wall - 60_000, {})
    ahead = replace(leader.node.health, info=replace(story.head, head_time=story.wall, head_producer=PRODUCER))
    assert barren(replace(node, health=ahead), story.now).endswith("on the chain of bp-b")
    assert unseen_from(replace(node, health=ahead), story.now) == story.wall - 60_000
    assert unseen_from(replace(node, health=ahead, reports=GroupReports()), story.now) == story.wall + 1


def test_blocks_that_others_have_move_the_judgement_on() -> None:
    """Once a block is on another's chain, the slots after it are looked for."""
    story, leader, _ = group()
    since = story.wall - 60_000
    later = judged(leader, story, since, {"own_ms": since + 30_000})
    assert unseen_from(later, story.now) == since + 30_001
    assert unseen_from(judged(leader, story, since, {}), story.now) == since


def test_what_is_told_follows_the_chain() -> None:
    """The check, and with it health, metrics and alerts, says that nothing is signed; and no more once it is (P2)."""
    story = settled("bp-a", turns=ALONE)
    (leader,) = story.hosts
    leader.nodeos.barren = True
    story.until(lambda: not leader.node.health.ok, 10)
    assert leader.node.health.failing[0].startswith("producing: none of its last 6 slots is on the chain of bp-a")
    leader.nodeos.barren = False
    story.until(lambda: leader.node.health.ok, 10)
    assert leader.phase is Phase.LEADING


@pytest.mark.parametrize("producers", [1, 2, 4, 21])
def test_own_slots_are_found_at_once_however_long_the_schedule(producers: int) -> None:
    """The dates are those that looking at slot after slot finds."""
    for place in {0, producers - 1}:
        windows = ProducerWindows(producers, place)
        for wall in range(946_684_800_000, 946_684_800_000 + producers * 6000 + 7000, 250):
            first, last = windows.own(wall, 6)
            slots = range(-(-(wall - 946_684_800_000) // 500), 10**6)
            own = (slot for slot in slots if slot % (12 * producers) // 12 == place)
            found = [next(own) for _ in range(6)]
            assert (first, last) == tuple(946_684_800_000 + 500 * each for each in (found[0], found[-1]))
