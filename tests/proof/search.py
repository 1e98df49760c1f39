"""The search itself: breadth first with the way to each world kept, for the shortest counterexample."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass

from tests.proof.engine import Compact, Engine


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


def breadth_first(engine: Engine, limit: int, seconds: float = 1e9, start: Compact | None = None) -> Found:
    """Search up to `limit` worlds; stop at the first that breaks a promise."""
    begun = time.monotonic()
    first = start or engine.start()
    came: dict[Compact, tuple[Compact, str, int] | None] = {first: None}
    todo = deque([first])
    moves = 0
    while todo:
        world = todo.popleft()
        for each in engine.after(world):
            moves += 1
            if each.broken:
                story = _story(came, world, each.label, each.took)
                return Found(len(came), moves, time.monotonic() - begun, False, each.broken, story)
            if each.world not in came:
                came[each.world] = (world, each.label, each.took)
                todo.append(each.world)
        if len(came) >= limit or (moves & 1023 == 0 and time.monotonic() - begun > seconds):
            return Found(len(came), moves, time.monotonic() - begun, False)
    return Found(len(came), moves, time.monotonic() - begun, True)


def _story(
    came: dict[Compact, tuple[Compact, str, int] | None], world: Compact, last: str, took: int
) -> tuple[str, ...]:
    steps = [(last, took)]
    while (before := came[world]) is not None:
        world, label, took = before
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
