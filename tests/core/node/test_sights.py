"""What ages of a report travels with beats and promises, and is known as if it had been reported (R14, R17)."""

from __future__ import annotations

import pytest

from agent.core.election.ranking import lag, others
from agent.core.health.checks import NEAR
from agent.core.leadership import actions as do
from agent.core.leadership import events as ev
from agent.core.leadership.support import Told
from agent.core.model.copying import replace
from agent.core.model.fields import RecordError
from agent.core.model.operator import NOW, Switchover
from agent.core.model.peers import Promise, Sight
from agent.core.model.records import OFTEN, SELDOM, read_member, write
from agent.core.model.slots import SLOT
from agent.core.node import level, sights, switchover, votes
from agent.core.node.sights import fresher
from tests.core.leadership.test_peers import Member as Peer
from tests.core.leadership.test_peers import both
from tests.core.parts import member
from tests.simulation.simulation import Host
from tests.simulation.test_peers import group, leader

SIGHT = Sight(1010, 950, 300, 50_000, 49_500)


def test_what_was_told_since_the_report_counts_and_nothing_older() -> None:
    """A datagram that is older than the report tells less than it, by both clocks; who told nothing is as reported."""
    told, heard = [Told("bp-b", SIGHT, 100)], {"bp-b": (7, 100), "bp-c": (8, 0)}
    found = fresher([member("bp-b"), member("bp-c")], told, heard)
    assert (found[0].head, found[0].lib, found[0].asked_ms, found[0].own_ms) == (1010, 950, 50_000, 49_500)
    assert found[0].head_age_ms == 300
    assert found[1] == member("bp-c")
    later = member("bp-b", asked_ms=50_000)
    assert fresher([later], told, {"bp-b": (9, 101)}) == (later,)
    assert fresher([member("bp-b")], told, {"bp-b": (7, 101)})[0].head == 1010  # seen anew after etcd was away


def test_a_promise_that_counts_tells_what_its_member_sees() -> None:
    """R15: only for a beat of this tenure; one that is made up or comes too late tells nothing."""
    one = both()
    beat = one.beat()
    promise = Promise(beat.epoch, beat.instance, beat.number, "bp-b", "host-b", SIGHT)
    one.tell(ev.PromiseReceived(replace(promise, number=beat.number + 1), one.now), 1)
    assert not one.state.sights
    one.tell(ev.PromiseReceived(promise, one.now), 1)
    assert one.state.sights == (Told("bp-b", SIGHT, one.now),)


def test_a_beat_that_is_promised_for_tells_what_the_leader_sees() -> None:
    """R14: one for another process tells nothing; what is told again keeps the time at which it was new."""
    one = Peer()
    assert one.asked(7, sight=SIGHT, to="elsewhere") == []
    assert not one.state.sights
    assert one.asked(8, sight=SIGHT)
    first = one.now
    one.tick(200)
    assert one.asked(9, sight=SIGHT)
    assert one.asked(10)
    assert one.state.sights == (Told("bp-a", SIGHT, first),)


def test_a_report_that_is_older_is_not_behind_for_it() -> None:
    """R11: of two that follow the chain alike the one that reported last is not the better candidate."""
    old, new = (member(node, head=1000 + each, asked_ms=90_000 + each * SLOT) for node, each in (("a", 0), ("b", 8)))
    old, new = (replace(each, every_ms=SELDOM) for each in (old, new))
    assert lag(old, (old, new)) == 0
    assert lag(replace(old, head=990), (old, new)) == 10
    assert lag(replace(old, asked_ms=80_000), (old, new)) == 0, "ten slots of 5 s are not held against it"
    assert lag(replace(old, asked_ms=80_000, every_ms=OFTEN), (old, new)) == 4


def rates(span: int, *, cut: bool) -> tuple[dict[str, int], dict[str, Host]]:
    """Return how often each key was written in `span` s by a group of three; `cut`: no datagram goes through."""
    world = group("failsafe")
    names = tuple(world.hosts)
    if cut:
        world.links.cuts = {(one, two) for one in names for two in names}
        world.run(10_000)
    before = world.etcd.puts.copy()
    world.run(span * 1000)
    found = world.etcd.puts - before
    return {key.rpartition("/")[2]: count for key, count in found.items()}, world.hosts


def test_a_quiet_group_whose_members_promise_writes_seldom() -> None:
    """R17: in a minute a dozen reports of each member and a dozen confirmations, and heads are known to 2.5 s."""
    found, hosts = rates(60, cut=False)
    assert found["heartbeat"] <= 13
    for name, host in hosts.items():
        assert 10 <= found[name] <= 13, f"{name} reported {found[name]} times"
        assert host.agent is not None
        node = host.agent.loop.snapshot.node
        leads = node.leadership.leads
        ages = {each.node: node.health.info_wall - each.asked_ms for each in node.members if each.node != name}
        fresh = [age for other, age in ages.items() if leads or other == node.leadership.seen.last_holder]
        assert fresh
        assert max(fresh) <= sights.IN_TOUCH
        assert others(name, node.members).head >= (node.health.info.head_num if node.health.info else 0) - NEAR
        assert votes._lib_elsewhere(node) >= (node.health.info.lib_num if node.health.info else 0) - NEAR


