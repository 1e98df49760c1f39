"""What one check says, and how all findings look on a terminal: faults first to the eye, each with its remedy below."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from rich.console import Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text


class Grade(Enum):
    """How it looks. Only FAULT makes the command fail."""

    OK = "ok"
    WARN = "warn"
    FAULT = "fault"
    UNKNOWN = "unknown"  # it could not be seen
    SKIPPED = "skipped"  # it does not apply here


@dataclass(frozen=True, slots=True)
class Finding:
    """`seen` is what was found, `remedy` what to do about it; a remedy is given unless all is well."""

    name: str
    verdict: Grade
    seen: str
    remedy: str = ""


def ok(name: str, seen: str) -> Finding:
    """Return that all is well."""
    return Finding(name, Grade.OK, seen)


def warn(name: str, seen: str, remedy: str) -> Finding:
    """Return that it may bite later."""
    return Finding(name, Grade.WARN, seen, remedy)


def fault(name: str, seen: str, remedy: str) -> Finding:
    """Return that it will bite."""
    return Finding(name, Grade.FAULT, seen, remedy)


def unknown(name: str, seen: str, remedy: str) -> Finding:
    """Return that it could not be seen."""
    return Finding(name, Grade.UNKNOWN, seen, remedy)


def skipped(name: str, seen: str, remedy: str = "") -> Finding:
    """Return that it does not apply."""
    return Finding(name, Grade.SKIPPED, seen, remedy)


STYLES = {
    Grade.OK: "green",
    Grade.WARN: "yellow",
    Grade.FAULT: "bold red",
    Grade.UNKNOWN: "magenta",
    Grade.SKIPPED: "dim",
}


def table(found: Sequence[Finding]) -> Group:
    """Return all findings in their order, and how many there are of each verdict."""
    grid = Table(box=None, pad_edge=False)
    grid.add_column("verdict", no_wrap=True)
    grid.add_column("check", no_wrap=True)
    grid.add_column("seen", overflow="fold")
    for each in found:
        seen = Text(each.seen)
        if each.remedy and each.verdict is not Grade.OK:
            seen.append(f"\n-> {each.remedy}", style="cyan")
        grid.add_row(Text(each.verdict.value, style=STYLES[each.verdict]), Text(each.name), seen)
    return Group(grid, Padding(Text(summary(found), style="bold"), (1, 0, 0, 0)))


def summary(found: Sequence[Finding]) -> str:
    """Return one line: how many of each verdict."""
    counts = [(each, sum(finding.verdict is each for finding in found)) for each in Grade]
    return ", ".join(f"{count} {verdict.value}" for verdict, count in counts if count)


def data(found: Sequence[Finding]) -> dict[str, Any]:
    """Return the same for machines."""
    rows = [
        {"check": each.name, "verdict": each.verdict.value, "seen": each.seen, "remedy": each.remedy} for each in found
    ]
    return {"faults": sum(each.verdict is Grade.FAULT for each in found), "checks": rows}
