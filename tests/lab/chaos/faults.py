"""How a fault is registered, and what all of them have in common. The faults themselves live in `breaking_*`.

A fault is a generator: it does the fault, yields, and ends it. The runner enters it, waits its length, and leaves it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from tests.lab.chaos.plan import Fault
from tests.lab.chaos.world import World

SEEN_PAUSED = 10.0
"""Seconds within which a live agent must have paused a nodeos that goes on unpaused and is not meant to."""
Act = Callable[[World, Fault], Iterator[None]]
FAULTS: dict[str, Callable[[World, Fault], AbstractContextManager[None]]] = {}


def fault(kind: str) -> Callable[[Act], Act]:
    """Register a generator as the fault of a kind: it does the fault, yields, and ends it."""

    def register(act: Act) -> Act:
        FAULTS[kind] = contextmanager(act)
        return act

    return register
