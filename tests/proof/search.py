"""The searches: breadth first for the shortest counterexample, depth first in bounded memory for very many worlds."""

from __future__ import annotations

import time
from array import array
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from tests.proof.engine import Compact, Engine

Path = tuple["Path | None", str, int]
"""The way to a world, from its end: what came before, the last move, the time that it took."""
Check = Callable[[Compact], tuple[str, ...]]
"""Looks at one world; returns what is wrong with it, nothing if all is well."""
Report = Callable[[int, int], None]
"""Hears now and then how many worlds were seen, and how many wait."""


@dataclass(frozen=True)
class Found:
    """What a search found. `story` is empty when nothing is broken; `complete`: every reachable world was seen."""

    states: int
    moves: int
    seconds: float
    complete: bool
    broken: str = ""
    story: tuple[str, ...] = ()

    def text(self) -> str:
        """Return the counterexample as numbered moves."""
        return "\n".join([self.broken or "nothing is broken", *self.story])


def told(path: Path | None) -> tuple[str, ...]:
    """Return the way to a world as numbered lines, each with the time at which it happens."""
    steps: list[tuple[str, int]] = []
    while path is not None:
        path, label, took = path
        steps.append((label, took))
    return numbered(steps[::-1])


def numbered(steps: list[tuple[str, int]]) -> tuple[str, ...]:
    """Return moves as lines with their number and time; time that just passes is folded into the next move's."""
    lines: list[str] = []
    now = 0
    for label, took in steps:
        now += took
        if label != "time passes":
            lines.append(f"{len(lines) + 1:3}. t={now:<3} {label}")
    return tuple(lines)


def breadth_first(
    engine: Engine, limit: int, start: Compact | None = None, check: Check | None = None, every: int = 1
) -> Found:
    """Search up to `limit` worlds; stop at the first that breaks a promise. `check` sees one world in `every`."""
    begun = time.monotonic()
    first = start or engine.start()
    came: dict[Compact, Path | None] = {first: None}
    todo = deque([first])
    moves = seen = 0
    while todo and len(came) < limit:
        world = todo.popleft()
        seen += 1
        if check is not None and seen % every == 0 and (wrong := check(world)):
            story = (*told(came[world]), *wrong)
            return Found(len(came), moves, time.monotonic() - begun, False, wrong[0], story)
        for each in engine.after(world):
            moves += 1
            if each.broken:
                story = told((came[world], each.label, each.took))
                return Found(len(came), moves, time.monotonic() - begun, False, each.broken, story)
            if each.world not in came:
                came[each.world] = (came[world], each.label, each.took)
                todo.append(each.world)
    return Found(len(came), moves, time.monotonic() - begun, not todo)


class Seen:
    """A set of 64-bit fingerprints in 8 bytes each; it doubles when it is two thirds full."""

    def __init__(self, bits: int = 16) -> None:
        self._table = array("Q", bytes(8 << bits))
        self._mask = (1 << bits) - 1
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, fingerprint: int) -> bool:
        """Add one; return whether it is new."""
        fingerprint = fingerprint & 0xFFFFFFFFFFFFFFFF or 1
        place = self._place(fingerprint)
        if self._table[place] == fingerprint:
            return False
        self._table[place] = fingerprint
        self._count += 1
        if self._count * 3 > len(self._table) * 2:
            self._grow()
        return True

    def _place(self, fingerprint: int) -> int:
        place = (fingerprint ^ fingerprint >> 29) & self._mask
        while self._table[place] not in (0, fingerprint):
            place = place + 1 & self._mask
        return place

    def _grow(self) -> None:
        old = self._table
        self._table = array("Q", bytes(16 * len(old)))
        self._mask = len(self._table) - 1
        for fingerprint in old:
            if fingerprint:
                self._table[self._place(fingerprint)] = fingerprint


PARTS = 250_000
"""When the engine knows more parts than this, it forgets those that no waiting world needs (about 1 GB)."""


def depth_first(engine: Engine, limit: int, start: Compact, report: Report = lambda _seen, _waiting: None) -> Found:
    """Search up to `limit` worlds, keeping only fingerprints of those that were seen."""
    begun = time.monotonic()
    seen = Seen()
    seen.add(engine.fingerprint(start))
    todo: list[tuple[Compact, Path | None]] = [(start, None)]
    moves = steps = 0
    while todo and len(seen) < limit:
        world, path = todo.pop()
        for each in engine.after(world):
            moves += 1
            way = (path, each.label, each.took)
            if each.broken:
                return Found(len(seen), moves, time.monotonic() - begun, False, each.broken, told(way))
            if seen.add(engine.fingerprint(each.world)):
                todo.append((each.world, way))
        steps += 1
        if steps % 2000 == 0:
            report(len(seen), len(todo))
            if len(engine.parts) > PARTS:
                worlds = engine.forget([waiting for waiting, _ in todo])
                todo = [(waiting, way) for waiting, (_, way) in zip(worlds, todo, strict=True)]
    report(len(seen), len(todo))
    return Found(len(seen), moves, time.monotonic() - begun, not todo)
