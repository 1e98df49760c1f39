"""Faults of links: cut both ways or one way, slow; between host and etcd, between nodes, between etcd's members."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

from agent.lab.chaos.faults import fault
from agent.lab.chaos.plan import Fault
from agent.lab.chaos.world import World
from agent.lab.relay import Direction


def _both_or_one(choice: str, out: Direction, into: Direction) -> list[Direction]:
    return [way for way, name in ((out, "out"), (into, "in")) if choice in ("both", name)]


@fault("etcd-cut")
def _etcd_cut(world: World, doing: Fault) -> Iterator[None]:
    with ExitStack() as healing:
        for link in world.hosts[doing.target].etcd_links:
            healing.callback(link.heal)
            for way in _both_or_one(doing.choice, "to_server", "to_client"):
                link.cut(way)
        yield


@fault("etcd-one-cut")
def _etcd_one_cut(world: World, doing: Fault) -> Iterator[None]:
    link = world.hosts[doing.target].etcd_links[int(doing.choice)]
    link.cut()
    try:
        yield
    finally:
        link.heal()


@fault("etcd-delayed")
def _etcd_delayed(world: World, doing: Fault) -> Iterator[None]:
    with ExitStack() as healing:
        for link in world.hosts[doing.target].etcd_links:
            healing.callback(link.heal)
            link.delay(float(doing.choice))
        yield


@fault("p2p-cut")
def _p2p_cut(world: World, doing: Fault) -> Iterator[None]:
    with ExitStack() as healing:
        for proxy, out, into in world.chain.ways(doing.target):
            healing.callback(proxy.heal)
            for way in _both_or_one(doing.choice, out, into):
                proxy.cut(way)
        yield


@fault("p2p-delayed")
def _p2p_delayed(world: World, doing: Fault) -> Iterator[None]:
    with ExitStack() as healing:
        for proxy, _, _ in world.chain.ways(doing.target):
            healing.callback(proxy.heal)
            proxy.delay(float(doing.choice))
        yield


@fault("etcd-muted")
def _etcd_muted(world: World, doing: Fault) -> Iterator[None]:
    """Cut the way to one member: its peers can not call it, nor read what it streams to them; it still calls them."""
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
