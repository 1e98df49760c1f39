"""Faults of what agents tell each other beside etcd: datagrams cut, lost, doubled, forged, and who promises freezes."""

from __future__ import annotations

import itertools
import random
import signal
from collections.abc import Iterator
from contextlib import ExitStack

from tests.lab.chaos import datagrams
from tests.lab.chaos.faults import broken, chosen, fault, leader
from tests.lab.chaos.hosts import Host
from tests.lab.chaos.links import Pair, Skipped, SpaceLink
from tests.lab.chaos.plan import Fault
from tests.lab.chaos.world import World
from tests.lab.packets import Tap
from tests.lab.spaces import UDP
from tests.lab.wait import until

PROMISED = 3.0
"""Seconds within which a named peer promises: five times a second, if datagrams arrive."""


def _datagrams(world: World, pairs: list[Pair]) -> SpaceLink:
    if world.spaces is None:
        raise Skipped("all agents are on one loopback: network namespaces are needed")
    return SpaceLink(world.spaces, pairs, [], UDP)


def _all(world: World) -> SpaceLink:
    return _datagrams(world, list(itertools.permutations(world.hosts, 2)))


@fault("udp-cut")
def _udp_cut(world: World, doing: Fault) -> Iterator[None]:
    """Cut the datagrams of two agents, both ways or one; all else passes."""
    other, way = chosen(doing, [name for name in world.hosts if name != doing.target])
    out, into = (doing.target, other), (other, doing.target)
    pairs = {"both": [out, into], "out": [out], "in": [into]}[way]
    yield from broken([_datagrams(world, pairs)], lambda link: link.cut())


@fault("udp-lossy")
def _udp_lossy(world: World, doing: Fault) -> Iterator[None]:
    yield from broken([_all(world)], lambda link: link.lose(float(doing.choice)))


@fault("udp-late")
def _udp_late(world: World, doing: Fault) -> Iterator[None]:
    """Let all datagrams come late, in order; once that is over, those on their way come beside newer ones."""
    link = _all(world)
    link.delay(float(doing.choice))
    try:
        yield
    finally:
        link.heal()


@fault("udp-shuffled")
def _udp_shuffled(world: World, doing: Fault) -> Iterator[None]:
    """Let each datagram come at a time of its own, so that newer ones overtake it."""
    rng, link = random.Random(doing.number), _all(world)
    most = float(doing.choice)
    link.tap(lambda packet: [(rng.uniform(0.0, most), packet)], lost=1.0)
    try:
        yield
    finally:
        link.heal()


@fault("udp-doubled")
def _udp_doubled(world: World, _doing: Fault) -> Iterator[None]:
    yield from _tapped(world, datagrams.doubled)


@fault("udp-replayed")
def _udp_replayed(world: World, _doing: Fault) -> Iterator[None]:
    """Send again what was recorded, also in other tenures."""
    yield from _tapped(world, world.recorder.replayed)


@fault("udp-forged")
def _udp_forged(world: World, doing: Fault) -> Iterator[None]:
    """Let one who reads all datagrams send his own."""
    yield from _tapped(world, datagrams.Forger(random.Random(doing.number)).forged)


def _tapped(world: World, tap: Tap) -> Iterator[None]:
    yield from broken([_all(world)], lambda link: link.tap(tap))


@fault("promiser-frozen")
def _promiser_frozen(world: World, _doing: Fault) -> Iterator[None]:
    """Freeze an agent in the moment in which its promise is on its way."""
    with ExitStack() as thawing:
        _freeze_promiser(world, leader(world), thawing)
        yield


@fault("promiser-frozen-cut")
def _promiser_frozen_cut(world: World, _doing: Fault) -> Iterator[None]:
    """The same, and cut the leader from etcd: it has to stop, while the other is bound by what it promised."""
    leads = leader(world)
    with ExitStack() as thawing:
        _freeze_promiser(world, leads, thawing)
        yield from broken(leads.etcd_links, lambda link: link.cut())


def _freeze_promiser(world: World, leader: Host, thawing: ExitStack) -> None:
    others = [host for host in world.hosts.values() if host is not leader]
    link = _datagrams(world, [(host.name, leader.name) for host in others])
    frozen: list[Host] = []

    def freeze(packet: bytes) -> tuple[()]:
        if datagrams.is_promise(packet) and not frozen:
            host = next(each for each in others if datagrams.sent_by(packet, each.agent.place.address))
            host.agent.signal(signal.SIGSTOP)
            frozen.append(host)
            thawing.callback(host.agent.thaw)
        return ()

    link.tap(freeze)
    try:
        until(lambda: frozen, PROMISED, "a peer to promise", interval=0.01)
    finally:
        link.heal()
