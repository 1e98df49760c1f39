"""Who may take over what others hold: where modes differ, at first sight, and by an operator's word (R10, R13, R20)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from agent.core.leadership import actions as do
from agent.core.leadership import events as ev
from agent.core.leadership.state import Phase
from agent.core.leadership.timing import PeersMode, Timing, standstill
from agent.core.model.chain import Schedule
from agent.core.model.peers import Peer
from agent.core.model.records import Heartbeat, HeartbeatKey, LeaderKey, write
from agent.core.model.slots import SLOT
from agent.core.model.store import Ms
from agent.core.node.state import LookedBack
from tests.core.leadership.one import One
from tests.core.node.test_urgency import TWENTY_ONE
from tests.simulation.story import FOUR, ROUND, Story, two

E, E_S, LEASE_MS = 6000, 2000, Timing().lease
B, C = Peer("bp-b", "host-b"), Peer("bp-c", "host-c")


def standby(mode: PeersMode, host_id: str = "host-b") -> One:
    """Return bp-b, proven stopped and fit, which has not seen the store."""
    one = One("bp-b")
    one.given(Timing(peers=mode), host_id)
    one.standby()
    return one


def held(seq: int, *named: Peer, released: bool = False) -> Heartbeat:
    """Return a heartbeat of bp-a that names these."""
    return Heartbeat(1, "bp-a", "other", seq, E_S if named else E, released, host_id="host-a", peers=named)


def key(one: One, record: Heartbeat | None) -> HeartbeatKey:
    """Return it as it stands in the store next; None: garbage."""
    return HeartbeatKey(record, one.revision + 1)


def follows(one: One, *named: Peer) -> One:
    """Let it see bp-a lead, and confirm."""
    for seq in (1, 2):
        one.see(leader=LeaderKey("bp-a", 2, 5), heartbeat=key(one, held(seq, *named)), keyed=True)
    return one


@pytest.mark.parametrize("mode", PeersMode)
def test_garbage_at_first_sight_is_left_alone_where_members_may_have_promised(mode: PeersMode) -> None:
    """P1, R13: promises may hold a leader that is cut off, whom it named is not known: nobody takes it, in any mode."""
    one = standby(mode)
    one.see(heartbeat=key(one, None), keyed=True)
    one.tick(120_000)
    assert one.phase() is Phase.STANDBY
    assert "heartbeat named" in " ".join(one.state.left_to), "who looks at the alert is told the way out"
    assert one.state.silent_at() is not None
    one.see(heartbeat=None)
    one.tick(10_000)
    assert one.phase() is Phase.CAMPAIGNING


@pytest.mark.parametrize("mode", PeersMode)
def test_garbage_at_first_sight_is_taken_where_nobody_can_have_promised(mode: PeersMode) -> None:
    """P2, R8: a group that has no key for datagrams has no promises: what cannot be read is free after E."""
    one = standby(mode)
    one.see(heartbeat=key(one, None))
    one.see(keyed=True)
    one.tick(standstill(E) + LEASE_MS + E_S + 1)
    assert one.phase() is Phase.CAMPAIGNING
    assert one.state.left_to == ()


def test_a_named_node_without_peers_may_take_over() -> None:
    """P2, R13: every agent came back with peers off: one whose host is named takes the heartbeat, after its time."""
    one = follows(standby(PeersMode.OFF), B)
    one.tick(standstill(E_S))
    assert one.phase() is Phase.CAMPAIGNING
    other = follows(standby(PeersMode.OFF, host_id=""), B)
    other.tick(60_000)
    assert other.phase() is Phase.STANDBY


def test_store_that_forgot_is_waited_for_as_long_as_a_lease_with_peers_off_too() -> None:
    """P1, R20: another member's promises may hold a leader for as long as its lease lives, whatever our own mode is."""
    one = follows(standby(PeersMode.OFF))
    one.revision = 5
    one.see(leader=None, heartbeat=None, cluster=9, asked=one.now + 1)
    assert one.state.seen.barred_until >= one.now + LEASE_MS + E_S
    alone = standby(PeersMode.OFF)
    alone.see(leader=LeaderKey("bp-a", 2, 5), heartbeat=key(alone, held(1)), cluster=1)
    alone.see(leader=None, heartbeat=None, cluster=9, asked=alone.now + 1)
    assert alone.state.seen.barred_until == alone.now + standstill(E)


