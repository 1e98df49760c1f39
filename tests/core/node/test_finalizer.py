"""Spring's finality, told as stories: the finalizer key follows the lead, and a want of votes moves no leader."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.core.health.checks import PausedProbed
from agent.core.health.finality import FinalityProbed
from agent.core.leadership import actions as do
from agent.core.model.chain import Schedule
from agent.core.model.finality import Finality, Finalizer
from agent.core.node.state import FINALIZER, HookDone
from agent.core.node.step import step
from tests.core.node.test_first_blocks import changes
from tests.core.parts import PRODUCER
from tests.lab.simulated_votes import VoteTracker
from tests.simulation.savanna import Savanna, key_of
from tests.simulation.story import ALONE, BOOT, FOUR, SINCE, Host, Story, ask, settled

PUSH = 300
"""How long a push took when it was measured."""


def begin(
    *names: str, turns: Schedule = ALONE, active: str = "bp-a", command: bool = True
) -> tuple[Story, Savanna, Host, Host]:
    """Return a settled group on a Savanna chain, with its leader and the next."""
    story = settled(*names, turns=turns)
    savanna = Savanna(story, active, command=command)
    for host in story.hosts:
        host.hook_takes[FINALIZER] = PUSH
    story.go(3)
    story.missed = 0
    leader = story.leader
    assert leader is not None
    return story, savanna, leader, next(host for host in story.hosts if host is not leader)


def runs(host: Host) -> list[int]:
    """Return when a host asked for its key to be made active."""
    return [at for at, each in host.hooks() if each.hook == FINALIZER]


# --- the key follows the lead ---


@pytest.mark.parametrize("turns", [ALONE, FOUR])
def test_a_lost_host_takes_the_active_key_with_it_and_the_new_leader_makes_its_own_active(turns: Schedule) -> None:
    """After the take-over the command is run once, the key is active in seconds, nodeos never pauses itself (P2)."""
    story, savanna, leader, standby = begin(turns=turns)
    leader.nodeos.kill()
    story.until(lambda: standby.leads, 10)
    story.until(lambda: savanna.active == key_of(standby.name), 30)
    story.go(30)
    assert standby.leads
    assert not standby.nodeos.says_paused
    assert len(runs(standby)) == 1
    assert "finalizer_key_not_active" not in standby.events_told()
    assert "votes_missing" not in standby.events_told()


def test_a_switchover_takes_the_key_along() -> None:
    """The new leader's key is made active though the old host goes on voting with its own."""
    story, savanna, _, standby = begin(turns=FOUR)
    ask(story, standby.name)
    story.until(lambda: standby.leads, 30)
    story.until(lambda: savanna.active == key_of(standby.name), 10)
    story.go(30)
    assert story.missed == 0


def test_a_standby_that_dies_with_the_active_key_stops_no_healthy_leader() -> None:
    """A leader whose key is not the active one does not wait until the votes are missing."""
    story, savanna, leader, standby = begin(active="bp-b")
    story.until(lambda: savanna.active == key_of(leader.name), 10)
    standby.nodeos.kill()
    story.go(20)
    assert leader.leads
    assert not leader.nodeos.says_paused
    assert story.missed == 0


def test_the_command_never_stands_between_election_and_resume_nor_before_a_pause() -> None:
    """It is asked for once nodeos has resumed; a stop while it hangs is as quick as any (R3)."""
    story, _, leader, standby = begin()
    standby.hook_takes.pop(FINALIZER)  # it hangs
    leader.nodeos.kill()
    story.until(lambda: bool(runs(standby)), 10)
    resumed = [at for at, each in standby.said if isinstance(each, do.ResumeNodeos)]
    assert resumed[-1] < runs(standby)[-1]
    leader.nodeos.start()
    story.go(1)
    ask(story, leader.name, "now", force=True)
    asked = story.now
    story.until(lambda: bool([at for at, each in standby.said if isinstance(each, do.PauseNodeos) and at >= asked]), 10)
    paused = next(at for at, each in standby.said if isinstance(each, do.PauseNodeos) and at >= asked)
    begun = next(at for at, each in standby.said if isinstance(each, do.Announce) and at >= asked)
    assert paused == begun


