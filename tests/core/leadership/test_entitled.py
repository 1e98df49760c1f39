"""Who may take over what others hold: where modes differ, at first sight, and by an operator's word (R10, R13, R20)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.core.leadership import actions as do
from agent.core.leadership import events as ev
from agent.core.leadership.state import Phase
from agent.core.leadership.timing import PeersMode, Timing, standstill
from agent.core.model.peers import Peer
from agent.core.model.records import Heartbeat, HeartbeatKey, LeaderKey
from tests.core.leadership.one import One

E, E_S, LEASE_MS = 6000, 2000, Timing().lease
B, C = Peer("bp-b", "host-b"), Peer("bp-c", "host-c")


def standby(mode: PeersMode, host_id: str = "host-b") -> One:
    """Return bp-b, proven stopped and fit, which has not seen the store."""
    one = One("bp-b")
    identity = one.state.identity
    timing = replace(identity.timing, peers=mode)
    one.state = replace(one.state, identity=replace(identity, timing=timing, host_id=host_id))
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
