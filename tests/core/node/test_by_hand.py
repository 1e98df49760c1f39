"""What somebody puts by hand into the keys that safety rests on, and members that nobody stands behind."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from agent.core.leadership import actions as do
from agent.core.leadership import events as ev
from agent.core.leadership.state import Phase
from agent.core.leadership.timing import standstill
from agent.core.model.chain import Schedule
from agent.core.model.fields import MAX_BYTES, RecordError
from agent.core.model.operator import clock_text, moment
from agent.core.model.peers import Peer
from agent.core.model.records import (
    FAR,
    Heartbeat,
    HeartbeatKey,
    LeaderKey,
    heartbeat_key,
    read_group,
    read_heartbeat,
    write,
)
from agent.core.model.store import Delete, KeyValue, Put, Snapshot, Txn
from tests.core.leadership.one import LEASE, One, T, held
from tests.core.parts import member
from tests.simulation.story import FOUR, NAMES, Host, Story, pair, settled, two

RUBBISH = [b" ", b"/", "bp-é".encode(), b"\xff\x00", b"x" * 1_000_000, b"bp-nobody"]


def forge(story: Story, **changes: object) -> None:
    """Put the heartbeat that stands again, as an operator may, with other fields."""
    standing = story.etcd.keys[NAMES.heartbeat]
    story.put("heartbeat", json.dumps({**json.loads(standing.value), **changes}).encode())


def waits_for_all_of_e(story: Story, other: Host, begun: float) -> None:
    """See that the other host leads in the end, and no sooner than E after `begun`."""
    story.until(lambda: other.leads, 20)  # the story ends where a slot is signed twice
    assert story.now - begun >= other.setup.timing.validity


def left_to_another(one: One) -> tuple[LeaderKey, Heartbeat]:
    """Have a standby see a heartbeat that names another peer; return the seat and that heartbeat."""
    one.standby()
    seat, heartbeat = LeaderKey("bp-b", 5, 7), replace(held(3), host_id="b-id", peers=(Peer("bp-c", "c-id"),))
    one.see(leader=seat, heartbeat=HeartbeatKey(heartbeat, 6))
    return seat, heartbeat


# --- the heartbeat ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"state": "released"},
        {"state": "released", "validity_ms": 1},
        {"validity_ms": 1},
        {"node": "bp-b"},
        {"epoch": 900},
        {"epoch": 2**53 - 1},
    ],
    ids=str,
)
def test_own_heartbeat_changed_by_hand_stops_at_once(changes: dict[str, object]) -> None:
    """R1, R3: a leader that hears that its heartbeat is not as it wrote it stops then, whatever it says now."""
    one = One()
    one.lead()
    record = one.state.seen.record
    assert record is not None
    fields = {"released" if name == "state" else name: value == "released" or value for name, value in changes.items()}
    forged = replace(record, **fields)  # type: ignore[arg-type] # the table's
    one.see(heartbeat=HeartbeatKey(forged, one.revision + 1))
    assert one.state.phase is Phase.STOPPING
    assert isinstance(one.last(do.PauseNodeos), do.PauseNodeos)


@pytest.mark.parametrize("waits", [True, False], ids=["by the answer", "by the watch"])
def test_forged_release_ends_the_tenure_without_two(waits: bool) -> None:
    """P1, R5: the old leader stops and takes its key away; the others do not believe a release that left it there."""
    story = settled()
    one, two = story.hosts
    leader, _ = (one, two) if one.leads else (two, one)
    see = leader.see_store
    if waits:
        leader.see_store = lambda: None  # type: ignore[method-assign] # its watch is late: the next confirmation tells
    forge(story, state="released")
    story.until(lambda: leader.phase is Phase.STOPPING, 1.0)
    leader.see_store = see  # type: ignore[method-assign] # as above
    story.until(lambda: story.leader is not None, 15)  # the story ends where a slot is signed twice
    story.go(5)
    assert story.leader is not None


def test_forged_release_of_a_leader_that_does_not_hear_is_not_believed() -> None:
    """P1, R8: while the old leader may still hold, a release put by hand opens nothing before E is over."""
    story, leader, other = pair()
    leader.store.cut = True
    begun = story.now
    forge(story, state="released")
    story.until(lambda: other.leads, 20)
    assert story.now - begun >= other.setup.timing.validity


@pytest.mark.parametrize("seqs", [(None,), (900,), (900, 901)], ids=["as it was", "greater seq", "twice"])
def test_shorter_validity_put_by_hand_is_not_believed(seqs: tuple[int | None, ...]) -> None:
    """P1, R8: while the old leader may still hold, a heartbeat put with less validity opens nothing before E ends."""
    story, leader, other = pair()
    leader.store.cut = True
    begun = story.now
    for seq in seqs:
        forge(story, validity_ms=1, **({} if seq is None else {"seq": seq}))
        story.go(0.1)
    waits_for_all_of_e(story, other, begun)


@pytest.mark.parametrize("changes", [{}, {"state": "released"}, {"seq": 900}, None], ids=str)
def test_heartbeat_that_goes_with_a_lease_opens_nothing(changes: dict[str, object] | None) -> None:
    """P1, R8: put by hand with a lease it deletes itself, which nobody meant by it: all of E is waited for."""
    story, leader, other = pair()
    leader.store.cut = True
    begun = story.now
    value = json.loads(story.etcd.keys[NAMES.heartbeat].value)
    raw = b"{" if changes is None else json.dumps(value | changes).encode()
    lease = story.etcdctl.grant(2, 1.0).id
    story.etcdctl.txn(Txn((), (Put(NAMES.heartbeat, raw, lease),)), 1.0)
    story.until(lambda: NAMES.heartbeat not in story.etcd.keys, 5)
    waits_for_all_of_e(story, other, begun)


def test_heartbeat_that_goes_with_a_lease_leaves_the_lead_to_whom_it_was_left() -> None:
    """P1, R13: promises may hold the leader of before, so only whom its heartbeat named may take over."""
    one = One()
    seat, heartbeat = left_to_another(one)
    one.see(leader=seat, heartbeat=HeartbeatKey(heartbeat, one.revision + 1, lease=9))
    one.see(leader=seat, heartbeat=None)
    assert one.state.free_at() is None


@pytest.mark.parametrize("turns", [None, FOUR], ids=["alone", "one of four"])
@pytest.mark.parametrize("node", ["bp-a", "bp-b", "ghost"])
@pytest.mark.parametrize("epoch", [0, 99])
def test_heartbeat_of_another_epoch_put_by_hand_is_not_believed(node: str, epoch: int, turns: Schedule | None) -> None:
    """P1, R8: a take-over puts `leader`, too; while the old leader may still hold, any other opens nothing."""
    story = settled(turns=turns)
    leader, other = two(story)
    if turns is not None:
        story.until_window(0.5)
    leader.store.cut = True
    begun = story.now
    forge(story, node=node, epoch=epoch, instance="by hand", seq=1, validity_ms=1)
    waits_for_all_of_e(story, other, begun)


def test_heartbeat_of_another_epoch_put_by_hand_leaves_the_lead_to_whom_it_was_left() -> None:
    """P1, R13: promises may hold the leader of before, so only whom its heartbeat named may take over."""
    one = One()
    seat, _ = left_to_another(one)
    one.see(leader=seat, heartbeat=HeartbeatKey(replace(held(9), instance="by hand"), 8))
    assert one.state.free_at() is None
    put = one.revision + 1
    one.see(leader=LeaderKey("bp-c", put, 8), heartbeat=HeartbeatKey(held(10, "bp-c"), put))
    assert one.state.free_at() is not None, "a take-over puts both keys"


@pytest.mark.parametrize("put", [None, replace(held(1), validity_ms=1)], ids=["garbage", "shorter"])
def test_what_the_holder_did_not_write_counts_as_long_as_what_stood_there(put: Heartbeat | None) -> None:
    """P1, R8: the leader may have a longer validity than we, and has not heard of it: all of that is waited for."""
    one = One()
    one.standby()
    theirs = T.validity + 3000
    seat = LeaderKey("bp-b", 5, 7)
    one.see(leader=seat, heartbeat=HeartbeatKey(replace(held(1), validity_ms=theirs), 6))
    one.tick(100)
    one.see(leader=seat, heartbeat=HeartbeatKey(put, 8))
    assert one.state.free_at() == one.state.seen.heartbeat_since + standstill(theirs)


def test_take_over_of_a_huge_value_is_none_that_etcd_refuses_for_its_size() -> None:
    """P2: whatever somebody could put into `heartbeat`, a take-over is no larger than what etcd takes."""
    one = One()
    one.standby()
    huge = heartbeat_key(KeyValue(NAMES.heartbeat, b"x" * 1_572_000, one.revision + 1))
    one.see(leader=None, heartbeat=huge)
    one.tick(60_000)
    take = one.request("take")
    sent = [each.value or b"" for each in (*take.txn.compare, *take.txn.then) if not isinstance(each, Delete)]
    assert sum(map(len, sent)) < MAX_BYTES
    assert huge.revision in {each.mod_revision for each in take.txn.compare}, "by its revision it is compared"


def test_take_over_that_somebody_released_is_given_up() -> None:
    """R2, R8: a take-over without an answer, put back as released, is read back and given up; nothing raises."""
    one = One()
    one.standby()
    one.see(leader=None, heartbeat=None)
    take = one.request("take")
    raw = next(each.value for each in take.txn.then if isinstance(each, Put) and each.key.endswith("heartbeat"))
    one.tell(ev.Unknown(take.request, "no answer"))
    one.tick(one.state.pause)
    again = one.request("take")
    ours = replace(read_heartbeat(raw), released=True)
    found = ev.Refused(again.request, 50, LeaderKey("bp-a", 49, LEASE), HeartbeatKey(ours, 50))
    one.tell(found)
    assert one.state.phase in (Phase.STANDBY, Phase.CAMPAIGNING)
    if one.state.tenure is not None:
        assert one.tenure.epoch > ours.epoch


def test_next_epoch_can_always_be_written_and_read() -> None:
    """R8: an epoch that no agent can have come to is garbage; of one that is read, the next is readable too."""
    beat = {"epoch": 1, "node": "bp-b", "instance": "x", "seq": 0, "validity_ms": 1000, "state": "released"}

    def at(epoch: int, revision: int) -> HeartbeatKey:
        raw = json.dumps({**beat, "epoch": epoch}).encode()
        return heartbeat_key(KeyValue(NAMES.heartbeat, raw, revision))

    for epoch, revision in ((2**53 - 1, 7), (2**53, 7), (FAR + 7, 7)):
        assert at(epoch, revision).record is None
    for epoch, revision in ((1, 1), (900, 2), (FAR + 6, 7)):
        assert at(epoch, revision).record is not None
        assert at(epoch + 1, revision + 1).record is not None


@pytest.mark.parametrize("epoch", [2**53 - 1, FAR, 2**51])
def test_extreme_epoch_is_led_on_from(epoch: int) -> None:
    """P2: whatever epoch somebody writes into the heartbeat, somebody leads again, and is confirmed."""
    story = settled()
    forge(story, epoch=epoch, state="released")
    story.until(lambda: story.leader is None, 5)
    story.until(lambda: story.leader is not None, 30)
    story.go(20)
    assert story.leader is not None


# --- the key leader --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "told"), [*((each, True) for each in RUBBISH), (b"bp-a", False)], ids=lambda each: repr(each)[:12]
)
def test_leader_that_names_no_other_member_changes_nothing(value: bytes, told: bool) -> None:
    """P2, P3, R10: what is no name of a member costs no slot and no epoch, and is told; nor does that of who leads.

    The leader leads on and puts its name back, with its lease.
    """
    story, leader, _ = pair()
    missed = story.missed
    epochs = {epoch for epoch, _ in leader.changes()}
    story.put("leader", value)
    story.go(8)
    assert story.leader is leader
    assert story.missed == missed
    assert {epoch for epoch, _ in leader.changes()} == epochs
    assert story.etcd.keys[NAMES.leader].value == leader.name.encode()
    assert story.etcd.keys[NAMES.leader].lease == leader.lease
    assert ("leader_ignored" in [each.event for each in leader.told]) is told


def test_leader_that_names_nobody_does_not_hold_a_seat() -> None:
    """P2, R10: a free seat is not kept for a name that no member has."""
    one = One()
    one.standby()
    one.see(leader=LeaderKey("bp-nobody", 90), heartbeat=None)
    assert one.state.phase is Phase.CAMPAIGNING


def test_leader_that_names_a_member_is_obeyed() -> None:
    """R10: a name of a member is the operator's word."""
    one = One()
    one.lead()
    one.see(leader=LeaderKey("bp-c", 90))
    assert one.state.phase is Phase.STOPPING


