"""A store that forgot (R20): what was known of it is void, what waits for it ends, and nobody hurries."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.core.leadership import actions as do
from agent.core.leadership import events as ev
from agent.core.leadership.state import Phase
from agent.core.leadership.timing import standstill
from agent.core.model.records import GroupView
from agent.core.model.store import Ms
from tests.core.leadership.one import KEYS, LEASE, NODEOS, One, T, record

OLD, NEW = 5, 6
LOST = pytest.mark.parametrize(
    ("cluster", "revision"), [(NEW, 3), (NEW, 1000), (OLD, 3)], ids=["both", "id alone", "revisions alone"]
)
"""What tells that the store is another one: its id, revisions that went back, or both."""


def transactions(actions: list[do.Action]) -> list[do.Transact]:
    """Return the requests among actions."""
    return [action for action in actions if isinstance(action, do.Transact)]


def refuse(one: One, cluster: int, revision: int) -> None:
    """Let the request under way be answered by an empty store."""
    one.tell(ev.Refused(one.state.request, revision, None, None, cluster), 2)
    one.save()


def known(one: One) -> None:
    """Let the store tell its id, with all that is known of it."""
    seen = one.state.seen
    one.revision += 1
    one.tell(ev.StoreSeen(GroupView(one.revision, seen.leader, seen.heartbeat, cluster=OLD, asked=one.now)))


def first_campaign(one: One, cluster: int, revision: int) -> Ms:
    """Show the empty store again and again; return when the node campaigns."""
    begun = one.now
    while not one.state.request:
        one.tell(ev.StoreSeen(GroupView(revision, cluster=cluster, asked=one.now)), 10)
        assert one.now < begun + 2 * T.validity, "nobody would ever lead"
    assert one.phase() is Phase.CAMPAIGNING
    return one.now


@LOST
def test_a_release_ends_when_the_store_forgot(cluster: int, revision: int) -> None:
    """R5, R20: what is to be released stands nowhere any more: the release is given up at once, not tried for ever."""
    one = One()
    one.lead()
    known(one)
    one.tell(ev.Eligibility(False, can_produce=False, rank=0, why="", handover="unhealthy", cause="unhealthy"))
    one.until_released()
    refuse(one, cluster, revision)
    asked = 0
    while one.phase() is Phase.RELEASING:
        assert asked < 2
        asked += len(transactions(one.tick(T.renew)))
        if one.state.request:
            refuse(one, cluster, revision)
    assert one.phase() is Phase.STANDBY
    assert one.state.tenure is None


@LOST
def test_nobody_takes_over_before_a_forgotten_confirmation_has_ended(cluster: int, revision: int) -> None:
    """R20: the store that has nobody is no reason to hurry: somebody may produce by a confirmation that it forgot."""
    one = One()
    one.standby()
    heartbeat = ev.StoreSeen(GroupView(11, cluster=OLD, asked=one.now, heartbeat=None))
    one.tell(heartbeat)
    assert one.phase() is Phase.CAMPAIGNING, "a store that never had anything is free at once"
    refuse(one, cluster, revision)
    since = one.now
    assert first_campaign(one, cluster, revision) >= since + standstill(T.validity)


@LOST
@pytest.mark.parametrize("state", ["held", "stopping", "stopped"])
def test_a_runtime_record_of_another_store_is_void(state: str, cluster: int, revision: int) -> None:
    """R20: an agent that restarts with the record of a lost store ends that tenure, waits E, and leads in a new one."""
    one = One()
    old = replace(record(one.now - 100, state), cluster=OLD)
    one.tell(ev.Started(old, NODEOS))
    one.tell(ev.LeaseSeen(LEASE))
    begun = one.now
    while one.phase() is not Phase.STANDBY:
        assert one.now < begun + 2 * T.validity, one.state
        one.save()
        if one.state.call and one.state.production_until:
            one.paused()
        if one.state.head_call:
            one.read_head(41)
        if one.state.request:
            assert one.request(one.state.kind).txn.compare, "nothing is written unseen"
            refuse(one, cluster, revision)
        else:
            one.tick(10)
    assert one.state.tenure is None
    assert one.state.seen.cluster == cluster
    one.tell(ev.Eligibility(True, can_produce=True, rank=0, why=""))
    since = one.state.seen.barred_until
    assert since >= begun + standstill(T.validity)
    assert first_campaign(one, cluster, revision) >= since
    assert one.state.tenure is not None
    assert one.state.tenure.epoch > old.epoch, "an epoch is never given twice"
    assert one.request("take").txn.compare[0].key == KEYS.leader
