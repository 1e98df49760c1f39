"""Make mistakes outside the core, one at a time, and tell which ones the tests find: see the package."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

from tests.mutants.changes import Change, Module
from tests.mutants.related import Related, in_stages
from tests.mutants.report import Result, Results
from tests.mutants.trial import SURVIVED, begin, trial

ROOT = Path(__file__).parents[2]
KEPT = ROOT / ".mutants"
LEFT_OUT = ("agent/core/", "agent/cli/", "agent/__main__.py", "agent/main.py", "agent/__init__.py")
LIMIT_S = 4.0
"""What the tests of one mistake may take together, by their measured times."""


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="make mutants", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0, help="end after so many minutes")
    parser.add_argument("--only", action="append", default=[], help="modules whose path begins so; may be given again")
    parser.add_argument("--most", type=int, default=1 << 30, help="mistakes of one module")
    parser.add_argument("--again", action="store_true", help="try those anew that were not found")
    parser.add_argument("--report", action="store_true", help="try nothing, tell what is known")
    return parser.parse_args()


def main() -> int:
    """Do it."""
    given = arguments()
    end = time.monotonic() + 60 * given.minutes
    os.chdir(ROOT)
    KEPT.mkdir(exist_ok=True)
    modules = [Module(path) for path in _paths(given.only)]
    results = Results(KEPT / "results.jsonl", {str(each.path): each.hash for each in modules})
    if not given.report:
        begin()
        related = Related(ROOT, KEPT / "related.json")
        if related.measure(_say, end):
            _try(modules, related, results, end, most=given.most, again=given.again)
        else:
            _say("time is over before it was measured which tests run what: run it again")
    for line in results.lines({str(each.path): min(given.most, len(each.changes)) for each in modules}):
        print(line)  # noqa: T201 - this is a command
    return 0


def _paths(only: list[str]) -> list[Path]:
    paths = [str(path) for path in sorted(Path("agent").rglob("*.py"))]
    return [
        Path(path) for path in paths if not path.startswith(LEFT_OUT) and (not only or path.startswith(tuple(only)))
    ]


def _try(modules: list[Module], related: Related, results: Results, end: float, *, most: int, again: bool) -> None:
    """Try the first mistake of every module, then the second, and so on: whatever time is given, each has its share."""
    todo = [
        (rank, module, change)
        for module in modules
        for rank, change in enumerate(module.changes[:most])
        if not results.known(str(module.path), change.number, again=again)
    ]
    _say(f"{len(todo)} mistakes to try")
    for number, (_, module, change) in enumerate(sorted(todo, key=lambda each: (each[0], str(each[1].path)))):
        if time.monotonic() > end:
            _say(f"time is over; {len(todo) - number} are left: run it again")
            return
        results.add(_tried(module, change, related))


def _name(module: Module) -> str:
    return ".".join(module.path.with_suffix("").parts).removesuffix(".__init__")


def _tried(module: Module, change: Change, related: Related) -> Result:
    text = module.changed(change)
    before = after = became = ""
    tests: dict[str, float] = {}
    if text is not None:
        before, after = _difference(module.text, text)
        tests = related.tests(module.path, change.function, LIMIT_S)
        became = SURVIVED
        for stage in in_stages(tests):
            became = trial(_name(module), module.path, text, stage, sum(stage.values()))
            if became != SURVIVED:
                break
    if became == SURVIVED:
        _say(f"not found: {module.path}:{change.line}: {before}  ->  {after}")
    return Result(str(module.path), module.hash, change.number, change.line, before, after, became, not tests)


def _difference(before: str, after: str) -> tuple[str, str]:
    """Return the first lines that differ."""
    pairs = zip(before.splitlines(), [*after.splitlines(), ""], strict=False)
    return next(((old.strip(), new.strip()) for old, new in pairs if old != new), ("", ""))


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - this is a command


if __name__ == "__main__":
    sys.exit(main())
