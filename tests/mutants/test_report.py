"""What `make mutants` keeps and tells: a run goes on where the last one ended; what changes nothing does not count."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from tests.mutants import report
from tests.mutants.report import Result, Results
from tests.mutants.trial import ENDLESS, KILLED, SURVIVED

FOUND = Result("agent/x/a.py", "h1", 0, 12, "a = 1", "a = 2", KILLED)
MISSED = replace(FOUND, number=1, line=14, before="b = 1", after="b = 2", became=SURVIVED)
HASHES = {"agent/x/a.py": "h1", "agent/y.py": "h2"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return a file with what was tried."""
    results = Results(tmp_path / "results.jsonl", HASHES)
    for each in (FOUND, MISSED, replace(FOUND, module="agent/y.py", hash="h2", became=ENDLESS)):
        results.add(each)
    return tmp_path / "results.jsonl"


def test_shares_are_told_by_folder_and_misses_with_their_line(file: Path) -> None:
    """One of two in one folder, and one of one in the other; what did not end counts as found."""
    lines = Results(file, HASHES).lines({"agent/x/a.py": 40, "agent/y.py": 7})
    assert [" ".join(line.split()) for line in lines] == [
        "agent 100.0% 1 of 1 found, 7 can be made",
        "y.py 100.0% 1 of 1",
        "agent/x 50.0% 1 of 2 found, 40 can be made",
        "a.py 50.0% 1 of 2",
        "agent/x/a.py:14: b = 1 -> b = 2",
    ]


def test_what_was_tried_is_not_tried_again_until_its_module_changes(file: Path) -> None:
    """One that was missed is tried anew on demand, for tests may have come."""
    results = Results(file, HASHES)
    assert results.known("agent/x/a.py", 0, again=False)
    assert results.known("agent/x/a.py", 0, again=True)
    assert results.known("agent/x/a.py", 1, again=False)
    assert not results.known("agent/x/a.py", 1, again=True)
    assert not results.known("agent/x/a.py", 2, again=False)
    assert not Results(file, HASHES | {"agent/x/a.py": "h9"}).known("agent/x/a.py", 0, again=False)


def test_what_changes_nothing_does_not_count(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is known by its file and its two lines, wherever the file lies."""
    listed = tmp_path / "equivalent.toml"
    listed.write_text('[[mutant]]\nfile = "a.py"\nbefore = "b = 1"\nafter = "b = 2"\nreason = "nobody reads b"\n')
    monkeypatch.setattr(report, "EQUIVALENT", listed)
    lines = Results(file, HASHES).lines({"agent/x/a.py": 40})
    assert "agent/x/a.py:14" not in "\n".join(lines)
    assert "100.0%  1 of 1" in lines[0]


def test_each_one_that_is_listed_has_a_reason() -> None:
    """Else the list would be a way to look away."""
    for each in tomllib.loads(report.EQUIVALENT.read_text())["mutant"]:
        assert set(each) == {"file", "before", "after", "reason"}
        assert len(each["reason"]) > 20


def test_each_one_that_is_listed_still_stands() -> None:
    """A line that was rewritten, or a file with another name, would leave its entry behind."""
    for each in tomllib.loads(report.EQUIVALENT.read_text())["mutant"]:
        files = (Path(__file__).parents[2] / "agent").rglob(each["file"])
        assert any(each["before"] in map(str.strip, file.read_text().splitlines()) for file in files), each
