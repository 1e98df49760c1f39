"""A way through worlds, told: numbered moves with their times and reasons."""

from __future__ import annotations

from typing import Union

Path = Union["tuple[Path, str, int]", None]
"""The way to a world, from its end: what came before, the last move, the time that it took."""


def told(path: Path) -> tuple[str, ...]:
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
