"""P2: when the faults are over, somebody produces, however the rest goes on. P3: with nothing wrong, nothing changes.

Faults are over when what they broke is mended first: hosts thaw, processes start, etcd is reached, an override or a
maintenance is taken away. From there on every course is followed that hosts and messages can take in time, and calls
and transactions that were given up before may still act at any moment, or never.
"""

from __future__ import annotations

from collections import deque

from agent.core.leadership.state import Phase, Production
from agent.core.leadership.timing import Timing, standstill
from tests.proof.engine import Engine, Next
from tests.proof.parts import Compact
from tests.proof.story import numbered
from tests.proof.world import Host

REPAIRS = (
    "nodeos thaws",
    "the agent thaws",
    "reaches etcd again",
    "nodeos starts, paused",
    "the agent starts",
    "it is healthy again",
    "del override",
    "del maintenance",
    "sees its lease gone",
    "has a lease",
)
"""What ends a fault, in this order."""
LATE = ("a late ", "given up before", "acts, unanswered")
"""What may still come of an earlier fault, or never."""
ODD = ("hangs", "the answer is late", "the fence takes its time", *LATE)
"""What is no fault, or was paid for before, and is not in time."""


LONGEST = 400
"""Moves of a story at most: one in which nobody ever produces has no end."""


def bound(timing: Timing, *, anew: bool = False) -> int:
    """Return how long nobody may produce in all, once faults are over.

    What runs must stop, the heartbeat stand still, the seat be kept for a name that nobody answers to, and two tries
    reach the store. Of a host that started `anew`, and knows nothing of it, a confirmation may yet be applied: then the
    heartbeat stands still from there on.
    """
    still = standstill(timing.promised) * (2 if anew else 1)
    return timing.margin + still + timing.nomination + 2 * timing.request


def courses(engine: Engine, world: Compact) -> list[Next]:
    """Return what may come next once faults are over: repairs first, then what takes no time, then time."""
    free = list(engine.after(world, faults=False))
    for repair in REPAIRS:
        for each in free:
            if repair in each.label:
                return [each]
    late = [each for each in free if any(odd in each.label for odd in LATE)]
    now = [each for each in free if not each.took and not any(odd in each.label for odd in ODD)]
    return late + (now or [each for each in free if each.took] or free)


def produces(engine: Engine, world: Compact) -> bool:
    """Whether one node leads and its nodeos may sign."""
    return any(
        engine.signs(host) and engine.parts[host].core is not None and engine.parts[host].core.phase is Phase.LEADING
        for host in world[1]
    )


def same_leader(engine: Engine, world: Compact) -> tuple[str, ...]:
    """Tell that the first host leads and produces no longer (P3); nothing if it does."""
    first = engine.parts[world[1][0]]
    if first.core is not None and first.core.phase is Phase.LEADING and engine.signs(world[1][0]):
        return ()
    return ("P3: the leader changed though it could confirm itself",)


def adopted(engine: Engine, world: Compact, alone: int | None) -> tuple[str, ...]:
    """Tell what an adoption breaks (R19): a producer that is `alone` was paused, or in doubt one was not."""
    for at, number in enumerate(world[1]):
        host: Host = engine.parts[number]
        core = host.core
        if at == alone and host.nodeos.paused:
            return (f"R19: the nodeos of {host.name} produced already, and is paused for nothing",)
        if core is None or core.production is not Production.FOUND or host.stalled:
            continue
        led = core.phase is Phase.STARTING and core.seen.heartbeat is not None
        if led or core.phase not in (Phase.STARTING, Phase.CAMPAIGNING, Phase.ELECTED):
            return (f"R19: the nodeos of {host.name} produces though another leads, and is not paused",)
    return ()


class Afterwards:
    """Every course from many worlds on, once faults are over; and how long nobody produces in the worst of them."""

    def __init__(self, engine: Engine, worlds: list[Compact], bound: int) -> None:
        self._engine = engine
        self._bound = bound
        self._to: dict[Compact, list[tuple[Compact, int, str]]] = {}
        self._from: dict[Compact, list[tuple[Compact, int]]] = {}
        self.silent: dict[Compact, int] = {}
        self._explore(worlds)
        self._weigh()

    @property
    def worst(self) -> int:
        """The most ticks that nobody produces in; above the bound: too long, or for ever."""
        return max(self.silent.values(), default=0)

    def __len__(self) -> int:
        return len(self._to)

    def _explore(self, worlds: list[Compact]) -> None:
        todo = list(worlds)
        while todo:
            world = todo.pop()
            if world in self._to:
                continue
            quiet = not produces(self._engine, world)
            found = courses(self._engine, world)
            self._to[world] = [(each.world, each.took if quiet else 0, each.label) for each in found]
            for each in found:
                self._from.setdefault(each.world, []).append((world, each.took if quiet else 0))
                todo.append(each.world)

    def _weigh(self) -> None:
        """Find the longest silence by going backward, until it stands still or is beyond the bound."""
        self.silent = dict.fromkeys(self._to, 0)
        todo = deque(self._to)
        while todo:
            world = todo.popleft()
            for before, took in self._from.get(world, ()):
                longer = self.silent[world] + took
                if self.silent[before] < longer <= self._bound + 1:
                    self.silent[before] = longer
                    todo.append(before)

    def story(self) -> tuple[str, ...]:
        """Return the course with the longest silence, told: it begins when the faults are over."""
        world = max(self.silent, key=self.silent.__getitem__)
        steps: list[tuple[str, int]] = []
        while self.silent[world] and len(steps) < LONGEST:
            worst = max(courses(self._engine, world), key=lambda each: each.took + self.silent[each.world])
            steps.append((worst.label, worst.took))
            world = worst.world
        return numbered(steps)
