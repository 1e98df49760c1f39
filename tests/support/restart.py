"""An agent that is killed and back within E, as a check for tests of it with and without a signing gate."""

from __future__ import annotations

from tests.lab import evidence
from tests.lab.group import Group


def goes_on_after_a_restart(group: Group) -> None:
    """Kill and start the agent that leads; assert that it goes on in the same epoch, and that no slot is missed."""
    leader = group.leader
    epoch, head = group.heartbeat()["epoch"], group.chain.observer.head
    leader.kill()
    leader.start()
    group.wait("the agent to lead again", lambda: leader.leads)
    before = group.heartbeat()["seq"]
    group.wait("new confirmations", lambda: group.heartbeat()["seq"] > before + 2)
    group.chain.observer.wait_blocks(4)
    assert group.heartbeat()["epoch"] == epoch
    assert evidence.slots_missed(group.chain.observer, head) == 0