def test_a_group_without_datagrams_reports_as_often_as_ever() -> None:
    """R17: what is told by nobody has to be reported: every 2 s, and confirmed every R."""
    found, hosts = rates(60, cut=True)
    assert found["heartbeat"] >= 100
    assert all(found[name] >= 28 for name in hosts)


def test_no_report_comes_later_than_the_last_one_says() -> None:
    """R17: who takes a name looks for that long whether its owner lives; also when datagrams go through again."""
    world = group("failsafe")
    names = tuple(world.hosts)
    world.links.cuts = {(one, two) for one in names for two in names}
    said: dict[str, tuple[int, int]] = {}
    for tick in range(500):
        world.run(50)
        world.links.cuts = world.links.cuts if tick < 200 else set()
        for name, host in world.hosts.items():
            assert host.agent is not None
            node = host.agent.loop.snapshot.node
            assert node.published is not None
            at, every = said.get(name, (node.published_at, OFTEN))
            assert node.published_at - at <= every + 100, f"{name} said {every} ms"
            said[name] = (node.published_at, node.published.every_ms)
    assert {every for _, every in said.values()} == {SELDOM}


def test_a_pace_that_nobody_has_is_not_read() -> None:
    """R17: garbage under a member's key bars its name no longer than a report that is real."""
    for every in (0, 1, OFTEN - 1, SELDOM + 1, 59_999):
        with pytest.raises(RecordError, match="every_ms"):
            read_member(write(member("bp-b", every_ms=every)))
    assert read_member(write(member("bp-b", every_ms=SELDOM))).every_ms == SELDOM


def test_a_wish_is_not_refused_for_blocks_that_came_since_the_report() -> None:
    """R10: a member whose promises are lost reports every 5 s; only what it lacked when it was asked counts."""
    world = group("failsafe")
    host = leader(world)
    assert host.agent is not None
    node, now = host.agent.loop.snapshot.node, host.clock.boot()
    info, wall = node.health.info, node.health.info_wall
    assert info is not None
    report = next(each for each in node.members if each.node != host.name)
    wish = Switchover(report.node, NOW)
    for old_ms, lacks, refused in ((5000, 12, False), (5000, 13, True), (0, 12, False), (0, 13, True)):
        head = info.head_num - old_ms // SLOT - lacks
        other = replace(report, head=head, asked_ms=wall - old_ms, every_ms=SELDOM)
        seen = replace(node.leadership.seen, switchover=wish)
        asked = replace(
            node,
            leadership=replace(node.leadership, seen=seen),
            reports=replace(node.reports, members=(other,), switchover_revision=1),
        )
        found = switchover.wished(asked, (other,), now)
        assert found is not None
        assert bool(found.refused) == refused, (old_ms, lacks, found)


@pytest.mark.parametrize("named", [True, False])
def test_a_standby_knows_by_beats_what_a_lost_leader_signed(*, named: bool) -> None:
    """R9: what its last beat told is a second old at the most, where a report may be five; named or not (R17)."""
    world = group("failsafe")
    first = leader(world)
    if not named:
        assert first.agent is not None
        first.agent.take(ev.EtcdLeaderBeside(tuple(world.hosts)))
    world.run(8000)
    for host in world.hosts.values():
        assert host.agent is not None
        node = host.agent.loop.snapshot.node
        if host is not first:
            report = next(each for each in node.members if each.node == first.name)
            record = node.leadership.seen.record
            assert record is not None
            assert bool(record.peers) == named
            assert level.alive_at(node) >= host.clock.boot() - 1000
            assert report.asked_ms >= host.clock.wall() - sights.IN_TOUCH


def test_actions_are_sent_with_what_our_nodeos_told() -> None:
    """Each beat and promise bears the newest; an agent whose nodeos gives no answer sends them all the same."""
    world = group("failsafe")
    agent = leader(world).agent
    assert agent is not None
    node, beat = agent.loop.snapshot.node, both().beat()
    sent = sights.telling(node, (do.SendBeat(beat, ("bp-b",)), do.Exit()))
    assert sent == (do.SendBeat(replace(beat, sight=sights.own(node)), ("bp-b",)), do.Exit())
    assert sights.own(node) is not None
    silent = replace(node, health=replace(node.health, info=None))
    assert sights.telling(silent, (do.SendBeat(beat, ()),)) == (do.SendBeat(beat, ()),)
