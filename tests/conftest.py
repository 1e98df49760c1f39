"""For every test: time that is moved, a check that nothing is left open, and the quarantine of unsure tests."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from tests.lab.tls import Certificates, make_certificates
from tests.support.leaks import nothing_left_open
from tests.support.moved_time import MovedTime, replace_time
from tests.support.slow_server import Serve, Server

if TYPE_CHECKING:
    from tests.lab.etcd import EtcdCluster


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --rewrite."""
    parser.addoption("--rewrite", action="store_true", help="write what scenarios and transcripts are now, to be read")


settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")
"""How hypothesis runs: without a time limit for one example, for the machine may be busy."""

os.environ.setdefault("GOMAXPROCS", "1")
"""One thread of Go at a time, in etcd, etcdctl and promtool: an etcd without work takes half the processor time so."""

LONGEST = (
    "e2e/test_peers",
    "e2e/test_switchover",
    "e2e/test_vain",
    "lab/chaos",
    "deploy/",
    "e2e/",
    "contract/",
    "test_quick",
)
"""What takes longest of the tests with real processes, and of those that compute."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put what takes longest first, so that no worker has it left at the end, and skip the tests in quarantine.

    Those are marked as unsure: @pytest.mark.quarantine("why").
    """
    items.sort(key=lambda item: next((at for at, name in enumerate(LONGEST) if name in str(item.path)), len(LONGEST)))
    for item in items:
        if (mark := item.get_closest_marker("quarantine")) is not None:
            item.add_marker(pytest.mark.skip(f"quarantine: {mark.args[0]}"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tell how many tests are in quarantine. -ra tells which, and why."""
    held = [each for each in terminalreporter.stats.get("skipped", ()) if "quarantine: " in str(each.longrepr)]
    terminalreporter.write_line(f"in quarantine: {len(held)}")


@pytest.fixture
def moved(monkeypatch: pytest.MonkeyPatch) -> MovedTime:
    """Put a time that the test moves in the place of every clock, sleep and timed wait."""
    return replace_time(monkeypatch)


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start servers that misbehave as they are told to; they end with the test."""
    with ExitStack() as closing:
        yield lambda *words, **more: closing.enter_context(contextlib.closing(Server(*words, **more)))


@pytest.fixture
def no_leaks() -> Iterator[None]:
    """Fail when the test leaves a descriptor or a thread open."""
    with nothing_left_open():
        yield


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdCluster]:
    """Run one real member of etcd for the tests of a module; each leaves it running."""
    from tests.lab.etcd import EtcdOptions  # most tests need no etcd, nor what it imports
    from tests.support.etcd_bench import running

    with running(tmp_path_factory.mktemp("etcd"), EtcdOptions(size=1)) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Make an authority, and certificates of it for 127.0.0.1."""
    return make_certificates(tmp_path_factory.mktemp("tls"))
