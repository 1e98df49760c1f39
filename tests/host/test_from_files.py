"""What is made of files follows them: at the next use, whatever changed, and never to something that cannot be used."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from agent.host.from_files import SETTLED_S, FromFiles


def settle(path: Path) -> None:
    """Let a file look as if it had been written long ago: only another time stamp tells of a change then."""
    old = path.stat().st_mtime - 10 * SETTLED_S
    os.utime(path, (old, old))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file with a word."""
    path = tmp_path / "word"
    path.write_text("one")
    return path


def test_a_change_is_seen_at_the_next_use(file: Path) -> None:
    """Written in place or replaced, the next use has what stands there, also twice within one time stamp."""
    value = FromFiles("word", [file], file.read_text)
    assert value() == "one"
    for word in ("two", "six", "ten"):
        stamp = file.stat()
        file.write_text(word)
        os.utime(file, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
        assert value() == word
    other = file.with_suffix(".new")
    other.write_text("new")
    other.replace(file)
    assert value() == "new"


def test_what_cannot_be_used_leaves_what_was_read(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A file that is gone or wrong is told, and ends nothing; the next right one is taken."""
    value = FromFiles("etcd.password_file", [file], lambda: str(int(file.read_text(), 36)))
    first = value()
    with caplog.at_level(logging.WARNING):
        file.unlink()
        assert value() == first
        assert "etcd.password_file: a changed file cannot be used" in caplog.text
        file.write_text("not a number!")
        assert value() == first
    file.write_text("z")
    assert value() == "35"


def test_the_first_reading_raises(tmp_path: Path) -> None:
    """An agent does not start with what cannot be used."""
    with pytest.raises(OSError, match="No such file"):
        FromFiles("word", [tmp_path / "none"], (tmp_path / "none").read_text)


def test_nothing_is_read_while_nothing_changes(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To look costs a stat: what lies still is not read again."""
    reads: list[str] = []

    def read() -> str:
        reads.append(file.read_text())
        return reads[-1]

    value = FromFiles("word", [file, None], read)
    now = file.stat().st_ctime + 2 * SETTLED_S
    monkeypatch.setattr("agent.host.from_files.time.time", lambda: now)
    for _ in range(5):
        assert value() == "one"
    assert len(reads) <= 2
    settle(file)
    assert value() == "one"
    assert len(reads) <= 3