@pytest.mark.parametrize("told", [True, False], ids=["told by the watch", "read back"])
def test_seat_that_was_taken_back_without_an_answer(told: bool) -> None:
    """R2: when the answer was lost, the own write is known by both keys that it put, and the tenure goes on."""
    one = One()
    one.lead()
    one.see(leader=LeaderKey(None, 90))
    regain = one.request("regain")
    raw = next(each.value for each in regain.txn.then if isinstance(each, Put) and each.key.endswith("heartbeat"))
    one.tell(ev.Unknown(regain.request, "no answer"))
    mine, beat = LeaderKey("bp-a", 91, LEASE), HeartbeatKey(read_heartbeat(raw), 91)
    if told:
        one.revision = 90
        one.see(leader=mine, heartbeat=beat)
        assert one.state.phase is Phase.LEADING
    one.tick(one.state.pause)
    assert one.state.request
    one.tell(ev.Refused(one.state.request, 91, mine, beat))
    assert one.state.phase is Phase.LEADING
    assert one.tenure.leader_revision == 91
    one.tick(T.renew)
    assert one.request("confirm")


# --- members ---------------------------------------------------------------------------------------------------------


def test_report_without_a_lease_counts_for_nobody() -> None:
    """R11: nobody stands behind a report that no session's lease carries: it is told, and no member."""
    ghost = write(member("ghost", priority=1))
    items = (KeyValue(NAMES.member("ghost"), ghost, 5), KeyValue(NAMES.member("bp-b"), write(member()), 5, 3))
    view = read_group(NAMES, Snapshot(9, items))
    assert [each.node for each in view.members] == ["bp-b"]
    assert "no lease" in view.problems[0]