def test_a_key_that_does_not_become_active_is_tried_again_less_and_less_often_and_told() -> None:
    """The command succeeds and changes nothing: it is run again with growing pauses, and people are told (P2)."""
    story, savanna, leader, standby = begin(turns=FOUR)
    savanna.refused = True
    leader.nodeos.kill()
    story.until(lambda: standby.leads, 10)
    story.go(60)
    found = runs(standby)
    pauses = [later - earlier for earlier, later in pairwise(found)]
    assert 4 <= len(found) <= 7
    assert pauses == sorted(pauses)
    assert "finalizer_key_not_active" in standby.events_told()
    savanna.refused = False
    story.until(lambda: savanna.active == key_of(standby.name), 120)
    story.go(10)
    assert "-finalizer_key_not_active" in standby.events_told()


def test_a_key_that_comes_too_late_on_a_chain_that_stands_waits_for_one_resume_more() -> None:
    """Paused for want of own votes, alone in the schedule: the key needs a block, and nobody else makes one (P2)."""
    story, savanna, leader, standby = begin()
    savanna.refused = True
    leader.nodeos.kill()
    story.until(lambda: standby.leads and standby.nodeos.says_paused, 30)
    story.go(20)
    resumed = len([1 for _, each in standby.said if isinstance(each, do.ResumeNodeos)])
    assert resumed <= 5, "nodeos's own safety is not run over"
    savanna.refused = False
    story.until(lambda: savanna.active == key_of(standby.name), 180)
    story.until(lambda: standby.leads and not standby.nodeos.says_paused, 30)
    story.go(20)
    assert not standby.nodeos.says_paused


def test_without_a_command_the_key_is_told_and_nothing_is_run() -> None:
    """A host that was told its key alone says what is missing."""
    story, _, leader, standby = begin(command=False)
    leader.nodeos.kill()
    story.until(lambda: standby.leads, 10)
    story.go(15)
    assert runs(standby) == []
    (told,) = [each for each in standby.told if each.event == "finalizer_key_not_active"]
    assert "finalizer.command is not set" in told.summary


# --- a want of votes ---


def resumes(host: Host) -> int:
    """Return how often a host was resumed."""
    return len([1 for _, each in host.said if isinstance(each, do.ResumeNodeos)])


@pytest.mark.parametrize("names", [("bp-a", "bp-b"), ("bp-a", "bp-b", "bp-c")])
def test_a_shared_want_of_votes_changes_no_leader(names: tuple[str, ...]) -> None:
    """The others' votes are missing for a short while: nodeos pauses itself, the first votes mend it (P3)."""
    story, savanna, leader, _ = begin(*names)
    epochs, resumed = changes(story), resumes(leader)
    savanna.silent = True
    story.go(14)
    assert leader.nodeos.says_paused
    assert "votes_missing" in leader.events_told()
    savanna.silent = False
    story.until(lambda: not leader.nodeos.says_paused, 2)
    story.go(10)
    assert "-votes_missing" in leader.events_told()
    assert (changes(story), resumes(leader)) == (epochs, resumed)


def test_a_leader_that_votes_paused_on_a_chain_that_stands_is_resumed_once_more() -> None:
    """Finalizers that come back give old blocks no votes: without a new block their chain would stand for good (P2).

    The waits grow with the blocks beyond LIB, nobody else leads, and people hear of one lasting want of votes.
    """
    story, savanna, leader, standby = begin()
    resumed = resumes(leader)
    savanna.silent = True
    story.go(60)
    assert 2 <= resumes(leader) - resumed <= 4
    assert story.head.head_num - (story.lib or 0) <= 60
    story.until(lambda: leader.nodeos.says_paused, 10)
    savanna.silent = False
    story.until(lambda: leader.leads and not leader.nodeos.says_paused, 40)
    story.go(10)
    assert story.head.head_num - (story.lib or 0) < 5
    assert {node for _, node in changes(story)} == {leader.name}
    told = [each for each in (*leader.events_told(), *standby.events_told()) if each.endswith("votes_missing")]
    assert told == ["votes_missing", "-votes_missing"]


def test_a_leader_that_votes_paused_is_not_resumed_while_others_make_blocks() -> None:
    """Then a vote ends the pause, and what nodeos guards against is not run over."""
    story, savanna, leader, _ = begin(turns=FOUR)
    resumed = resumes(leader)
    savanna.silent = True
    story.go(60)
    assert leader.nodeos.says_paused
    assert resumes(leader) == resumed


@pytest.mark.parametrize("word", ["maintenance", "override"])
def test_operators_keep_a_leader_that_votes_paused_from_being_resumed(word: str) -> None:
    """In maintenance nothing changes; an override for nobody ends the lead."""
    story, savanna, leader, _ = begin()
    resumed = resumes(leader)
    savanna.silent = True
    story.until(lambda: leader.nodeos.says_paused, 12)
    story.put(word, b"none")
    story.go(40)
    assert resumes(leader) == resumed


