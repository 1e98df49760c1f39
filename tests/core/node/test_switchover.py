"""Planned changes of leader, told as stories: wishes and when they are granted, drained nodes, failback.

The chain has four producers, ours the second: its window is six seconds of twenty-four.
"""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from agent.core.election.policy import Policy
from agent.core.leadership.actions import Warn
from agent.core.model.chain import Producer, Schedule
from agent.core.model.operator import clock_text
from agent.core.node.state import RefuseWish
from tests.core.parts import KEY, OTHER_KEY, PRODUCER
from tests.simulation.story import NAMES, Host, Story, settled

FOUR = Schedule(1, tuple(Producer(name, (OTHER_KEY,)) for name in ("aaa", "bbb", "ccc")))
FOUR = replace(FOUR, producers=(FOUR.producers[0], Producer(PRODUCER, (KEY,)), *FOUR.producers[1:]))
ROUND = 24.0
BACK = Policy(failback=True, failback_after=10_000)


def group(*names: str, **profiles: dict[str, object]) -> tuple[Story, Host, Host]:
    """Return a settled group on the chain of four, its leader and the next."""
    story = settled(*names, turns=FOUR, **profiles)
    story.missed = 0
    assert story.leader is not None
    return story, story.leader, next(host for host in story.hosts if host is not story.leader)


def ask(story: Story, to: str, when: str = "gap", **more: object) -> None:
    """Ask for a switchover, as the CLI does."""
    story.put("switchover", json.dumps({"to": to, "when": when, "by": "me", "reason": "a test", **more}).encode())


def refusals(host: Host) -> list[str]:
    """Return why a host refused wishes."""
    return [str(each.fields["refused"]) for _, each in host.said if isinstance(each, RefuseWish)]


def wish_is_gone(story: Story) -> bool:
    """Whether the wish was consumed."""
    return not [item for item in story.etcdctl.range(NAMES.switchover, 1.0).items if item.key == NAMES.switchover]


# --- in a gap ---


@pytest.mark.parametrize("after", [0.0, 5.9, 6.3, 14.5, 18.5, 23.9])
def test_a_switchover_in_a_gap_costs_no_slot(after: float) -> None:
    """Whenever it is asked for, it waits for a gap with room, and no slot of ours is missed (R9)."""
    story, leader, standby = group()
    story.until_window(after)
    ask(story, standby.name)
    took = story.until(lambda: standby.leads, 15)
    story.go(ROUND)
    assert story.missed == 0
    assert took < 12
    assert not leader.leads
    assert wish_is_gone(story)
    assert "a switchover was asked for: asked for by me: a test" in str(standby.changes()[0][1]["reason"])


def test_while_it_waits_it_says_what_for() -> None:
    """The leader's report says whom it will hand over to, when, and for whom; it says so at once."""
    story, leader, standby = group()
    story.until_window(1.0)
    ask(story, standby.name)
    story.go(0.1)
    at, found = leader.published()[-1]
    assert story.now - at <= 100
    assert found.plan.startswith("hands over to bp-b at 20")
    assert found.plan.endswith("Z, in a gap: asked for by me: a test")
    assert leader.leads


def test_a_switchover_now_does_not_wait() -> None:
    """`now` is taken at its word, in the middle of the own window too."""
    story, _, standby = group()
    story.until_window(1.0)
    ask(story, standby.name, "now")
    assert story.until(lambda: standby.leads, 5) < 1.5


def test_a_switchover_on_a_chain_of_one_producer_is_at_once() -> None:
    """With every slot ours a gap means now: nothing is gained by waiting."""
    story = settled(turns=Schedule(1, (Producer(PRODUCER, (KEY,)),)))
    ask(story, "bp-b")
    assert story.until(lambda: story.hosts[1].leads, 5) < 1.5


def test_a_switchover_at_a_moment_waits_for_it_and_for_a_gap() -> None:
    """A moment is not before its time, and then in the first gap: no slot is missed."""
    story, leader, standby = group()
    story.until_window(3.0)
    moment = story.wall + 24_000  # in the next window, a second later
    ask(story, standby.name, clock_text(moment))
    story.go(23)
    assert leader.leads
    assert "from 20" in leader.published()[-1][1].plan
    story.until(lambda: standby.leads, 10)
    assert story.wall > moment + 3000
    story.go(ROUND)
    assert story.missed == 0