@pytest.mark.parametrize("leased", [False, True])
def test_ghost_of_the_best_priority_is_never_handed_to(leased: bool) -> None:
    """P3: with failback on, a report that nobody renews does not cost the leader its place."""
    story, leader, _ = pair()
    missed = story.missed
    ghost = write(replace(leader.published()[-1][1], node="ghost", priority=1, role="standby"))
    lease = story.etcdctl.grant(600, 1.0).id if leased else 0
    story.etcdctl.txn(Txn((), (Put(NAMES.member("ghost"), ghost, lease),)), 1.0)
    story.go(11)
    assert "ghost" not in [each.node for each in leader.node.members]
    story.go(60)
    assert story.leader is leader
    assert story.missed == missed


def test_members_that_report_are_all_there() -> None:
    """P2: a member that reports as it should is never held to be gone, also when etcd was away in between."""
    story = settled()
    for host in story.hosts:
        host.store.cut = True
    story.go(3)
    for host in story.hosts:
        host.store.cut = False
    for _ in range(300):
        story.go(0.1)
        assert all(len(host.node.members) == 2 for host in story.hosts)


# --- moments ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("when", ["9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+12:00", "1969-12-31T23:59:59Z"])
def test_moment_that_cannot_be_written_is_refused(when: str) -> None:
    """A moment outside 1970 to 9999 in UTC is no moment."""
    with pytest.raises(RecordError, match="when: expected"):
        moment(when)


@pytest.mark.parametrize("wall", [-1, 2**53, 10**30])
def test_every_moment_can_be_shown(wall: int) -> None:
    """No number makes a text of a time raise."""
    assert clock_text(wall).endswith("Z")
