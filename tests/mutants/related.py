"""Which tests run which function: measured by coverage, once for each file of tests, and anew when that file changed.

Nothing is listed by hand, so that neither a new test nor a module that moves has to be told.
"""

from __future__ import annotations

import ast
import hashlib
import json
import time
from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.mutants.trial import OPTIONS, Chosen, apart

LEFT_OUT = ("core", "proof", "stateful", "chaos", "grafana", "lab", "deploy", "e2e", "mutants", "browser")
"""Folders of tests that are of the core, of the laboratory, or too slow to be run for each mistake."""
SLOW_S = 2.0
"""A test that takes longer, with what it sets up, is not run for a mistake."""
FILE_S = 300.0


class Related:
    """Tests by the function that they run: `file.py` without its folders, a colon, and the name of the function."""

    def __init__(self, root: Path, cache: Path) -> None:
        self._root, self._cache = root, cache
        self._tests: dict[str, dict[str, float]] = defaultdict(dict)
        self._seconds: dict[str, float] = {}

    def measure(self, say: Any, end: float) -> bool:
        """Measure what is not known yet; False when the time (monotonic) is over before all is."""
        known = json.loads(self._cache.read_text()) if self._cache.exists() else {}
        found = {}
        for path in self._files():
            name = str(path.relative_to(self._root))
            key = f"{name}:{hashlib.sha1(path.read_bytes(), usedforsecurity=False).hexdigest()[:12]}"
            if key not in known:
                if time.monotonic() > end:
                    return False
                say(f"measuring {name}")
                measured = apart(partial(_measure, self._root, path), FILE_S)
                if measured is None:
                    say(f"{name} could not be measured: its tests are left out of this run")
                    continue
                known[key] = json.loads(measured)
                self._cache.parent.mkdir(exist_ok=True)
                self._cache.write_text(json.dumps(known))
            found[key] = known[key]
        self._cache.write_text(json.dumps(found))
        for tests in found.values():
            for test, (seconds, functions) in tests.items():
                self._seconds[test] = seconds
                for function in functions:
                    self._tests[function][test] = seconds
                for file in {function.partition(":")[0] for function in functions}:
                    self._tests[file][test] = seconds
        return True

    def _files(self) -> Iterator[Path]:
        for path in sorted((self._root / "tests").rglob("test_*.py")):
            if not set(path.relative_to(self._root).parts) & set(LEFT_OUT):
                yield path

    def tests(self, path: Path, function: str, limit_s: float) -> dict[str, float]:
        """Return the tests that run a function, the fastest first; seconds each, at most `limit_s` in all.

        What stands outside functions runs once, at the import, so that no test is seen to run it: for that, and for a
        function that none runs, the tests of the whole module and of its folder. Two modules may have one name: then
        the tests of the folder come first.
        """
        beside = "/".join(("tests", *path.parent.parts[1:2]))
        near = {test: seconds for test, seconds in self._seconds.items() if test.rpartition("/")[0] == beside}
        run = self._tests.get(f"{path.name}:{function}", {}) if function else {}
        return _chosen(run, near, limit_s) or _chosen(near | self._tests.get(path.name, {}), near, limit_s)


def _chosen(tests: dict[str, float], first: Container[str], limit_s: float) -> dict[str, float]:
    chosen: dict[str, float] = {}
    for test, seconds in sorted(tests.items(), key=lambda each: (each[0] not in first, each[1])):
        if seconds <= SLOW_S and sum(chosen.values()) + seconds <= limit_s:
            chosen[test] = seconds
    return chosen


def in_stages(tests: dict[str, float]) -> list[dict[str, float]]:
    """Part tests in two: those of the two files with the most of them, and the rest; a file costs time to load."""
    files = Counter(test.partition("::")[0] for test in tests)
    first = {file for file, _ in files.most_common(2)}
    parts = (
        {test: seconds for test, seconds in tests.items() if (test.partition("::")[0] in first) is early}
        for early in (True, False)
    )
    return [each for each in parts if each]


def _measure(root: Path, path: Path) -> bytes:
    """Run a file of tests; return for each test its seconds, and the functions outside the core that it ran."""
    import coverage

    covering = coverage.Coverage(data_file=None, include=[f"{root}/agent/*"], omit=[f"{root}/agent/core/*"])
    spans: dict[str, float] = {}
    failed: set[str] = set()

    class Plugin:
        def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
            if report.failed:
                failed.add(report.nodeid.partition("[")[0])  # it would fail with each mistake, too

        @pytest.hookimpl(wrapper=True)
        def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
            test = item.nodeid.partition("[")[0]
            covering.switch_context(test)
            begin = time.perf_counter()
            try:
                return (yield)
            finally:
                spans[test] = spans.get(test, 0.0) + time.perf_counter() - begin
                covering.switch_context("")

    covering.start()
    pytest.main([*OPTIONS, str(path)], plugins=[Plugin(), Chosen()])
    covering.stop()
    data = covering.get_data()
    ran: dict[str, set[str]] = defaultdict(set)
    for file in data.measured_files():
        places = _functions(Path(file))
        for line, tests in data.contexts_by_lineno(file).items():
            for test in filter(None, tests):
                ran[test].add(f"{Path(file).name}:{places.get(line, '')}")
    passed = spans.keys() - failed
    return json.dumps({test: (round(spans[test], 3), sorted(ran[test])) for test in sorted(passed)}).encode()


def _functions(path: Path) -> dict[int, str]:
    """Return the innermost function of each line; a class is run by whichever test imports it first."""
    places: dict[int, str] = {}

    def walk(nodes: Iterable[ast.AST], names: tuple[str, ...]) -> None:
        for node in nodes:
            inner = names
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                inner = (*names, node.name)
            if isinstance(node, ast.FunctionDef):
                for line in range(node.lineno, (node.end_lineno or node.lineno) + 1):
                    places[line] = ".".join(inner)
            walk(ast.iter_child_nodes(node), inner)

    walk([ast.parse(path.read_text(encoding="utf-8"))], ())
    return places