@pytest.mark.parametrize("mode", [PeersMode.LEASE, PeersMode.FAILSAFE])
def test_heartbeat_that_was_not_seen_to_change_is_waited_for_as_long_as_a_lease(mode: PeersMode) -> None:
    """P1, R20: a restored store may show an old list to an agent that starts, while promises hold a leader longer."""
    one = standby(mode)
    one.see(leader=LeaderKey("bp-a", 2, 5), heartbeat=key(one, held(1, B)), keyed=True)
    one.tick(LEASE_MS + E_S)
    assert one.phase() is Phase.STANDBY
    one.tick(LEASE_MS // 500)
    assert one.phase() is Phase.CAMPAIGNING
    moved = follows(standby(mode), B)
    moved.tick(standstill(E_S))
    assert moved.phase() is Phase.CAMPAIGNING, "who saw it change waits no longer than it tells"


@pytest.mark.parametrize("found", ["held", "released", "garbage", "absent"])
@pytest.mark.parametrize("chosen", [True, False])
def test_in_failsafe_the_chain_has_to_fall_silent_before_a_store_that_may_be_old_is_believed(
    found: str, *, chosen: bool
) -> None:
    """P1, R20: promises hold a leader that is cut off for any time, so blocks of ours forbid what the store allows."""
    one = follows(standby(PeersMode.FAILSAFE), B)
    one.revision = 5
    record = None if found == "garbage" else held(1, B, released=found == "released")
    word = LeaderKey("bp-b", 3) if chosen else None
    heartbeat = None if found == "absent" else HeartbeatKey(record, 4)
    one.see(leader=word, heartbeat=heartbeat, cluster=9, asked=one.now + 1, keyed=True, newer=True)
    for _ in range(60):
        one.tell(ev.Ungoverned(one.now + 3000), 1000)
        assert one.phase() is Phase.STANDBY
    one.tick(3000)
    assert one.phase() is Phase.CAMPAIGNING


def test_a_node_that_is_not_named_is_nominated_while_the_leader_is_dead() -> None:
    """R10, R17: a named node, though it could lead, takes the heartbeat and releases it to the one that was put."""
    one = follows(standby(PeersMode.LEASE), B)
    one.see(leader=LeaderKey("bp-c", 90))
    one.tick(standstill(E_S))
    one.apply("take")
    one.save()
    assert not [each for each in one.all if isinstance(each, do.ResumeNodeos)]
    if one.phase() is Phase.STOPPING:
        one.read_head(40)
        one.save()
    put = {each.key: each for each in one.request("release").txn.then}
    assert put[one.state.identity.keys.leader].value == b"bp-c"  # type: ignore[union-attr] # a put


def test_nomination_of_a_named_node_is_its_own() -> None:
    """R10: the one that is put may take over by itself, so the others leave the heartbeat to it for its time."""
    one = follows(standby(PeersMode.LEASE), B, C)
    one.see(leader=LeaderKey("bp-c", 90))
    one.tick(standstill(E_S))
    assert one.phase() is Phase.STANDBY


def begun(story: Story) -> None:
    """Start all agents."""
    for host in story.hosts:
        host.start()


def leave_alone(story: Story, seconds: float, whose: str) -> None:
    """Start all agents beside a nodeos that signs without them: none takes over, and all tell whose blocks come."""
    story.rogue = True
    begun(story)
    story.go(seconds)
    assert story.leader is None
    assert all("stray_block" in host.events_told() for host in story.hosts)
    assert whose in story.hosts[0].published()[-1][1].plan
    story.rogue = False


@pytest.mark.parametrize(("turns", "most"), [(None, 4.5), (FOUR, ROUND + 8)], ids=["alone", "one of four"])
def test_a_heartbeat_of_an_old_store_is_left_alone_while_our_blocks_come(turns: Schedule | None, most: float) -> None:
    """P1, P3, R20: an etcd that nobody else uses any more, or a restored copy, has a heartbeat that stands still."""
    story = Story("bp-a", "bp-b", turns=turns)
    story.put("heartbeat", write(Heartbeat(3, "bp-a", "elsewhere", 9, 6000)))
    leave_alone(story, 50, "an agent signs that uses another etcd")
    assert story.until(lambda: story.leader is not None) < most


def test_a_group_waits_for_the_agent_of_a_live_producer_and_tells_whom_to_look_for() -> None:
    """R18: no governed node signs beside it; when its blocks have stopped for 3 s, one takes over."""
    story = Story("bp-a", "bp-b")
    leave_alone(story, 30, "nodeos without an agent signs")
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
    leader, other = two(story)
    leader.store.cut = True
    leader.nodeos.kill()
    story.delete("heartbeat")
    story.delete("leader")
    took: Ms = round(1000 * story.until(lambda: other.leads, 10.0))
    assert took < 2500
