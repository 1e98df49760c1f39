"""A standby whose nodeos has just thawed lacks blocks of the leader: it does not go on from an old one (P2, R9)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.group import VALIDITY, Group
from tests.lab.nodeos import Node

pytestmark = [pytest.mark.real, pytest.mark.timeout(180)]
BLOCKS = 4
"""So few that reports, which are seconds old, do not tell that it is behind; and more than are on their way."""


@pytest.fixture
def group(tmp_path: Path) -> Iterator[Group]:
    """A group of its own, on a chain of one producer, where blocks can be held back on their way."""
    with Group(tmp_path, p2p=True) as group:
        group.start()
        yield group


def id_of(node: Node, num: int) -> str:
    """Return the id of a block on a node's chain."""
    return str(node.call("/v1/chain/get_block", {"block_num_or_id": num})["id"])


def test_thawed_nodeos_does_not_split_the_chain(group: Group) -> None:
    """The leader's host is lost while the other nodeos, just thawed, is behind: that one leads when it is level."""
    leader, standby = group.leader, group.standby
    node, observer = group.nodeos(standby), group.chain.observer
    group.chain.hold(standby.node)
    node.freeze()
    observer.wait_blocks(BLOCKS)
    node.thaw()
    leader.lose_host()
    group.nodeos(leader).kill()
    lost = time.monotonic()
    group.wait("time for the heartbeat to be free", lambda: time.monotonic() > lost + VALIDITY + 1)
    last = observer.head
    assert node.head <= last - BLOCKS + 1
    assert not standby.leads
    group.chain.heal(standby.node)
    group.wait_leads(standby)
    assert id_of(node, last) == id_of(observer, last)
    observer.wait_blocks()
