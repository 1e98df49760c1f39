"""How a fault is registered, and what all of them have in common. The faults themselves live in `breaking_*`.

A fault is a generator: it does the fault, yields, and ends it. The runner enters it, waits its length, and leaves it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from agent.lab.chaos.plan import Fault
from agent.lab.chaos.world import World
from agent.lab.errors import LabError


class Skipped(LabError):
    """The machine lacks what this fault needs."""


Act = Callable[[World, Fault], Iterator[None]]
FAULTS: dict[str, Callable[[World, Fault], AbstractContextManager[None]]] = {}


def fault(kind: str) -> Callable[[Act], Act]:
    """Register a generator as the fault of a kind: it does the fault, yields, and ends it."""

    def register(act: Act) -> Act:
        FAULTS[kind] = contextmanager(act)
        return act

    return register
