"""What was measured, and how it is written: JSON that a later run goes on from, and Markdown for people."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.lab.bench.method import TITLES
from tests.lab.bench.trace import STEPS
from tests.lab.figures import markdown, percentile

PARTS = (0.5, 0.99, 1)


@dataclass(frozen=True)
class Run:
    """One fault. `seconds` until the successor's first block, None when nobody was to change, or nobody came (`lost`).

    missed      slots that the observer's chain lacks
    twice       slots that were signed twice until the successor had signed for a while
    twice_back  the same while everything that was broken came back
    trace       ms from the fault to each step of it, where the method tells
    load        the machine's load average of the last minute
    """

    method: str
    fault: str
    missed: int
    seconds: float | None
    lost: bool
    changed: bool
    twice: int
    twice_back: int = 0
    trace: Mapping[str, int] = field(default_factory=dict)
    load: float = 0.0


@dataclass
class Results:
    """All runs, and by what they were made."""

    about: dict[str, object]
    titles: dict[str, str]
    runs: list[Run] = field(default_factory=list)

    def of(self, method: str, fault: str) -> list[Run]:
        """Return the runs of one cell of the table."""
        return [run for run in self.runs if (run.method, run.fault) == (method, fault)]

    def cells(self) -> Iterator[tuple[str, str, list[Run]]]:
        """Yield fault, method and runs, in the table's order; what was not measured is left out."""
        for fault in TITLES:
            for method in self.titles:
                if runs := self.of(method, fault):
                    yield fault, method, runs

    def save(self, path: Path) -> None:
        """Write them, whole or not at all."""
        new = path.with_name(path.name + ".new")
        new.write_text(json.dumps(asdict(self), indent=1) + "\n")
        new.replace(path)


def load(path: Path) -> Results:
    """Read what `save` wrote."""
    found = json.loads(path.read_text())
    found["runs"] = [Run(**run) for run in found["runs"]]
    found.pop("idle", None)  # a file of an earlier version
    return Results(**found)


def table(results: Results) -> str:
    """Return the results as a Markdown table; of slots and seconds p50 / p99 / max."""
    heads = (
        *("fault", "method", "n", "slots missed", "seconds to first block", "leader changed", "nobody came"),
        *("slots signed twice", "and while coming back"),
    )
    lines = []
    for fault, method, runs in results.cells():
        count = len(runs)
        seconds = [run.seconds for run in runs if run.seconds is not None]
        missed = [run.missed for run in runs]
        slots = " / ".join(str(percentile(missed, part)) for part in PARTS)
        lost = sum(run.lost for run in runs)
        cells = (
            *(TITLES[fault], results.titles[method], str(count), slots + (" (ended by us)" if lost else "")),
            " / ".join(f"{percentile(seconds, part):.2f}" for part in PARTS) if seconds else "-",
            f"{sum(run.changed for run in runs)} of {count}",
            f"{lost} of {count}" if lost else "0",
            str(sum(run.twice for run in runs)),
            str(sum(run.twice_back for run in runs)),
        )
        lines.append(cells)
    return markdown(heads, lines)


def traces(results: Results) -> str:
    """Return where the time goes, as a Markdown table: median ms from the fault to each step."""
    lines = []
    for fault, method, runs in results.cells():
        steps = medians(runs)
        if steps:
            cells = [str(steps[name]) if name in steps else "-" for name in STEPS]
            lines.append([TITLES[fault], results.titles[method], *cells])
    return markdown(["fault", "method", *STEPS], lines) if lines else ""


def medians(runs: Sequence[Run]) -> dict[str, int]:
    """Return the median of each step, in ms."""
    found = {name: [run.trace[name] for run in runs if name in run.trace] for name in STEPS}
    return {name: round(statistics.median(values)) for name, values in found.items() if values}
