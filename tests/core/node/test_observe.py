"""An agent that only observes asks for nothing, and says what it would do."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.health.checks import PausedProbed, ProcessProbed
from agent.core.leadership import actions as do
from agent.core.leadership import events as ev
from agent.core.model.operator import Override
from agent.core.model.records import GroupView, HeartbeatKey
from agent.core.node import step as core
from agent.core.node.observe import would
from agent.core.node.state import LookedBack, Publish, RefuseWish, RunHook
from tests.core.leadership.one import T, held
from tests.core.parts import NODEOS
from tests.simulation.story import Host, Story

ACTS = (
    *(do.Transact, do.PauseNodeos, do.ResumeNodeos, do.FenceNodeos, do.OpenGate, do.CloseGate, do.SaveRuntime),
    *(do.SendBeat, do.SendPromise, RunHook, Publish, RefuseWish),
)
"""What does something to nodeos, etcd, the gate, the run-time file or other members."""


def observing(*, paused: bool = True) -> tuple[Story, Host]:
    """Return an agent that observes and was never started, beside a nodeos that is well."""
    story = Story("bp-a")
    host = story.hosts[0]
    checks = {name: each for name, each in host.profile.limits.thresholds.items() if name != "can_lead"}
    profile = replace(host.profile, observes=True, limits=replace(host.profile.limits, thresholds=checks))
    host.node = core.begin(profile, host.node.leadership)
    host.nodeos.paused_flag = paused
    host.step(LookedBack(story.wall - 600_000))
    for probe in (host._paused, host._info, host._slow, host._schedule):
        story.every(500, probe)
    story.every(1000, lambda: host.step(ProcessProbed(host.nodeos.process)))
    story.go(5)
    return story, host


def see(story: Story, host: Host, **keys: object) -> tuple[str, str]:
    """Let it see the group; return what it would do."""
    view = GroupView(host.node.leadership.seen.words_revision + 1, **keys)  # type: ignore[arg-type] # keys of it
    host.step(ev.StoreSeen(view))
    return would(host.node, story.now)


def test_a_free_seat_is_one_that_it_would_take() -> None:
    """R8: with nodeos paused and nobody there it would lead; beside a leader it stands by until E is over."""
    story, host = observing()
    assert see(story, host) == ("lead", "nobody holds the heartbeat")
    assert see(story, host, heartbeat=HeartbeatKey(held(3), 2)) == ("stand_by", "bp-b holds the lead")
    story.go(T.validity / 1000 + 1)
    assert would(host.node, story.now)[0] == "lead"
    found = see(story, host, override=Override("bp-b"))
    assert found == ("stand_by", "an override says that bp-b shall lead")


def test_a_nodeos_that_signs_would_be_adopted_or_paused() -> None:
    """R19: it would go on where nobody has led, and be paused where somebody has; it says so once for each change."""
    story, host = observing(paused=False)
    assert see(story, host) == ("lead", "nodeos signs already, and nobody has led: it would go on without a pause")
    what, why = see(story, host, heartbeat=HeartbeatKey(held(3), 2))
    assert (what, why) == ("pause", "it produces, and bp-b has led before")
    said = [each.text for _, each in host.said if isinstance(each, do.Warn) and each.key == "observes"]
    assert [text.split(":")[0].removeprefix("observes only; it would ") for text in said][-2:] == [
        "take the lead",
        "pause nodeos",
    ]
    assert host.node.would is not None
    assert host.node.would.what == "pause"


def test_it_ends_when_it_is_asked_to() -> None:
    """Nothing was begun, so nothing has to be proven before it ends."""
    _, host = observing(paused=False)
    host.step(ev.Shutdown())
    assert any(isinstance(each, do.Exit) for _, each in host.said)


EVENTS = st.sampled_from(
    (
        ev.LeaseSeen(7),
        ev.LeaseSeen(None),
        ev.ProcessSeen(NODEOS),
        ev.ProcessSeen(None),
        ev.Eligibility(True, can_produce=True, rank=0, why=""),
        ev.Eligibility(True, can_produce=True, rank=0, why="", handover="sick"),
        ev.StoreSeen(GroupView(5)),
        ev.StoreSeen(GroupView(6, heartbeat=HeartbeatKey(held(3), 6))),
        ev.StoreSeen(GroupView(7, heartbeat=HeartbeatKey(held(3, released=True), 7))),
        ev.StoreSeen(GroupView(3, override=Override("bp-a"), cluster=9, asked=10**9)),
        ev.PauseDone(0, ev.Call.OK),
        ev.GateRefused(1, "no page"),
        ev.Restarting(),
        ev.Tick(),
        PausedProbed(0, paused=False),
    )
)


@given(st.lists(st.tuples(EVENTS, st.integers(0, 9000)), max_size=20))
def test_nothing_that_is_seen_makes_it_act(events: list[tuple[object, int]]) -> None:
    """P1: without a start no order of events asks for anything that touches nodeos, etcd, the gate or a file."""
    story = Story("bp-a")
    node = core.begin(replace(story.hosts[0].profile, observes=True), story.hosts[0].node.leadership)
    now = story.now
    for event, later in events:
        now += later
        node, actions = core.step(node, event, now)  # type: ignore[arg-type] # any of them
        found = [each for each in actions if isinstance(each, ACTS) and not isinstance(each, Publish)]
        assert not found


@pytest.mark.parametrize("missing", ["etcd", "nodeos"])
def test_before_everything_is_known_it_says_so(missing: str) -> None:
    """It claims nothing of what it has not seen."""
    story, host = observing()
    if missing == "nodeos":
        host.node = replace(host.node, nodeos_paused=None)
        host.step(ev.StoreSeen(GroupView(5)))
    assert would(host.node, story.now) == ("stand_by", "etcd and nodeos have yet to answer")
