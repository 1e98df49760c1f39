"""A store that forgot (R20): what was known of it is void, what waits for it ends, and nobody hurries."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.core.leadership import actions as do
from agent.core.leadership import events as ev
from agent.core.leadership.state import Phase, State
from agent.core.leadership.timing import standstill
from agent.core.model import records
from agent.core.model.chain import Block, Schedule
from agent.core.model.records import GroupView, Heartbeat, HeartbeatKey, LeaderKey
from agent.core.model.store import Ms
from agent.core.node import step as core
from agent.core.node.state import LookedBack
from tests.core.leadership.one import KEYS, LEASE, NODEOS, One, T, held, record
from tests.core.node.test_urgency import TWENTY_ONE
from tests.core.parts import PRODUCER, SETUP
from tests.simulation.story import ROUND, Story, group

OLD, NEW = 5, 6
ROUND_MS = 21 * 12 * 500
"""Until the next window of one of 21 producers."""
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
        assert one.now < max(begun, one.state.seen.barred_until) + 2 * T.validity, "nobody would ever lead"
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
def test_nobody_leads_since_the_last_heartbeat_though_the_store_forgot_it(cluster: int, revision: int) -> None:
    """R20: history tells since when nobody was seen to lead, not since the host was started."""
    one = One()
    one.now = 10_000_000
    one.standby()
    one.see(leader=LeaderKey("bp-b", 5, 7), heartbeat=HeartbeatKey(held(3), 6))
    known(one)
    seen = one.state.seen.heartbeat_since
    begun = first_campaign(one, cluster, revision)
    assert one.tenure.gap == begun - seen


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
    assert one.tenure.epoch > old.epoch, "an epoch is never given twice"
    assert one.request("take").txn.compare[0].key == KEYS.leader


@pytest.mark.parametrize("chosen", [False, True], ids=["elected", "named by hand"])
def test_a_release_at_first_sight_waits_for_the_chain_or_for_e(*, chosen: bool) -> None:
    """P1, R20: whatever operators want, it waits until the chain bears the release out, or E is over."""
    leader = LeaderKey("bp-a", 5) if chosen else None
    one, told = One(), One()
    for each in (one, told):
        each.standby()
        each.see(heartbeat=HeartbeatKey(held(3, released=True), 5), leader=leader, newer=True)
        assert each.phase() is Phase.STANDBY
    told.tell(ev.Ungoverned(0, newer=False))
    assert told.phase() is Phase.CAMPAIGNING
    one.tick(standstill(T.validity) - 1)
    assert one.phase() is Phase.STANDBY
    one.tick(1)
    assert one.phase() is Phase.CAMPAIGNING


def test_a_release_that_was_seen_to_come_is_free_at_once() -> None:
    """P2, R8: who saw the heartbeat held needs nobody's word for its release."""
    one = One()
    one.standby()
    one.see(heartbeat=HeartbeatKey(held(3), 5))
    one.see(heartbeat=HeartbeatKey(held(3, seq=2, released=True), 12), after=100)
    assert one.phase() is Phase.CAMPAIGNING


def restored(story: Story, hours: bool = True) -> None:
    """Cut the leader off, and restore a snapshot in which its heartbeat is released, before its newest blocks."""
    leader = story.leader
    assert leader is not None
    saved, tenure, block = story.etcd.save(), leader.node.leadership.tenure, story.blocks[max(story.blocks) - 40]
    assert tenure is not None
    last = Block(block.num, block.id, block.time, block.producer)
    gone = Heartbeat(tenure.epoch - 1, "bp-b", "i-before", 7, T.validity, True, last if hours else None, "shutdown")
    key = SETUP.keys.heartbeat
    found = {key: replace(saved.keys[key], value=records.write(gone))}
    leader.store.cut = True
    story.etcd.restore(replace(saved, keys=found), cluster=NEW)


def led_by_one(turns: Schedule | None) -> Story:
    """Return a group of two whose first node leads; no agent runs beside the other one yet."""
    story = Story("bp-a", "bp-b", turns=turns)
    story.hosts[0].start()
    story.until(lambda: story.leader is not None)
    return story


@pytest.mark.parametrize("turns", [None, TWENTY_ONE], ids=["one producer", "in a window of 21 producers"])
@pytest.mark.parametrize("named", [True, False], ids=["last block", "no last block"])
def test_a_release_that_the_chain_contradicts_is_not_believed(turns: Schedule | None, *, named: bool) -> None:
    """P1, R20: an agent that starts after a restore waits E, and one own window without a block: ours came after it."""
    story = led_by_one(turns)
    story.go(25)
    if turns is not None:
        story.until_window(3)
    restored(story, named)
    story.hosts[1].start()
    took = story.until(lambda: story.leader is story.hosts[1], 200)
    assert standstill(T.validity) <= took * 1000 <= standstill(T.validity) + 3000 + (ROUND_MS if turns else 0)
    warned = [action.key for _, action in story.hosts[1].said if isinstance(action, do.Warn)]
    assert ("store_forgot" in warned) == named


@pytest.mark.parametrize("turns", [None, TWENTY_ONE], ids=["one producer", "in a window of 21 producers"])
def test_a_release_that_the_chain_bears_out_costs_no_time(turns: Schedule | None) -> None:
    """P2, R20: beside an ordinary release a fresh agent takes over as soon as it is healthy."""
    story = led_by_one(turns)
    story.go(25)
    if turns is not None:
        story.until_window(3)
    story.hosts[0].step(ev.Shutdown())
    story.go(2)
    assert story.leader is None
    story.hosts[1].start()
    assert story.until(lambda: story.leader is not None) < 3.0


def test_a_release_since_which_we_had_no_slot_is_not_believed() -> None:
    """P1, R20: a leader that had no slot since the release cannot be seen: until one has passed, or E."""
    story = led_by_one(TWENTY_ONE)
    story.until_window(8)  # our window is over
    story.hosts[0].step(ev.Shutdown())
    story.go(2)
    story.hosts[1].start()
    assert standstill(T.validity) <= story.until(lambda: story.leader is not None) * 1000


@pytest.mark.parametrize("late", [0.0, 8.0], ids=["in the own window", "after it"])
def test_a_release_is_borne_out_whoever_signs_when_the_leader_stops(late: float) -> None:
    """P2, R5, R20: all agents end, and begin anew a round later: nobody waits for a confirmation that came after it.

    The release names the head, also where that is another producer's: with many of them it nearly always is.
    """
    story, leader, other = group()
    story.put("peers-key", b"0" * 64)
    story.until_window()
    story.go(late)
    other.step(ev.Shutdown())
    leader.step(ev.Shutdown())
    story.go(30)
    head = leader.nodeos.head
    own = max(block.time for block in story.blocks.values() if block.producer == PRODUCER)
    for host in (leader, other):
        host.lease = None
        host.node = core.begin(host.profile, State(replace(host.setup, instance=f"{host.name}-anew")))
        host.step(LookedBack(head.head_time - round(1000 * ROUND), own, head))
        host.step(ev.Started(None, host.nodeos.process))
    waited = story.until(lambda: story.leader is not None, 60)
    assert waited < 1 + ROUND / 4, f"of {SETUP.timing.lease_ttl} s and E_s that promises may count"
