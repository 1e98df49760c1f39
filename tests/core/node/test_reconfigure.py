"""Settings that change while the agent runs: they apply, and cost nobody the lead."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.core.leadership.state import Phase
from agent.core.node import step as core
from agent.core.node.reconfigure import FixedSpanError, reconfigured
from agent.core.node.state import Publish, Reconfigured
from tests.simulation.story import Host, Story, settled


def under(host: Host, **profile: object) -> Reconfigured:
    """Return the event that changes the profile of a host."""
    node = host.node
    return Reconfigured(replace(node.settings, **profile), node.leadership.identity.timing)  # type: ignore[arg-type]  # fields by name


def leading(story: Story) -> Host:
    """Return the leader."""
    assert story.leader is not None
    return story.leader


def test_every_live_setting_leaves_the_tenure_alone() -> None:
    """R1: the tenure, the phase and what is known of nodeos are the same objects after as before."""
    story = settled()
    host = leading(story)
    before = host.node.leadership
    limits = replace(host.node.settings.limits, head_age=9000, peers=0)
    after, _ = core.step(host.node, under(host, limits=limits, priority=7), story.now)
    state = after.leadership
    assert state.phase is Phase.LEADING
    assert (state.tenure, state.production, state.guard_stops_at) == (
        before.tenure,
        before.production,
        before.guard_stops_at,
    )
    assert (after.settings.priority, after.settings.limits.head_age) == (7, 9000)


def test_the_other_members_hear_of_it_at_once() -> None:
    """A changed priority or nofailover is published with the very step."""
    story = settled()
    host = leading(story)
    _, actions = core.step(host.node, under(host, priority=7), story.now)
    published = [action.member for action in actions if isinstance(action, Publish)]
    assert [member.priority for member in published] == [7]


def test_a_new_check_is_not_held_against_anybody_before_it_was_made() -> None:
    """A check that is turned on passes until its first result, one that is turned off is gone, others stay."""
    story = settled()
    host = leading(story)
    limits = host.node.settings.limits
    without = replace(limits, thresholds={name: gate for name, gate in limits.thresholds.items() if name != "peers"})
    node = reconfigured(host.node, under(host, limits=without))
    assert "peers" not in node.health.checks
    assert node.health.checks["head_age"] is host.node.health.checks["head_age"]
    after, _ = core.step(node, under(host, limits=limits), story.now)
    assert after.health.ok
    assert after.health.checks["peers"].known is False
    assert after.leadership.phase is Phase.LEADING


def test_spans_that_promises_rest_on_are_refused() -> None:
    """R1, R3: whoever hands in another E has made a mistake, and nothing changes."""
    story = settled()
    node = leading(story).node
    timing = node.leadership.identity.timing
    with pytest.raises(FixedSpanError):
        reconfigured(node, Reconfigured(node.settings, replace(timing, validity=timing.validity + 1000)))
    after = reconfigured(node, Reconfigured(node.settings, replace(timing, rank_step=700)))
    assert after.leadership.identity.timing.rank_step == 700
