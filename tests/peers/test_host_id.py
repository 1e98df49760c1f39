"""The id of a host: made once, kept, the same for each agent of the host, never replaced by itself (R13)."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from agent.peers.host_id import cards, host_id, read_id


def test_it_is_made_once_and_kept(tmp_path: Path) -> None:
    """A restart reads the same; the directory is made; nothing else is left in it."""
    first = host_id(tmp_path / "state", tmp_path)
    assert len(first) == 32
    assert host_id(tmp_path / "state", tmp_path) == first
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


def host(path: Path, *addresses: str) -> Path:
    """Return what the kernel shows of a host's network cards, beside one that software has made up."""
    (path / "lo").mkdir(parents=True)
    (path / "lo" / "address").write_text("00:00:00:00:00:00\n")
    for number, each in enumerate(addresses):
        (path / f"eth{number}" / "device").mkdir(parents=True)
        (path / f"eth{number}" / "address").write_text(f"{each}\n")
    return path


def test_a_clone_with_its_disk_has_no_id(tmp_path: Path) -> None:
    """P1, R13: a copy of the disk on a host with other network cards is not the one that is named, and is told why."""
    first, clone = host(tmp_path / "first", "52:54:00:00:00:01"), host(tmp_path / "clone", "52:54:00:00:00:02")
    found = host_id(tmp_path / "state", first)
    for read in (host_id, read_id):
        with pytest.raises(ValueError, match=r"other network cards .*:01\): if this host is a copy, remove .*/host-id"):
            read(tmp_path / "state", clone)
    assert host_id(tmp_path / "state", first) == found
    (tmp_path / "state" / "host-id").unlink()
    new = host_id(tmp_path / "state", clone)
    assert new != found
    assert read_id(tmp_path / "state", clone) == new


def test_a_host_keeps_its_id_while_one_of_its_cards_stays(tmp_path: Path) -> None:
    """P2, R13: a card that is added, replaced or renamed beside another costs nothing; nor do cards nobody can see."""
    one, two = "52:54:00:00:00:01", "52:54:00:00:00:02"
    found = host_id(tmp_path / "state", host(tmp_path / "first", one))
    assert host_id(tmp_path / "state", host(tmp_path / "second", one, two)) == found
    assert host_id(tmp_path / "state", host(tmp_path / "third", two)) == found
    assert host_id(tmp_path / "state", host(tmp_path / "none")) == found
    assert cards(tmp_path / "nowhere") == frozenset()
