"""Faults of links: cut both ways or one way, slow, lossy; any two of the hosts with agents, etcd's and the observer."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack

from tests.lab.chaos.faults import broken, chosen, fault
from tests.lab.chaos.kinds import MEMBERS
from tests.lab.chaos.links import Link, Skipped, SpaceLink
from tests.lab.chaos.plan import Fault
from tests.lab.chaos.world import World
from tests.lab.proxy import BOTH, Direction

Way = tuple[Link, Direction]
"""A link, and the direction in which it leads away from the host that is meant."""

NARROW = 600
"""Bytes of a packet that pass a narrow tunnel."""


def _ways(world: World, host: str, sort: str) -> list[Way]:
    """Return the ways of a host to `etcd`, to other nodes (`p2p`), or `all` of them."""
    etcd: list[Way] = [(link, "to_server") for link in world.hosts[host].etcd_links]
    nodes = list(world.chain.ways(host))
    return {"etcd": etcd, "p2p": nodes, "all": etcd + nodes}[sort]


def _cut(ways: Sequence[Way], choice: str) -> Iterator[None]:
    """Cut ways of a host: what it sends (`out`), what it hears (`in`), or both."""
    with ExitStack() as healing:
        for link, out in ways:
            healing.callback(link.heal)
            for direction in BOTH:
                if choice in ("both", "out" if direction == out else "in"):
                    link.cut(direction)
        yield


@fault("etcd-cut", sort="etcd")
@fault("p2p-cut", sort="p2p")
@fault("host-cut", sort="all")
def _all_cut(world: World, doing: Fault, sort: str) -> Iterator[None]:
    """Cut a host from all members of etcd, from all other nodes, or from everybody."""
    yield from _cut(_ways(world, doing.target, sort), doing.choice)


@fault("host-flapping")
def _host_flapping(world: World, doing: Fault) -> Iterator[None]:
    """Cut a host from everybody again and again, for 1 to 5 s, with 1 to 5 s between."""
    rng, over = random.Random(doing.number), threading.Event()
    links = [link for link, _ in _ways(world, doing.target, "all")]

    def flap() -> None:
        while not over.is_set():
            with ExitStack() as healing:
                for link in links:
                    healing.callback(link.heal)
                    link.cut()
                over.wait(rng.uniform(1.0, 5.0))
            over.wait(rng.uniform(1.0, 5.0))

    flapping = threading.Thread(target=flap, name="flapping", daemon=True)
    flapping.start()
    try:
        yield
    finally:
        over.set()
        flapping.join()


@fault("host-narrow")
def _host_narrow(world: World, doing: Fault) -> Iterator[None]:
    """Lose every packet of more than 600 bytes from and to a host, and tell nobody: a tunnel with a smaller MTU."""
    with ExitStack() as healing:
        for link, _ in _ways(world, doing.target, "all"):
            if not isinstance(link, SpaceLink):
                raise Skipped("a proxy has no packets: network namespaces are needed")
            healing.callback(link.heal)
            link.tap(_small, lost=1.0)
        yield


def _small(packet: bytes) -> Iterator[tuple[float, bytes]]:
    if len(packet) <= NARROW:
        yield 0.0, packet


@fault("etcd-one-cut", sort="etcd")
@fault("p2p-one-cut", sort="p2p")
def _one_cut(world: World, doing: Fault, sort: str) -> Iterator[None]:
    """Cut a host from one member of etcd, or from one other node."""
    way, choice = chosen(doing, _ways(world, doing.target, sort))
    yield from _cut([way], choice)


@fault("etcd-pair-cut")
def _etcd_pair_cut(world: World, doing: Fault) -> Iterator[None]:
    """Cut two members of etcd from each other; the third one reaches both."""
    if world.spaces is None:
        raise Skipped("a proxy of a member serves both of the others: network namespaces are needed")
    other, choice = chosen(doing, [member for member in MEMBERS if member != doing.target])
    link = SpaceLink(world.spaces, [(doing.target, other)], [(other, doing.target)])
    yield from _cut([(link, "to_server")], choice)


@fault("etcd-delayed", sort="etcd")
@fault("p2p-delayed", sort="p2p")
def _delayed(world: World, doing: Fault, sort: str) -> Iterator[None]:
    links = [link for link, _ in _ways(world, doing.target, sort)]
    yield from broken(links, lambda link: link.delay(float(doing.choice)))


@fault("etcd-lossy", sort="etcd")
@fault("p2p-lossy", sort="p2p")
def _lossy(world: World, doing: Fault, sort: str) -> Iterator[None]:
    links = [link for link, _ in _ways(world, doing.target, sort)]
    yield from broken(links, lambda link: link.lose(float(doing.choice)))


@fault("etcd-peers-delayed")
def _etcd_peers_delayed(world: World, doing: Fault) -> Iterator[None]:
    """Let what other members send to one come late."""
    yield from broken([world.etcd.peer_links[doing.target]], lambda link: link.delay(float(doing.choice)))


@fault("etcd-muted")
def _etcd_muted(world: World, doing: Fault) -> Iterator[None]:
    """Cut the way to one member: with namespaces it hears nothing of the others, and they still hear it.

    Without them its peers cannot call it, nor read what it streams to them; it still calls them.
    """
    yield from broken([world.etcd.peer_links[doing.target]], lambda link: link.cut())


@fault("etcd-split")
def _etcd_split(world: World, _doing: Fault) -> Iterator[None]:
    """Cut every member from every other: the leader among them does not know yet, and answers its clients."""
    yield from broken(world.etcd.peer_links.values(), lambda link: link.cut())