def test_a_switchover_to_whoever_is_best_takes_the_best() -> None:
    """Without a name the best candidate takes the seat (R11)."""
    story, _, _ = group("bp-a", "bp-b", "bp-c", bp_c={"priority": 1})
    ask(story, "")
    story.until(lambda: story.leader is not None and story.leader.name == "bp-c", 20)


# --- refused ---


def test_a_switchover_to_who_should_not_lead_is_refused() -> None:
    """A wish for a node that is gone, unhealthy, drained or dead is taken away, and the reason is told and shown."""
    story, leader, _ = group("bp-a", "bp-b", "bp-c", "bp-d", bp_c={"drained": True})
    story.hosts[1].disk_free = 1
    story.hosts[3].nodeos.kill()
    story.go(8)
    reasons = {
        "bp-a": "bp-a leads already",
        "bp-x": "bp-x is not among the members: its agent is not there",
        "bp-b": "bp-b is unhealthy: disk_space: 0.0 GiB (0.1 %) free for the data directory",
        "bp-c": "bp-c is drained",
        "bp-d": "bp-d cannot produce: ",
    }
    for to, why in reasons.items():
        ask(story, to, "now")
        story.go(1)
        assert refusals(leader)[-1].startswith(why)
        assert wish_is_gone(story)
        assert leader.leads
        assert leader.published()[-1][1].plan.startswith(f"refuses to hand over to {to}: {why}")
    assert len(refusals(leader)) == len(reasons)
    assert leader.events_told()[-1] == "switchover_refused"
    story.go(62)
    assert leader.published()[-1][1].plan == ""


def test_a_switchover_under_an_override_or_maintenance_is_refused() -> None:
    """An override and a maintenance are words of operators too, and stand above a wish."""
    story, leader, _ = group()
    story.put("maintenance", b"a disk")
    ask(story, "bp-b")
    story.go(1)
    story.delete("maintenance")
    story.put("override", b"bp-a")
    ask(story, "bp-b")
    story.go(1)
    assert [why.partition(":")[0] for why in refusals(leader)] == [
        "maintenance is on",
        "an override says that bp-a shall lead",
    ]
    assert leader.leads


def test_a_second_wish_is_judged_anew() -> None:
    """A wish that is asked again after it was refused is another one."""
    story, leader, standby = group()
    ask(story, "bp-x")
    story.go(1)
    ask(story, "bp-x")
    story.go(1)
    ask(story, "bp-b")
    story.until(lambda: standby.leads, 20)
    assert len(refusals(leader)) == 2


def test_with_force_a_drained_node_leads_and_keeps_the_lead() -> None:
    """Who insists gets his leader, and what was wrong with it before is no reason to hand back."""
    story, leader, _ = group("bp-a", "bp-b", "bp-c", bp_b={"drained": True})
    other = story.hosts[1]
    ask(story, "bp-b", "now", force=True)
    story.until(lambda: other.leads, 5)
    story.go(3 * ROUND)
    assert other.leads
    other.disk_free = 1
    story.until(lambda: not other.leads, 30)
    assert story.until(lambda: story.leader is not None, 5) < 5
    assert not leader.nodeos.silent


def test_a_wish_is_void_when_the_leader_changes_otherwise() -> None:
    """A wish is asked of the leader that hears it: with another change before it is over, and that is told."""
    story, leader, standby = group("bp-a", "bp-b", "bp-c")
    ask(story, "bp-c", clock_text(story.wall + 3_600_000))
    story.go(3)
    assert leader.leads
    leader.nodeos.kill()
    story.until(lambda: standby.leads, 5)
    story.go(1)
    assert wish_is_gone(story)
    assert any(isinstance(each, Warn) and each.key == "switchover_void" for _, each in leader.said)


# --- drained ---