def test_a_leader_that_somebody_paused_by_hand_is_replaced_on_savanna_too() -> None:
    """Its own votes and the others' go on, so it is no want of votes: another one leads (P2)."""
    story, _, leader, standby = begin()
    leader.nodeos.paused_flag = True
    story.until(lambda: standby.leads, 10)
    assert "votes_missing" not in leader.events_told()


def test_a_pause_by_hand_counts_as_one_while_nobody_tells_of_votes() -> None:
    """What was heard of votes long ago would say that all are missing: then a pause is a fault as ever (P2)."""
    story, savanna, leader, standby = begin()
    savanna.deaf = True
    story.go(20)
    leader.nodeos.paused_flag = True
    story.until(lambda: standby.leads, 10)


def test_a_nodeos_that_was_resumed_before_it_was_level_is_resumed_once_more_when_it_is() -> None:
    """Paused at once, and for good on a chain that stands: one resume more mends it, not one after the other (P2)."""
    story, _, leader, standby = begin()
    standby.nodeos.behind, standby.nodeos.votes = True, VoteTracker(PRODUCER)
    leader.nodeos.kill()
    story.until(lambda: standby.leads, 10)
    story.go(0.2)
    assert standby.nodeos.says_paused
    standby.nodeos.behind = False
    story.until(lambda: standby.leads and not standby.nodeos.says_paused, 15)
    story.go(20)
    assert not standby.nodeos.says_paused
    assert len([each for each in changes(story) if each[1] == standby.name]) <= 3


def test_work_on_a_standby_that_has_the_active_key_is_warned_of() -> None:
    """Drained with the key that votes for the leader elsewhere: people hear of it before nodeos is stopped."""
    story, savanna, _, standby = begin(active="bp-b", command=False)
    story.put(f"drain/{standby.name}", b'{"reason":"upgrade","by":"ann"}')
    story.go(5)
    assert savanna.active == key_of(standby.name)
    assert "finalizer_key_here" in standby.events_told()


# --- whatever is told ---

KEYS = st.sampled_from(["", "A", "B", key_of("bp-a"), key_of("bp-b")])
FINALIZERS = st.lists(st.builds(Finalizer, st.sampled_from(["", PRODUCER, "c"]), KEYS), max_size=3).map(tuple)
TIMES = st.sampled_from([0, 1, 10**12, SINCE, SINCE + 200_000, 2**62])
FINALITIES = st.builds(Finality, FINALIZERS, FINALIZERS, st.dictionaries(KEYS, TIMES, max_size=3))
TOLD = st.one_of(
    FINALITIES.map(FinalityProbed),
    st.just(FinalityProbed(None, "no answer")),
    st.just(FinalityProbed(None, "404", missing=True)),
    st.sampled_from([True, False, None]).map(lambda paused: PausedProbed(BOOT + 10**6, paused)),
    st.sampled_from(["ok", "failed", "timeout"]).map(lambda result: HookDone(FINALIZER, 1, result, 100)),
    st.sampled_from(["leader", "override", "maintenance", "drain/bp-a"]),
    st.just("kill"),
)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.tuples(TOLD, st.sampled_from([0.0, 0.3, 4.0])), max_size=12))
def test_nothing_that_is_told_of_finality_does_harm(told: list[tuple[Any, float]]) -> None:
    """Any policies, votes, outcomes and words: nothing raises, one command runs at a time, and only beside a lead (P1).

    The story itself ends when a slot is signed twice.
    """
    story, _, leader, _ = begin()
    for event, span in told:
        if event == "kill":
            leader.nodeos.kill()
        elif isinstance(event, str):
            story.put(event, b"bp-b" if event == "leader" else b"none" if event == "override" else b"{}")
        else:
            leader.step(event)
        story.go(span)
    for host in story.hosts:
        led = [each for _, each in host.said if isinstance(each, do.Announce) and each.target == "leading"]
        assert {each.epoch for _, each in host.hooks()} <= {each.epoch for each in led}


def test_that_a_leaders_nodeos_produces_is_noted_though_it_is_no_news() -> None:
    """Of one that produced before the tenure, as when it is adopted: it has not paused itself since it was resumed."""
    story, _, leader, _ = begin()
    node = replace(leader.node, finality=replace(leader.node.finality, unpaused=False))
    assert node.nodeos_paused is False
    after, _ = step(node, PausedProbed(story.now, paused=False), story.now)
    assert after.finality.unpaused
