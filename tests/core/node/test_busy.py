"""A main thread that is busy costs no handover and no kill while the own window is far; one that hangs does."""

from __future__ import annotations

from agent.core.leadership import actions as do
from tests.simulation.story import ROUND, Host, group

WINDOW_S = 6.0


def fences(host: Host) -> int:
    """Return how often a host ended its nodeos."""
    return sum(isinstance(each, do.FenceNodeos) for _, each in host.said)


def test_a_snapshot_outside_the_own_window_costs_neither_the_lead_nor_the_process() -> None:
    """Nine seconds without an answer of the main thread, over before the window: the leader stays, it is told (P3)."""
    story, leader, standby = group()
    story.until_window(WINDOW_S + 0.5)
    leader.nodeos.busy = True
    story.go(9)
    assert leader.leads
    assert "main_thread_busy" in leader.events_told()
    leader.nodeos.thaw()
    story.go(ROUND)
    assert leader.leads
    assert not standby.leads
    assert fences(leader) == 0
    assert "-main_thread_busy" in leader.events_told()
    assert story.missed == 0


def test_before_the_window_the_lead_is_handed_over_all_the_same() -> None:
    """A nodeos that is busy still when its window comes near signs nothing there: another one does (P2)."""
    story, leader, standby = group()
    story.until_window(WINDOW_S + 0.5)
    leader.nodeos.busy = True
    story.go(8)
    assert leader.leads
    story.until(lambda: standby.leads, 12)
    story.go(ROUND)
    assert story.missed <= 2


def test_a_main_thread_that_hangs_without_work_is_given_up_as_ever() -> None:
    """The same silence of a process that uses no processor is no patience's case."""
    story, leader, standby = group()
    story.until_window(WINDOW_S + 0.5)
    leader.nodeos.busy = True
    leader.nodeos.used = -(10**9)
    story.every(500, lambda: setattr(leader.nodeos, "used", -(10**9)))
    story.until(lambda: standby.leads, 9)
