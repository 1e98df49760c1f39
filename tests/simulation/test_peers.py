"""Whole agents with peers, on simulated time: what etcd's absence and lost hosts cost (P1, P3, R13 to R17)."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from agent.core.health.checks import DiskProbed
from agent.core.leadership.state import Phase
from agent.core.model.operator import clock_text
from agent.core.model.store import Delete, Ms, Put, Txn
from tests.simulation.simulation import KEYS, Host, World
from tests.support.memory_store import MemoryStore

NAMES = ("bp-a", "bp-b", "bp-c")
E_S = 2000


def group(mode: str = "failsafe", names: tuple[str, ...] = NAMES, ttl: int = 10, gate: str = "off") -> World:
    """Return a group whose leader names all others."""
    world = World(names, gate, mode, ttl)
    for host in world.hosts.values():
        host.start()
    world.run(20_000)
    assert len(named(leader(world))) == len(names) - 1
    return world


def leader(world: World) -> Host:
    """Return who leads and signs."""
    (found,) = [host for host in world.hosts.values() if host.leads and host.signs()]
    return found


def stays(world: World, first: Host, span: Ms) -> None:
    """Let time pass, and see that the same one leads all the time."""
    for _ in range(span // 50):
        world.run(50)
        assert leader(world) is first


def named(host: Host) -> tuple[str, ...]:
    """Return whom the leader's heartbeat names."""
    assert host.agent is not None
    return tuple(each.node for each in host.agent.loop.snapshot.node.leadership.support.named)


def away(world: World, *, cut: bool = True) -> None:
    """Let etcd be away from all, or come back."""
    for host in world.hosts.values():
        host.around.cut_out = host.around.cut_in = cut


def lost(host: Host) -> None:
    """Lose a host with all that is on it."""
    host.kill()
    host.nodeos.kill()


def epoch(world: World) -> int:
    """Return the epoch that was taken last."""
    return world.etcd.taken[0]


@pytest.mark.parametrize(
    ("mode", "ttl", "span"), [("lease", 30, 20_000), ("failsafe", 10, 180_000), ("lease", 10, 3_000)], ids=str
)
def test_etcd_away_costs_nothing(mode: str, ttl: int, span: int) -> None:
    """P1, P3, R15: etcd is away for 20 s with a lease of 30 s, or for three minutes in `failsafe`: the leader stays."""
    world = group(mode, ttl=ttl)
    first, begun = leader(world), epoch(world)
    away(world)
    stays(world, first, span)
    away(world, cut=False)
    stays(world, first, 30_000)
    assert epoch(world) == begun


@pytest.mark.parametrize(
    ("ttl", "begins", "back"), [(120, 700, 200), (120, 700, 300), (120, 0, 1000), (10, 0, 2000), (10, 300, 1700)]
)
def test_etcd_that_comes_back_for_a_moment_costs_nothing(ttl: int, begins: int, back: int) -> None:
    """P3, R17: reports that nobody could write for a while, or that ended with it, bar no member from being named."""
    world = group(ttl=ttl)
    first = leader(world)
    names = named(first)
    world.run(begins)
    away(world)
    world.run(30_000)
    away(world, cut=False)
    world.run(back)
    away(world)
    for _ in range(100):
        world.run(200)
        assert leader(world) is first
        assert named(first) == names


def wish(world: World, to: str, when: str) -> None:
    """Ask for a switchover, as an operator does."""
    value = json.dumps({"to": to, "when": when, "by": "me"}).encode()
    MemoryStore(world.etcd).txn(Txn((), (Put(KEYS.switchover, value),)), 1.0)


@pytest.mark.parametrize("what", ["wish", "full disk"])
def test_handover_that_can_wait_waits_for_etcd(what: str) -> None:
    """P2, P3, R15: while etcd is away nobody can take over, so a leader that its peers hold keeps the lead."""
    world = group(ttl=120)
    first, begun = leader(world), epoch(world)
    if what == "wish":
        wish(world, "bp-b", clock_text(first.clock.wall() + 20_000))
        world.run(1000)
    away(world)
    world.run(10_000)
    if what == "full disk":
        assert first.agent is not None
        first.agent.take(DiskProbed(1, 1000))
    stays(world, first, 40_000)
    away(world, cut=False)
    world.run(20_000)
    assert epoch(world) == begun + 1
    assert leader(world).name == "bp-b" or what == "full disk"


