"""The id of a host: made once, kept, the same for each agent of the host, never replaced by itself (R13)."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from agent.peers.host_id import host_id


def test_it_is_made_once_and_kept(tmp_path: Path) -> None:
    """A restart reads the same; the directory is made; nothing else is left in it."""
    first = host_id(tmp_path / "state")
    assert len(first) == 32
    assert host_id(tmp_path / "state") == first
    assert [each.name for each in (tmp_path / "state").iterdir()] == ["host-id"]
    assert host_id(tmp_path / "other") != first


def test_agents_that_start_at_once_agree(tmp_path: Path) -> None:
    """Of several agents of one host the first one's id counts for all."""
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(host_id(tmp_path))) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(set(found)) == 1
    assert len(found) == 8


def test_a_damaged_one_is_told_and_not_replaced(tmp_path: Path) -> None:
    """A new id by itself would make another host of this one: the operator says so, by removing the file."""
    (tmp_path / "host-id").write_text("garbage")
    with pytest.raises(ValueError, match="remove it"):
        host_id(tmp_path)


def test_without_a_place_to_keep_it_there_is_none(tmp_path: Path) -> None:
    """Who cannot keep an id has none (R13)."""
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        host_id(tmp_path / "file" / "state")
