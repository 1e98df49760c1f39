"""Faults of links: cut both ways or one way, slow, lossy; any two of the hosts with agents, etcd's and the observer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

from tests.lab.chaos.faults import fault
from tests.lab.chaos.kinds import MEMBERS
from tests.lab.chaos.links import Link, Skipped, SpaceLink
from tests.lab.chaos.plan import Fault
from tests.lab.chaos.world import World
from tests.lab.proxy import Direction


def _both_or_one(choice: str, out: Direction, into: Direction) -> list[Direction]:
    return [way for way, name in ((out, "out"), (into, "in")) if choice in ("both", name)]


def _cut(link: Link, choice: str, healing: ExitStack, out: Direction = "to_server") -> None:
    into: Direction = "to_client" if out == "to_server" else "to_server"
    healing.callback(link.heal)
    for way in _both_or_one(choice, out, into):
        link.cut(way)


def _links(world: World, host: str, sort: str) -> list[Link]:
    """Return the links of a host to `etcd`, or to other nodes (`p2p`)."""
    return list(world.hosts[host].etcd_links) if sort == "etcd" else [link for link, _, _ in world.chain.ways(host)]


def _all_delayed(world: World, doing: Fault, sort: str) -> Iterator[None]:
    with ExitStack() as healing:
        for link in _links(world, doing.target, sort):
            healing.callback(link.heal)
            link.delay(float(doing.choice))
        yield


def _all_lossy(world: World, doing: Fault, sort: str) -> Iterator[None]:
    with ExitStack() as healing:
        for link in _links(world, doing.target, sort):
            link.lose(float(doing.choice))
            healing.callback(link.heal)
        yield


@fault("etcd-cut")
def _etcd_cut(world: World, doing: Fault) -> Iterator[None]:
    with ExitStack() as healing:
        for link in world.hosts[doing.target].etcd_links:
            _cut(link, doing.choice, healing)
        yield


@fault("etcd-one-cut")
def _etcd_one_cut(world: World, doing: Fault) -> Iterator[None]:
    """Cut a host from one member."""
    number, _, choice = doing.choice.partition(" ")
    with ExitStack() as healing:
        _cut(world.hosts[doing.target].etcd_links[int(number) - 1], choice, healing)
        yield


@fault("p2p-one-cut")
def _p2p_one_cut(world: World, doing: Fault) -> Iterator[None]:
    """Cut two nodes from each other."""
    number, _, choice = doing.choice.partition(" ")
    found = list(world.chain.ways(doing.target))
    link, out, _ = found[int(number) % len(found)]
    with ExitStack() as healing:
        _cut(link, choice, healing, out)
        yield


@fault("host-cut")
def _host_cut(world: World, doing: Fault) -> Iterator[None]:
    """Cut a host from everybody."""
    with ExitStack() as healing:
        for link in world.hosts[doing.target].etcd_links:
            _cut(link, doing.choice, healing)
        for link, out, _ in world.chain.ways(doing.target):
            _cut(link, doing.choice, healing, out)
        yield


@fault("etcd-pair-cut")
def _etcd_pair_cut(world: World, doing: Fault) -> Iterator[None]:
    """Cut two members of etcd from each other; the third one reaches both."""
    if world.spaces is None:
        raise Skipped("a proxy of a member serves both of the others: network namespaces are needed")
    number, _, choice = doing.choice.partition(" ")
    others = [member for member in MEMBERS if member != doing.target]
    other = others[int(number) % len(others)]
    with ExitStack() as healing:
        _cut(SpaceLink(world.spaces, [(doing.target, other)], [(other, doing.target)]), choice, healing)
        yield


@fault("etcd-delayed")
def _etcd_delayed(world: World, doing: Fault) -> Iterator[None]:
    yield from _all_delayed(world, doing, "etcd")


@fault("etcd-lossy")
def _etcd_lossy(world: World, doing: Fault) -> Iterator[None]:
    yield from _all_lossy(world, doing, "etcd")


@fault("p2p-lossy")
def _p2p_lossy(world: World, doing: Fault) -> Iterator[None]:
    yield from _all_lossy(world, doing, "p2p")


@fault("etcd-peers-delayed")
def _etcd_peers_delayed(world: World, doing: Fault) -> Iterator[None]:
    """Let what other members send to one come late."""
    link = world.etcd.peer_links[doing.target]
    link.delay(float(doing.choice))
    try:
        yield
    finally:
        link.heal()


@fault("p2p-cut")
def _p2p_cut(world: World, doing: Fault) -> Iterator[None]:
    with ExitStack() as healing:
        for link, out, _ in world.chain.ways(doing.target):
            _cut(link, doing.choice, healing, out)
        yield


@fault("p2p-delayed")
def _p2p_delayed(world: World, doing: Fault) -> Iterator[None]:
    yield from _all_delayed(world, doing, "p2p")


@fault("etcd-muted")
def _etcd_muted(world: World, doing: Fault) -> Iterator[None]:
    """Cut the way to one member: with namespaces it hears nothing of the others, and they still hear it.

    Without them its peers cannot call it, nor read what it streams to them; it still calls them.
    """
    link = world.etcd.peer_links[doing.target]
    link.cut()
    try:
        yield
    finally:
        link.heal()


@fault("etcd-split")
def _etcd_split(world: World, _doing: Fault) -> Iterator[None]:
    """Cut every member from every other: the leader among them does not know yet, and answers its clients."""
    with ExitStack() as healing:
        for link in world.etcd.peer_links.values():
            healing.callback(link.heal)
            link.cut()
        yield
