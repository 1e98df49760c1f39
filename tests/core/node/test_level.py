"""A node that lacks blocks of the last leader does not take over, for a bounded time: it would split the chain."""

from __future__ import annotations

import pytest

from agent.core.blocks.schedule import ProducerWindows
from agent.core.health.checks import ProcessProbed
from agent.core.model.slots import date, slot_of
from agent.core.node.level import LOST
from tests.core.leadership.one import T
from tests.core.node.test_urgency import TWENTY_ONE
from tests.simulation.story import Host, Story, pair

E_S = T.validity / 1000
LONGEST = E_S + LOST / 1000 + 2


def lose(host: Host) -> None:
    """Lose a host at once: nodeos is silent, and its agent reaches nobody."""
    host.nodeos.frozen = host.store.cut = True


def fall_behind(story: Story, host: Host, how: str, blocks: int) -> None:
    """Have a host's nodeos answer well and lack blocks: it has just thawed, was started anew, or nothing reaches it."""
    nodeos = host.nodeos
    nodeos.frozen, nodeos.unreached = how == "thawed", True
    if how == "started":
        nodeos.kill()
    story.go(blocks / 2)
    nodeos.thaw()
    if how == "started":
        nodeos.start()


@pytest.mark.parametrize(("how", "blocks"), [("thawed", 9), ("thawed", 8), ("started", 9), ("cut off", 8)])
def test_a_node_that_is_behind_waits_for_the_blocks(how: str, blocks: int) -> None:
    """P2, R9: it leads once it has them, as soon as somebody who has them is back, and nothing is lost."""
    story, leader, standby = pair()
    fall_behind(story, standby, how, blocks)
    lose(leader)
    story.go(E_S + 3)
    assert not standby.leads, "it would sign on an old block"
    standby.nodeos.unreached = False
    story.until(lambda: standby.leads, 3.0)
    story.go(3)
    assert story.lost == 0


@pytest.mark.parametrize(("how", "blocks"), [("thawed", 9), ("cut off", 12)])
def test_a_node_that_is_behind_waits_for_them_after_a_release_that_names_no_block(how: str, blocks: int) -> None:
    """P1, P2, R9: the leader's nodeos is killed, so its release has no head to name; a slot would be signed again."""
    story, leader, standby = pair()
    fall_behind(story, standby, how, blocks)
    leader.nodeos.kill()
    leader.step(ProcessProbed(None))
    story.go(2)
    assert leader.node.leadership.seen.record is not None
    assert leader.node.leadership.seen.record.released
    assert not standby.leads, "it would sign on an old block"
    standby.nodeos.unreached = False
    story.until(lambda: standby.leads, 3.0)
    story.go(3)
    assert story.lost == 0


def test_a_node_that_is_level_takes_a_release_that_names_no_block_at_once() -> None:
    """P3, R9: a leader whose nodeos is killed hands over as fast as ever."""
    story, leader, standby = pair()
    leader.nodeos.kill()
    leader.step(ProcessProbed(None))
    assert story.until(lambda: standby.leads, 1.0) < 0.5


def test_blocks_that_are_lost_are_not_waited_for_without_end() -> None:
    """P2: what nobody else has is gone with the host: the group goes on."""
    story, leader, standby = pair()
    fall_behind(story, standby, "thawed", 9)
    lose(leader)
    assert story.until(lambda: standby.leads, LONGEST) > E_S + LOST / 1000 - 1


def test_a_node_that_is_level_goes_first() -> None:
    """P2, R11: of two the one with the blocks takes over as soon as the heartbeat is free, whatever their order."""
    story, leader, second = pair("bp-a", "bp-b", "bp-c")
    third = story.hosts[2]
    fall_behind(story, second, "thawed", 9)
    lose(leader)
    assert story.until(lambda: third.leads or second.leads, E_S + 2) < E_S + 2
    assert third.leads
    assert story.lost == 0


@pytest.mark.parametrize("alone", [True, False], ids=["one producer", "in the window of one of 21"])
def test_a_node_that_is_level_loses_no_time(*, alone: bool) -> None:
    """P2: an ordinary loss of a host costs what it did."""
    story, leader, other = pair(turns=None if alone else TWENTY_ONE)
    if not alone:
        story.until_window(3)
    lose(leader)
    assert story.until(lambda: other.leads) < E_S + 1


def test_a_leader_that_signed_nothing_has_no_blocks_to_wait_for() -> None:
    """P2: who leads and signs nothing leaves no blocks: its report says so, and its last sign of life says nothing."""
    story, leader, standby = pair()
    leader.nodeos.barren = True
    story.go(3)
    lose(leader)
    assert story.until(lambda: standby.leads) < E_S + 1


@pytest.mark.parametrize("late", [0.5, 1.2, 1.5, 2.0, 3.0])
def test_a_confirmation_that_is_told_late_costs_nothing(late: float) -> None:
    """P2: a host is lost with etcd's leader on it, and the others tell its last confirmation after an election."""
    story, leader, other = pair()
    other.deaf = True
    tenure = leader.node.leadership.tenure
    assert tenure is not None
    before = tenure.heartbeat_revision
    story.until(lambda: _confirmed(leader) != before, 2)
    lose(leader)
    story.go(late)
    other.deaf = False
    other.see_store()
    assert story.until(lambda: other.leads) < E_S + 1


def _confirmed(host: Host) -> int:
    tenure = host.node.leadership.tenure
    return tenure.heartbeat_revision if tenure else 0


def test_the_last_own_slot() -> None:
    """The last slot of ours up to a date is in the window, or at the end of the one before."""
    ours = ProducerWindows(3, 1)

    def last(slot: int) -> int:
        return slot_of(ours.last(date(slot)))

    begin = 36 * 100 + 12
    assert [last(begin + each) for each in (-1, 0, 5, 11, 12, 35, 36)] == [
        begin - 25,
        *(begin + each for each in (0, 5, 11, 11, 11, 36)),
    ]
    assert ours.last(date(begin) + 499) == date(begin)
