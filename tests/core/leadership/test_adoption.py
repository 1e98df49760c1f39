"""The first take-over of a group: nobody resumes a node beside a live producer (R18). How one is adopted: scenarios."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from agent.core.model.slots import SLOT
from agent.core.model.store import Ms
from agent.core.node.state import LookedBack
from tests.core.node.test_urgency import TWENTY_ONE
from tests.simulation.story import Story


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
