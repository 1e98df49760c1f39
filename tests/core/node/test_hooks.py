"""When hooks are run, that none of them delays a pause, and what is told of them."""

from __future__ import annotations

from dataclasses import replace

from agent.core.leadership import actions as do
from agent.core.node.state import HOOKS
from tests.simulation.story import NAMES, Host, Story, ask, group, settled, two

SPAN = 3000


def hooked(story: Story, *names: str) -> tuple[Host, Host]:
    """Set hooks on all hosts; return the leader and the standby."""
    for host in story.hosts:
        profile = replace(host.node.settings, hooks=frozenset(names or HOOKS), hook_ms=SPAN)
        host.node = replace(host.node, settings=profile)
    return two(story)


def times(host: Host, kind: type) -> list[int]:
    """Return when a host asked for something."""
    return [at for at, each in host.said if isinstance(each, kind)]


def test_a_handover_runs_each_hook_once_with_who_and_why() -> None:
    """The old leader runs the hooks of a demotion, the new one those of a promotion, each with epoch and names."""
    story = settled()
    leader, standby = hooked(story)
    for host in story.hosts:
        host.hook_takes = dict.fromkeys(HOOKS, 200)
    story.put("leader", standby.name.encode())
    story.until(lambda: standby.leads, 10)
    story.go(3)
    assert [each.hook for _, each in leader.hooks()] == ["before_demote", "after_demote"]
    assert [(each.hook, each.epoch, each.before, each.to) for _, each in standby.hooks()] == [
        ("before_promote", 2, "bp-a", "bp-b"),
        ("after_promote", 2, "bp-a", "bp-b"),
    ]
    assert all(each.reason and each.within == SPAN for host in story.hosts for _, each in host.hooks())
    last = standby.changes()[-1][1]
    assert last["hooks"] == "before_promote: ok in 0.2 s; after_promote: ok in 0.2 s"
    assert "hook_failed" not in standby.events_told()


def test_the_resume_waits_for_the_hook_and_no_longer_than_its_deadline() -> None:
    """before_promote goes before the resume; one that hangs delays it by its deadline, and the lead is kept (R1)."""
    for takes, least, most in ((700, 700, 800), (SPAN, SPAN, SPAN + 100)):
        story = settled()
        leader, standby = hooked(story, "before_promote")
        standby.hook_takes = {"before_promote": takes}
        leader.nodeos.kill()
        story.until(lambda: standby.leads, 10)  # noqa: B023 - asked at once
        (asked, _), *_ = standby.hooks()
        assert least <= times(standby, do.ResumeNodeos)[-1] - asked <= most
        story.go(5)
        assert standby.leads
        assert standby.node.leadership.seen.max_epoch == 2


def test_a_pause_never_waits_for_a_hook() -> None:
    """With every hook hanging, a stop takes as long as without any: the pause is asked for in the same step (R3)."""
    spans = []
    for names in ((), HOOKS):
        story = settled()
        leader, standby = hooked(story, *(names or ("none",)))
        story.go(1)
        asked = story.now
        story.put("leader", standby.name.encode())
        story.until(lambda: leader.phase.value == "standby", 10)  # noqa: B023 - asked at once
        spans.append(times(leader, do.PauseNodeos)[-1] - asked)
        for at, each in leader.hooks():
            if each.hook == "before_demote":
                assert at == times(leader, do.PauseNodeos)[-1]
    assert spans[0] == spans[1]


def test_a_hook_that_hangs_is_told_and_goes_down_in_history() -> None:
    """A hook that was killed is a warning to people and a line of the record; the leader goes on."""
    story = settled()
    leader, standby = hooked(story, "after_promote")
    leader.nodeos.kill()
    story.until(lambda: standby.leads, 10)
    story.go(6)
    assert "hook_failed" in standby.events_told()
    assert standby.changes()[-1][1]["hooks"] == "after_promote: timeout in 3.0 s"
    assert standby.leads


def test_without_hooks_nothing_is_run() -> None:
    """A group without hooks asks for none, and its history does not speak of them."""
    story = settled()
    leader, standby = hooked(story, "none")
    leader.nodeos.kill()
    story.until(lambda: standby.leads, 10)
    story.go(5)
    assert [host.hooks() for host in story.hosts] == [[], []]
    assert "hooks" not in standby.changes()[-1][1]


def test_before_a_planned_handover_the_hook_is_run_ahead() -> None:
    """A handover that waits for a gap leaves the hook its time: it is over before the pause, and run once."""
    story, leader, standby = group()
    hooked(story, "before_demote", "after_promote")
    leader.hook_takes = {"before_demote": 500}
    story.until_window(1.0)
    ask(story, standby.name)
    story.until(lambda: standby.leads, 15)
    ((at, run),) = leader.hooks()
    assert (run.hook, run.epoch, run.before, run.to) == ("before_demote", 1, "bp-a", "bp-b")
    assert SPAN - 1000 <= times(leader, do.PauseNodeos)[-1] - at <= SPAN
    assert story.missed == 0


def test_a_plan_that_is_taken_back_promotes_again() -> None:
    """When the wish goes after before_demote was run, after_promote says that this node leads on."""
    story, leader, standby = group()
    hooked(story)
    leader.hook_takes = {"before_demote": 100, "after_promote": 100}
    story.until_window(1.0)
    ask(story, standby.name)
    story.until(lambda: bool(leader.hooks()), 15)
    story.delete(NAMES.switchover.removeprefix(NAMES.root))
    story.go(10)
    assert leader.leads
    assert [each.hook for _, each in leader.hooks()] == ["before_demote", "after_promote"]
