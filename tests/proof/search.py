"""The search: all worlds that no fault leads to, then all that one leads to, then two, and so on up to a limit.

A world is searched once, with the fewest faults that lead to it: with more faults left it can do all that it could do
with fewer. Of worlds that were seen only fingerprints of 60 bits are kept; among ten million, two worlds share one
with a chance below one in 10,000.
"""

from __future__ import annotations

import gc
import random
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.proof.engine import Engine
from tests.proof.parts import Compact
from tests.proof.seen import Seen
from tests.proof.story import Path, told

Check = Callable[[Compact], tuple[str, ...]]
"""Looks at one world; returns what is wrong with it, nothing if all is well."""

PARTS = 1_000_000
"""When the engine knows more parts than this, it forgets those that no waiting world needs (about 3 GB)."""


@dataclass(frozen=True)
class Found:
    """What a search found. `story` is empty when nothing is broken; `complete`: every reachable world was seen.

    `layers`: worlds by the fewest faults that lead to them, the last one perhaps not in full. `depth`: moves.
    """

    states: int
    moves: int
    seconds: float
    complete: bool
    layers: tuple[int, ...] = ()
    depth: int = 0
    broken: str = ""
    story: tuple[str, ...] = ()

    def text(self) -> str:
        """Return the counterexample as numbered moves."""
        return "\n".join([self.broken or "nothing is broken", *self.story])


@dataclass
class Progress:
    """How far a search is."""

    seen: Seen
    layers: list[int] = field(default_factory=list)
    moves: int = 0
    depth: int = 0

    @property
    def faults(self) -> int:
        """The number of faults of the layer that is searched now."""
        return len(self.layers) - 1


class _BrokenError(Exception):
    """Ends a search: a promise is broken."""

    def __init__(self, broken: str, story: tuple[str, ...]) -> None:
        super().__init__(broken)
        self.broken = broken
        self.story = story


Waiting = list[tuple[Compact, Path]]
Watch = Callable[[Progress], None]


class Search:
    """One search, which can be watched."""

    def __init__(
        self,
        engine: Engine,
        limit: int,
        check: Check | None = None,
        seed: int | None = None,
        watch: Watch = lambda _progress: None,
    ) -> None:
        self.engine = engine
        self.progress = Progress(Seen())
        self._limit = limit
        self._check = check
        self._seed = seed
        self._watch = watch
        self._layer: Waiting = []
        self._rest: Waiting = []
        self._coming: Waiting = []
        self._room = PARTS

    def run(self, start: Compact) -> Found:
        """Search from `start`; stop at the first broken promise, at the limit, on Ctrl-C, or when all is seen."""
        begun = time.monotonic()
        complete = False
        broken = ""
        story: tuple[str, ...] = ()
        gc.disable()  # worlds refer to no world: nothing is to be found, and to look takes a tenth of the time
        try:
            complete = self._layers(start)
        except _BrokenError as found:
            broken, story = found.broken, found.story
        except KeyboardInterrupt:
            complete = False  # whoever ends it wants to see how far it came
        finally:
            gc.enable()
        now = self.progress
        seconds = time.monotonic() - begun
        return Found(len(now.seen), now.moves, seconds, complete, tuple(now.layers), now.depth, broken, story)

    def _layers(self, start: Compact) -> bool:
        now, total = self.progress, self.engine.budget.total
        now.layers.append(0)
        if not self._closure(start, None, keep=total > 0):
            return False
        for faults in range(1, total + 1):
            self._layer, self._rest = [], self._layer
            self._rest.reverse()
            if faults == total and self._seed is not None:
                random.Random(self._seed).shuffle(self._rest)
            now.layers.append(0)
            while self._rest:
                world, path = self._rest.pop()
                self._coming = self._faulty(world, path, faults)
                while self._coming:
                    if not self._closure(*self._coming.pop(), keep=faults < total):
                        return False
        return True

    def _faulty(self, world: Compact, path: Path, faults: int) -> Waiting:
        """Return what one more fault leads to, the last one first."""
        found: Waiting = []
        for each in self.engine.after(world, free=False):
            if each.world[3] == faults:
                self.progress.moves += 1
                way = (path, each.label, each.took)
                if each.broken:
                    raise _BrokenError(each.broken, told(way))
                found.append((each.world, way))
        found.reverse()
        return found

    def _closure(self, first: Compact, path: Path, keep: bool) -> bool:
        """Search what follows without another fault; return whether there is room for more."""
        now, engine = self.progress, self.engine
        if not now.seen.add(engine.fingerprint(first)):
            return True
        todo: deque[tuple[Compact, Path, int]] = deque([(first, path, 0)])
        while todo:
            world, path, depth = todo.popleft()
            self._count(world, path, depth, keep)
            if len(now.seen) >= self._limit:
                return False
            for each in engine.after(world, faults=False):
                now.moves += 1
                way = (path, each.label, each.took)
                if each.broken:
                    raise _BrokenError(each.broken, told(way))
                if now.seen.add(engine.fingerprint(each.world)):
                    todo.append((each.world, way, depth + 1))
            if len(engine.parts) > self._room:
                todo = self._forget(todo)
        return True

    def _count(self, world: Compact, path: Path, depth: int, keep: bool) -> None:
        now = self.progress
        now.layers[-1] += 1
        now.depth = max(now.depth, depth)
        if self._check is not None and (wrong := self._check(world)):
            raise _BrokenError(wrong[0], (*told(path), *wrong[1:]))
        if keep:
            self._layer.append((world, path))
        if len(now.seen) % 1000 == 0:
            self._watch(now)

    def _forget(self, todo: deque[tuple[Compact, Path, int]]) -> deque[tuple[Compact, Path, int]]:
        """Make room: let the engine forget the parts that no world needs which is still to be looked at."""
        worlds = [world for waiting in (self._layer, self._rest, self._coming) for world, _ in waiting]
        fresh = iter(self.engine.forget(worlds + [world for world, _, _ in todo]))
        self._layer = [(next(fresh), path) for _, path in self._layer]
        self._rest = [(next(fresh), path) for _, path in self._rest]
        self._coming = [(next(fresh), path) for _, path in self._coming]
        self._room = max(PARTS, 2 * len(self.engine.parts))  # what is still needed is no reason to do it again at once
        return deque((next(fresh), path, depth) for _, path, depth in todo)


def search(engine: Engine, limit: int, start: Compact | None = None, check: Check | None = None) -> Found:
    """Search up to `limit` worlds from the calm one, or from `start`."""
    return Search(engine, limit, check).run(start or engine.calm())