def test_a_leader_that_is_drained_hands_over_in_a_gap_and_comes_back_to_none() -> None:
    """`drain/NODE` on the leader moves the lead at no cost; undrained, the node stands by (P3)."""
    story, leader, standby = group()
    story.until_window(1.0)
    story.put("drain/bp-a", json.dumps({"reason": "a disk", "by": "me"}).encode())
    story.until(lambda: standby.leads, 20)
    story.go(ROUND)
    assert story.missed == 0
    assert "drained, and another may lead: the key drain stands by me: a disk" in str(standby.changes()[0][1]["reason"])
    assert leader.published()[-1][1].drained
    assert leader.node.leadership.eligibility.why == "drained"
    story.delete("drain/bp-a")
    story.until(lambda: leader.node.leadership.eligibility.eligible, 5)
    story.go(2 * ROUND)
    assert standby.leads


def test_a_drained_leader_stays_while_nobody_else_may_lead() -> None:
    """Drained is no reason to stop the chain; as soon as another may lead, it does."""
    story, leader, standby = group()
    standby.disk_free = 1
    story.go(10)
    story.put("drain/bp-a", b"")
    story.go(2 * ROUND)
    assert leader.leads
    standby.disk_free = 500
    story.until(lambda: standby.leads, 30)
    assert story.missed == 0


def test_a_drained_standby_does_not_take_over() -> None:
    """A drained standby is no candidate: another goes first, and alone it waits."""
    story, leader, standby = group()
    story.put("drain/bp-b", b"why not")
    story.go(1)
    leader.nodeos.kill()
    story.go(20)
    assert story.leader is None
    story.delete("drain/bp-b")
    story.until(lambda: standby.leads, 5)


# --- failback ---


def test_there_is_no_failback_unless_it_is_wanted() -> None:
    """A node of better priority that comes back stands by (P3)."""
    story, leader, standby = group("bp-a", "bp-b", bp_a={"priority": 1})
    leader.nodeos.kill()
    story.until(lambda: standby.leads, 5)
    leader.nodeos.start()
    story.go(120)
    assert standby.leads


def test_failback_comes_in_a_gap_when_the_better_node_has_been_well_for_a_while() -> None:
    """With failback the node of better priority leads again, not at once, and at no cost."""
    better = {"priority": 1, "policy": BACK}
    story, leader, standby = group("bp-a", "bp-b", bp_a=better, bp_b={"policy": BACK})
    leader.nodeos.kill()
    story.until(lambda: standby.leads, 5)
    leader.nodeos.start()
    story.until(lambda: leader.node.leadership.eligibility.eligible, 10)
    story.missed = 0
    took = story.until(lambda: leader.leads, 40)
    story.go(ROUND)
    assert 9.5 < took < 10 + ROUND
    assert story.missed == 0
    assert "a node of better priority is back: bp-a has been well" in str(leader.changes()[-1][1]["reason"])


# --- who failed again and again ---


def fail(story: Story, host: Host) -> None:
    """Kill a host's nodeos and start it again."""
    host.nodeos.kill()
    story.go(1)
    host.nodeos.start()
    story.until(lambda: host.node.health.ok, 15)


def test_a_node_that_fails_again_and_again_is_held_down_and_says_so() -> None:
    """It stands behind a sound one of worse priority, its report and its standing say for how long, and it ends."""
    story, leader, _ = group("bp-a", "bp-b", "bp-c", bp_b={"priority": 1})
    flapping = story.hosts[1]
    fail(story, flapping)
    assert flapping.node.leadership.eligibility.eligible
    fail(story, flapping)
    story.go(1)
    assert 0 < flapping.published()[-1][1].held_down_ms <= 30_000
    assert flapping.node.leadership.eligibility.why.startswith("held down until 20")
    assert flapping.node.leadership.eligibility.why.endswith("2 faults within 600 s")
    ask(story, "bp-b", "now")
    story.go(1)
    assert "held down for" in refusals(leader)[0]
    leader.nodeos.kill()
    story.until(lambda: story.leader is not None and story.leader.name == "bp-c", 5)
    story.go(40)
    assert flapping.published()[-1][1].held_down_ms == 0
    assert flapping.node.leadership.eligibility.eligible


def test_a_node_that_is_held_down_leads_when_nobody_else_may() -> None:
    """Better a flapping leader than none (P2)."""
    story, leader, standby = group()
    fail(story, standby)
    fail(story, standby)
    assert standby.published()[-1][1].held_down_ms > 0
    leader.nodeos.kill()
    assert story.until(lambda: standby.leads, 5) < 2
