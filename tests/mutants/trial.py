"""One mistake and its tests in a process of its own, which has what is slow to import, and none of our modules yet."""

from __future__ import annotations

import ctypes
import importlib
import os
import resource
import select
import signal
import sys
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.changed_source import ChangedSource

HEAVY = (
    "hypothesis",
    "grpc",
    "prometheus_client.parser",
    "requests",
    "click.testing",
    "rich.table",
)
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
OPTIONS = (
    "-q",
    "-p",
    "no:randomly",
    "-p",
    "no:cacheprovider",
    "-W",
    "ignore:Module already imported",
    "-m",
    "not slow",
)
KILLED, SURVIVED, ENDLESS = "killed", "survived", "endless"
"""`endless`: the tests did not end within their time, which a run of all tests would tell as a failure."""


class Chosen:
    """Leaves out all tests but some, and those with real parts of the lab: an etcd for each mistake is too slow."""

    def __init__(self, tests: Collection[str] | None = None) -> None:
        self._tests = tests

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Keep what is light and was chosen; a test that is not there any more is not missed."""
        items[:] = [each for each in items if not (each.get_closest_marker("real") and _uses_lab(each))]
        if self._tests is not None:
            items[:] = [each for each in items if each.nodeid.partition("[")[0] in self._tests]


def _uses_lab(item: pytest.Item) -> bool:
    module = getattr(item, "module", None)
    return any(str(getattr(each, "__module__", "")).startswith("tests.lab") for each in vars(module).values())


def begin() -> None:
    """Load what every trial needs, and become the parent of whatever a trial leaves behind."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    for name in HEAVY:
        importlib.import_module(name)
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def apart(work: Callable[[], bytes], limit_s: float, cpu_s: float = 0.0) -> bytes | None:
    """Do something in a process of its own; return what it returned, None when it ended otherwise or took too long."""
    source, sink = os.pipe()
    pid = os.fork()
    if pid == 0:
        _child(work, sink, cpu_s)
    os.close(sink)
    heard, end = b"", time.monotonic() + limit_s
    with os.fdopen(source, "rb", 0) as file:
        while select.select([file], [], [], max(0.0, end - time.monotonic()))[0]:
            if not (more := file.read(65536)):
                break
            heard += more
    _end_all()
    return heard or None


def _child(work: Callable[[], bytes], sink: int, cpu_s: float) -> None:
    try:
        os.setsid()
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        nothing = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(nothing, descriptor)
        if cpu_s:
            resource.setrlimit(resource.RLIMIT_CPU, (round(cpu_s), round(cpu_s) + 1))
        os.set_inheritable(sink, False)
        found = work()
        while found:
            found = found[os.write(sink, found) :]
    finally:
        os._exit(0)


def _end_all() -> None:
    """End every process that the trial started, whatever became of it."""
    while children := Path(f"/proc/self/task/{os.getpid()}/children").read_text().split():
        for child in children:
            with suppress(ProcessLookupError):
                os.kill(int(child), signal.SIGKILL)
        for child in children:
            with suppress(ChildProcessError):
                os.waitpid(int(child), 0)


def trial(name: str, path: Path, text: str, tests: Collection[str], baseline_s: float) -> str:
    """Run tests with the text in the place of a module; `baseline_s` is what they take without it."""

    def work() -> bytes:
        sys.meta_path.insert(0, ChangedSource(frozenset({name}), lambda _name, _old: text))
        files = sorted(file for file in {test.partition("::")[0] for test in tests} if Path(file).exists())
        return str(int(pytest.main([*OPTIONS, "-x", "--timeout", "10", *files], plugins=[Chosen(tests)]))).encode()

    code = apart(work, 15 + 4 * baseline_s, 15 + 4 * baseline_s)
    if code is None:
        return ENDLESS
    return SURVIVED if code in (b"0", b"5") else KILLED  # 5: none of the tests is there any more
