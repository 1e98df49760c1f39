"""`make bench`: the command line, and the composition of field, methods and reports."""

from __future__ import annotations

import argparse
import os
import platform
import random
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from agent import __version__
from agent.core.leadership.timing import Timing
from tests import lab
from tests.lab import bench
from tests.lab.bench import gated
from tests.lab.bench import results as kept
from tests.lab.bench.agents import Agents
from tests.lab.bench.field import Field
from tests.lab.bench.keepalived import Keepalived
from tests.lab.bench.method import TITLES, Method
from tests.lab.bench.picture import draw
from tests.lab.bench.results import Results
from tests.lab.bench.run import Bench, Wish
from tests.lab.errors import LabUnavailable

METHODS = ("agent", gated.NAME, "keepalived")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; 1 when an agent let a slot be signed twice."""
    chosen = _parser().parse_args(arguments)
    faults = [name for name in TITLES if not chosen.faults or name in chosen.faults]
    names = [name for name in METHODS if name in (chosen.methods or ["agent", "keepalived"])]
    with tempfile.TemporaryDirectory(prefix="nodeos-failover-bench-") as root:
        field = Field(Path(root))
        try:
            methods = _methods(field, names)
            results = _results(chosen, methods)
            wish = Wish(faults, chosen.runs, chosen.seed, chosen.minutes)
            Bench(field, methods, wish, results, lambda: results.save(chosen.json)).go()
        finally:
            field.close()
    results.save(chosen.json)
    _report(results, chosen.json, chosen.svg)
    return 1 if any(run.twice or run.twice_back for run in results.runs if run.method.startswith("agent")) else 0


def _names(known: Sequence[str]) -> Callable[[str], list[str]]:
    def read(text: str) -> list[str]:
        found = [word for word in text.split(",") if word]
        if unknown := [word for word in found if word not in known]:
            raise argparse.ArgumentTypeError(f"no {', '.join(unknown)}: there are {', '.join(known)}")
        return found

    return read


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make bench", description=bench.__doc__)
    more = parser.add_argument
    more("--runs", "-n", type=int, default=10, help="runs of each fault (default 10)")
    more("--methods", type=_names(METHODS), help=f"of {', '.join(METHODS)}; default: agent,keepalived")
    more("--faults", type=_names(list(TITLES)), help=f"only these, of {', '.join(TITLES)}")
    more("--seed", type=int, default=random.randrange(10**6), help="of the moments of the faults")
    more("--minutes", type=float, default=0.0, help="begin no run after so many; 0: no limit")
    more("--resume", action="store_true", help="go on from the runs that stand in --json")
    more("--json", type=Path, default=Path("bench-latest.json"), help="where the figures go, after every run")
    more("--svg", type=Path, default=Path("bench-latest.svg"), help="where the picture goes")
    return parser


def _methods(field: Field, names: Sequence[str]) -> list[Method]:
    """Make the methods; one that this machine cannot have is told, and left out."""
    made: list[Method] = []
    for name in names:
        if name == "keepalived":
            try:
                made.append(Keepalived(field))
            except LabUnavailable as error:
                sys.stdout.write(f"keepalived is left out: {error}\n")
            continue
        made.append(gated.Gated(field) if name == gated.NAME else _agents(field, name))
    if field.lacks:
        sys.stdout.write(f"all hosts share one network, and none can be cut off: {field.lacks}\n")
    return made


def _agents(field: Field, name: str) -> Agents:
    timing = Timing()
    return Agents(field, name, "agent", {}, election_ms=timing.election, validity=timing.validity / 1000)


def _results(chosen: argparse.Namespace, methods: Sequence[Method]) -> Results:
    titles = {method.name: method.title for method in methods}
    if chosen.resume and chosen.json.exists():
        found = kept.load(chosen.json)
        found.titles |= titles
        return found
    machine = {"version": __version__, "cores": os.cpu_count(), "kernel": platform.release()}
    command = " ".join(["python", "-m", lab.__name__ + ".bench", *sys.argv[1:]])
    return Results({**machine, "seed": chosen.seed, "command": command}, titles)


def _report(results: Results, json_file: Path, svg: Path) -> None:
    sys.stdout.write("\n" + kept.table(results) + "\n\n")
    if steps := kept.traces(results):
        sys.stdout.write(f"Where the time goes, median ms after the fault:\n\n{steps}\n\n")
    count = max((len(runs) for _, _, runs in results.cells()), default=0)
    svg.write_text(draw(results, f"Seconds to the successor's first block, {count} runs of each fault"))
    sys.stdout.write(f"figures: {json_file}, picture: {svg}\n")


if __name__ == "__main__":
    sys.exit(main())
