"""How a fault is registered, and what several of them have in common. The faults themselves live in `breaking_*`.

A fault is a generator: it does the fault, yields, and ends it. The runner enters it, waits its length, and leaves it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from typing import TypeVar

from tests.lab.chaos.hosts import Host
from tests.lab.chaos.links import Link, Skipped
from tests.lab.chaos.plan import Fault
from tests.lab.chaos.world import World

SEEN_PAUSED = 10.0
"""Seconds within which a live agent must have paused a nodeos that goes on unpaused and is not meant to."""
Act = Callable[..., Iterator[None]]
T = TypeVar("T")
AnyLink = TypeVar("AnyLink", bound=Link)
FAULTS: dict[str, Callable[[World, Fault], AbstractContextManager[None]]] = {}


def fault(*kinds: str, **more: str) -> Callable[[Act], Act]:
    """Register a generator as the fault of some kinds: it does the fault, yields, and ends it. It is given `more`."""

    def register(act: Act) -> Act:
        for kind in kinds:
            FAULTS[kind] = partial(contextmanager(act), **more)
        return act

    return register


def broken(links: Iterable[AnyLink], how: Callable[[AnyLink], None]) -> Iterator[None]:
    """Break links, and heal them in the end."""
    with ExitStack() as healing:
        for link in links:
            healing.callback(link.heal)
            how(link)
        yield


def leader(world: World) -> Host:
    """Return the host that leads just now. Skipped when none does, or several say so."""
    leaders = world.leaders()
    if len(leaders) != 1:
        raise Skipped("nobody leads just now")
    return leaders[0]


def chosen(doing: Fault, others: Sequence[T]) -> tuple[T, str]:
    """Return the one of `others` that a choice of a number (from 1 on) and a way names, and the way."""
    number, _, way = doing.choice.partition(" ")
    return others[(int(number) - 1) % len(others)], way