def test_wish_is_not_judged_by_what_was_reported_before_etcd_went() -> None:
    """P3: a standby was unhealthy as etcd went, and is well since: a wish for it waits for its next report."""
    world = group(ttl=120)
    first, other = leader(world), world.hosts["bp-b"]
    wish(world, other.name, clock_text(first.clock.wall() + 20_000))
    other.around.peers = 0
    world.run(10_000)
    other.around.peers = 3
    away(world)
    world.run(30_000)
    away(world, cut=False)
    world.run(15_000)
    assert leader(world) is other


@pytest.mark.parametrize("gone", [1500, 4000, 9000], ids=str)
def test_lead_is_handed_to_no_lost_host(gone: int) -> None:
    """P3, R17: promises tell at once that a host is lost, whose report stands for 10 s more: it is named no longer."""
    world = group()
    first, begun = leader(world), epoch(world)
    lost(world.hosts["bp-b"])
    world.run(gone)
    wish(world, "bp-b", "now")
    stays(world, first, 5_000)
    assert epoch(world) == begun


def test_lead_is_handed_to_a_host_whose_datagrams_do_not_come() -> None:
    """P2, R17: who gives no promise, and reports, is there: a wish for it is granted."""
    world = group()
    world.links.cuts = {("bp-b", leader(world).name)}
    world.run(8000)
    wish(world, "bp-b", "now")
    world.run(3000)
    assert leader(world).name == "bp-b"


def test_lease_that_may_be_over_is_a_pause() -> None:
    """R15: in `lease` promises count while our lease may live by our clock, and not longer."""
    world = group("lease", ttl=10)
    first = leader(world)
    away(world)
    world.run(10_500)
    assert not first.signs()
    assert not world.signing


@pytest.mark.parametrize("names", [NAMES[:2], NAMES], ids=["two", "three"])
def test_lost_host_is_replaced_in_the_short_validity(names: tuple[str, ...]) -> None:
    """P2, R13: the leader's host is lost: another signs within E_s and little more."""
    world = group(names=names)
    first = leader(world)
    lost(first)
    begun = world.now
    while not world.signing:
        world.run(20)
        assert world.now < begun + E_S + 900
    assert leader(world) is not first


def test_lost_peer_costs_nothing() -> None:
    """P3, R17: a named peer is lost: etcd confirms in its place, and it is named no longer."""
    world = group()
    first, begun = leader(world), epoch(world)
    gone = next(host for host in world.hosts.values() if host is not first)
    lost(gone)
    stays(world, first, 10_000)
    assert gone.name not in named(first)
    assert epoch(world) == begun


def test_lost_peer_while_etcd_is_away_ends_the_lead() -> None:
    """P1, R15: no promise and no confirmation: the leader stops in time, and nobody takes over without etcd."""
    world = group()
    first = leader(world)
    away(world)
    world.run(5000)
    lost(next(host for host in world.hosts.values() if host is not first))
    world.run(E_S)
    assert not world.signing
    away(world, cut=False)
    world.run(20_000)
    assert leader(world).signs()


@pytest.mark.parametrize("names", [NAMES[:2], NAMES], ids=["two", "three"])
def test_nodeos_of_a_peer_that_restarts_while_etcd_is_away_costs_nothing(names: tuple[str, ...]) -> None:
    """P3, R14: a standby's nodeos is gone, and then not known to be paused for a while: its promises go on."""
    world = group(names=names)
    first = leader(world)
    other = next(host for host in world.hosts.values() if host is not first)
    away(world)
    world.run(8000)
    other.nodeos.kill()
    other.see_process()
    world.run(1000)
    other.nodeos.start()
    other.nodeos.refuses = ("pause",)
    other.see_process()
    stays(world, first, 10_000)
    other.nodeos.refuses = ()
    away(world, cut=False)
    stays(world, first, 10_000)


@pytest.mark.parametrize("share", [0.3, 0.6])
def test_loss_between_the_members_costs_nothing(share: float) -> None:
    """P3, R17: with a third of the datagrams lost, and some coming twice, etcd is there, and nothing changes."""
    world = group()
    first, begun = leader(world), epoch(world)
    world.links.loss, world.links.twice = share, 0.2
    stays(world, first, 60_000)
    assert epoch(world) == begun


@pytest.mark.parametrize("to_leader", [True, False])
def test_one_way_cut_costs_nothing(to_leader: bool) -> None:
    """P3, R17: beats or promises of one peer do not come: it is named no longer, and named again when they do."""
    world = group()
    first = leader(world)
    other = next(host for host in world.hosts.values() if host is not first)
    world.links.cuts = {(other.name, first.name) if to_leader else (first.name, other.name)}
    stays(world, first, 10_000)
    assert other.name not in named(first)
    world.links.cuts = set()
    world.run(3000)
    assert other.name in named(first)


