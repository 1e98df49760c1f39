"""Report and picture: what was found stands in them, and the picture is a picture."""

from __future__ import annotations

import json
from pathlib import Path

from tests.lab.bench.tails import Tail
from tests.lab.chaos.__main__ import judge
from tests.lab.chaos.checker import DEFECT, check
from tests.lab.chaos.histories import at, change, done, history, signature, without
from tests.lab.chaos.history import Change, Note, Rest
from tests.lab.chaos.plan import make_plan
from tests.lab.chaos.watch import parse

PLAN = make_plan(7, 20, ("bp-a", "bp-b"))


def test_violation_ends_with_1_and_a_story(tmp_path: Path) -> None:
    """A double signature is exit code 1, and its story stands in the report."""
    found = history()
    found.signatures.append(signature("bp-b", 17, "ff"))
    found.done.append(done("nodeos-frozen", "bp-a", 12, 16))
    assert judge(PLAN, found, tmp_path) == 1
    text = (tmp_path / "report.md").read_text()
    assert "P1 VIOLATED" in text
    assert "#1 nodeos-frozen bp-a for 2 s" in text
    assert json.loads((tmp_path / "history.json").read_text())["plan"]["seed"] == 7


def test_history_without_a_violation_ends_with_0(tmp_path: Path) -> None:
    """A gap, explained or not, is told and is no violation."""
    found = without(history(), 10, 20)
    found.rests.append(Rest(at(30), at(31)))
    assert judge(PLAN, found, tmp_path) == 0
    text = (tmp_path / "report.md").read_text()
    assert "11 slots missed after bp-a" in text
    assert "signed twice, both governed (P1): 0" in text


def test_table_counts_what_each_kind_cost() -> None:
    """Slots and changes of leader stand in the row of the fault that is blamed."""
    from tests.lab.chaos.report import table

    found = without(history(), 10, 20)
    found.done += [done("nodeos-killed", "bp-a", 9, 12), done("etcd-killed", "etcd-1", 3, 4, 2, failed="no")]
    found.changes += [change("bp-a", 10, "stopping", "nodeos_gone", 1), change("bp-b", 20, "leading", "leads", 2)]
    rows = table(found, check(found)).splitlines()
    assert "| nodeos-killed | 1 | 0 | 11 | 1 |" in rows
    assert "| etcd-killed | 0 | 1 | 0 | 0 |" in rows
    assert "| **all** | 1 | 1 | 11 | 2 |" in rows


def test_log_lines_are_read_at_the_labs_own_time() -> None:
    """A transition is taken at the agent's time, unless its wall clock had jumped."""
    line = {"time": "2026-01-01T00:00:00.500Z", "message": "nodeos has resumed", "transition": "leads"}
    whole = json.dumps({**line, "to": "leading", "epoch": 3})
    own = 1767225600.5
    assert parse("bp-a", whole, own + 0.1) == Change("bp-a", own, "leading", "leads", 3, "nodeos has resumed [leads]")
    jumped = parse("bp-a", whole, own + 3600)
    assert isinstance(jumped, Change)
    assert jumped.at == own + 3600
    said = "2026-01-01T00:00:00Z nodeos-failover guard: stopped it"
    assert parse("bp-a", said, 5.0) == Note(5.0, "bp-a", said)
    assert parse("bp-a", "not JSON", 5.0) is None
    guard = parse("bp-a", "Traceback (most recent call last):", 5.0)
    assert isinstance(guard, Note)
    assert DEFECT in guard.text


def test_tail_yields_whole_lines_once(tmp_path: Path) -> None:
    """A line that is still being written waits; a log that was set aside is followed by the new one."""
    log = tmp_path / "log"
    tail = Tail(log)
    assert list(tail.lines()) == []
    log.write_text("one\ntw")
    assert list(tail.lines()) == ["one"]
    with log.open("a") as file:
        file.write("o\n")
    assert list(tail.lines()) == ["two"]
    assert list(tail.lines()) == []
    log.rename(tmp_path / "log.1")
    log.write_text("three\n")
    assert list(tail.lines()) == ["three"]
