"""What the shell completes from the group: names of nodes and groups, in a bounded time, and never an error."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete

from agent.cli import options, target
from agent.cli.main import main
from agent.core.model.store import Snapshot
from agent.errors import StoreUnavailable
from tests.cli.groups import beat, snapshot
from tests.cli.test_status import FakeStore, below
from tests.support.slack import SLACK_S

Ask = Callable[..., list[str]]


def completed(*words: str) -> list[str]:
    """Return what is offered for the last word."""
    shell = ShellComplete(main, {}, "nodeos-failover", options.COMPLETING)
    return [each.value for each in shell.get_completions(list(words[:-1]), words[-1])]


@pytest.fixture
def etcd(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[list[str]]:
    """Stand two groups in an etcd; yield the options that name it."""
    found = snapshot(10, beat(3))
    both = Snapshot(10, (*found.items, *below(found, "wax")))
    monkeypatch.setattr(target, "open_store", lambda _section: FakeStore([both]))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("NODEOS_FAILOVER_CONFIG", raising=False)
    yield ["--etcd", "http://127.0.0.1:1", "--config", str(tmp_path / "nowhere.toml")]


def test_names_of_nodes_are_offered_wherever_a_node_is_named(etcd: list[str]) -> None:
    """Arguments and options; only what begins as typed."""
    group = [*etcd, "--group", "eos"]
    for words in (("drain",), ("undrain",), ("override", "set"), ("switchover", "--to"), ("failover", "--dead")):
        command, rest = words[:1], words[1:]
        before = [*command, *rest[:1], *group] if rest[:1] == ("set",) else [*command, *group, *rest]
        assert completed(*before, "") == ["bp-a", "bp-b"], words
        assert completed(*before, "bp-b") == ["bp-b"], words
    assert completed("drain", *group, "x") == []


def test_names_of_groups_are_offered(etcd: list[str]) -> None:
    """Every group below the prefix."""
    assert completed("status", *etcd, "--group", "") == ["eos", "wax"]
    assert completed("history", *etcd, "-g", "w") == ["wax"]


def test_a_shell_is_never_kept_waiting_nor_asked(etcd: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """An etcd that hangs costs a bounded time, any error nothing; no password is asked for."""
    over = threading.Event()

    def hang(_section: object) -> FakeStore:
        over.wait(30)
        raise StoreUnavailable("over")

    monkeypatch.setattr(target, "open_store", hang)
    monkeypatch.setattr(target, "WAIT_S", 0.2)
    begin = time.monotonic()
    assert completed("drain", *etcd, "--group", "eos", "") == []
    assert time.monotonic() - begin < 0.2 + SLACK_S
    over.set()
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setenv(options.COMPLETING, "bash_complete")
    assert not options.attended()
    assert completed("drain", "--etcd", "https://x:1", "--user", "ann", "") == []