def test_peer_that_promises_and_freezes_takes_over_from_nobody() -> None:
    """P1, R14: a peer freezes with its promise given; etcd goes, the leader stops, and the peer thaws late."""
    world = group(names=NAMES[:2])
    first = leader(world)
    other = next(host for host in world.hosts.values() if host is not first)
    for span in (500, 1500, 3000, 8000):
        first.around.cut_out = first.around.cut_in = True
        other.frozen = True
        world.run(span)
        other.thaw()
        world.run(4000)
        first.around.cut_out = first.around.cut_in = False
        world.run(15_000)
        assert leader(world).signs()
        first = leader(world)
        other = next(host for host in world.hosts.values() if host is not first)


def succeeds_in_time(world: World, sent: Callable[[], None]) -> None:
    """Another one signs as soon as the lost leader's E_s is over, whatever a stranger has `sent` all the time."""
    begun = world.now
    while not world.signing:
        sent()
        world.run(100)
        assert world.now < begun + E_S + 900


def test_replayed_datagrams_keep_nobody_from_taking_over() -> None:
    """P2, R14: beats of a dead leader that are sent again bind nobody."""
    world = group()
    first = leader(world)
    lost(first)
    succeeds_in_time(world, world.links.replay)


def test_forged_datagrams_change_nothing() -> None:
    """P3, R14: who reads datagrams without the key neither ends a lead nor delays the next one."""
    world = group()
    first, begun = leader(world), epoch(world)
    for _ in range(50):
        world.links.forge()
        world.run(100)
        assert first.signs()
    assert epoch(world) == begun
    lost(first)
    succeeds_in_time(world, world.links.forge)


def test_planned_restart_keeps_the_lead() -> None:
    """P3, R16: who is to be replaced writes the long validity first, so that the next process finds the lead kept."""
    world = group()
    first, begun = leader(world), epoch(world)
    agent = first.agent
    assert agent is not None
    agent.replaced()
    while first.agent is not None:
        world.run(20)
    assert first.signs()
    world.run(3500)
    assert first.signs()
    first.start()
    stays(world, first, 10_000)
    assert epoch(world) == begun
    assert len(named(first)) == 2


def test_killed_agent_is_replaced() -> None:
    """P1, P2: an agent is killed for good: its guard stops nodeos, and another leads after E_s."""
    world = group()
    first = leader(world)
    first.kill()
    world.run(E_S + 900)
    assert leader(world) is not first


def test_seat_is_freed_for_a_node_that_is_not_named() -> None:
    """P2, R17: the leader is lost, the one it named cannot lead: it takes the heartbeat and releases it at once."""
    world = group(names=NAMES)
    first = leader(world)
    other, third = (host for host in world.hosts.values() if host is not first)
    world.links.cuts = {(first.name, third.name)}
    world.run(5000)
    assert named(first) == (other.name,)
    other.around.peers = 0
    world.run(15_000)
    assert leader(world) is first
    lost(first)
    world.run(E_S + 5000)
    assert leader(world) is third
    assert other.agent is not None
    assert other.agent.loop.snapshot.node.leadership.phase is Phase.STANDBY


def test_seat_that_is_left_to_lost_nodes_is_told() -> None:
    """R13, R17: the leader and all that it named are lost: who is not named takes over from nobody, and says so."""
    world = group(names=NAMES)
    first = leader(world)
    other, third = (host for host in world.hosts.values() if host is not first)
    world.links.cuts = {(first.name, third.name)}
    world.run(5000)
    lost(first)
    lost(other)
    world.run(60_000)
    assert not world.signing
    assert third.agent is not None
    (told,) = [each for each in third.agent.loop.snapshot.node.alerts.notices.values() if each.event == "no_leader"]
    assert f"only {first.name} and {other.name} may take over" in told.summary
    MemoryStore(world.etcd).txn(Txn((), (Delete(KEYS.heartbeat),)), 1.0)
    world.run(10_000)
    assert leader(world) is third


@pytest.mark.parametrize("span", [1000, 3000, 8000, 60_000])
def test_etcd_away_with_a_required_gate(span: int) -> None:
    """P1, P3 with a gate that is required, whose permit follows V down and up."""
    world = group(gate="required")
    first = leader(world)
    away(world)
    stays(world, first, span)
    away(world, cut=False)
    world.run(5000)
    assert leader(world) is first
