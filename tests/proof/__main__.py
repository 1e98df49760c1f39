"""`python -m tests.proof`: the deep search, with a progress bar and a table at the end, or at Ctrl-C. See --help.

Exit codes: 0 nothing is broken, 1 a promise is broken (its story is printed), 2 usage.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from tests.proof.parts import Budget
from tests.proof.runs import GATES, engine
from tests.proof.search import Found, Search
from tests.proof.search import Progress as State

EVERY = 30.0
"""Seconds between two lines where there is no terminal."""


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.proof", description="Search for two producers at once.")
    parser.add_argument("--worlds", type=int, default=10_000_000, help="stop after so many worlds (10,000,000)")
    parser.add_argument("--agents", type=int, choices=(2, 3), default=3, help="agents in the group (3)")
    parser.add_argument("--faults", type=int, default=2, help="faults in one run at most (2)")
    parser.add_argument("--eager", action="store_true", help="let each host answer its own agent first: fewer worlds")
    parser.add_argument(
        "--gate",
        nargs="?",
        const="required",
        default="",
        choices=tuple(GATES),
        help="worlds with a signing gate: required (if not said), on, or key (on, and nodeos has the key)",
    )
    parser.add_argument("--peers", action="store_true", help="worlds in which the leader names the others (R13 to R17)")
    parser.add_argument("--seed", type=int, help="look at the last layer in another order")
    return parser.parse_args()


def megabytes() -> int:
    """Return the most memory that this process ever had, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


class Watch:
    """Shows how far the search is: a bar for people, a line now and then where there is no terminal."""

    def __init__(self, args: argparse.Namespace, bar: Progress) -> None:
        self._bar = bar
        self._task = bar.add_task("no fault", total=args.worlds)
        self._begun = self._told = time.monotonic()

    def __call__(self, now: State) -> None:
        """Take how far the search is."""
        text = f"{now.faults} faults, {megabytes():,} MiB"
        self._bar.update(self._task, completed=len(now.seen), description=text)
        if not self._bar.console.is_terminal and time.monotonic() - self._told > EVERY:
            self._told = time.monotonic()
            self._bar.console.print(f"{len(now.seen):,} worlds in {self._told - self._begun:,.0f} s, {text}")


def _with(args: argparse.Namespace) -> str:
    return (f", gate: {args.gate}" if args.gate else "") + (", peers" if args.peers else "")


def table(args: argparse.Namespace, found: Found, seconds: float) -> Table:
    """Return what was found."""
    out = Table("", "value", title=f"{args.agents} agents, up to {args.faults} faults{_with(args)}")
    for faults, worlds in enumerate(found.layers):
        last = faults == len(found.layers) - 1 and not found.complete
        out.add_row(f"worlds that take {faults} faults" + (", as far as seen" if last else ", all"), f"{worlds:,}")
    out.add_row("worlds", f"{found.states:,}")
    out.add_row("moves", f"{found.moves:,}")
    out.add_row("depth: moves after the last fault", f"{found.depth:,}")
    out.add_row("seconds", f"{seconds:,.0f}")
    out.add_row("MiB", f"{megabytes():,}")
    out.add_row("every world seen", "yes" if found.complete else "no: the bound was reached")
    out.add_row("broken", found.broken or "nothing")
    return out


def main() -> int:
    """Search, show, tell."""
    args = arguments()
    names = ("a", "b", "c")[: args.agents]
    rules = engine(Budget(args.faults), names=names, eager=args.eager, gate=args.gate, peers=args.peers)
    begun = time.monotonic()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        found = Search(rules, args.worlds, seed=args.seed, watch=Watch(args, bar)).run(
            rules.steady() if args.peers else rules.calm()
        )
    console = Console(width=100)
    console.print(table(args, found, time.monotonic() - begun))
    if found.broken:
        console.print(found.text(), highlight=False, markup=False)
    return 1 if found.broken else 0


if __name__ == "__main__":
    sys.exit(main())
