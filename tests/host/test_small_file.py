"""What stands in the place of a file of ours may be anything: nobody who reads or writes one waits for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from agent.errors import ConfigError, FenceError
from agent.guard.fence import read_file, read_plan
from agent.guard.stop import read
from agent.host.clock import boot_id
from agent.host.paths import Files, find, refusal
from agent.host.process import by_pid_file
from agent.host.runtime_file import LockedFile
from agent.host.small_file import draft, read_whole, write_whole
from agent.keepalived.local_check import leave_stamp
from agent.peers.host_id import CARDS, NAME, host_id
from agent.runtime.reload import read_note
from tests.support.odd_files import KINDS, put

pytestmark = pytest.mark.timeout(10)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_file_of_ours_is_not_read(kind: str, tmp_path: Path) -> None:
    """A pipe, a device, 10 GB, a loop: an error at once, without a wait for a writer and without the memory."""
    with pytest.raises(OSError, match=r"at"):
        read_whole(put(kind, tmp_path / "at"))


def test_a_file_is_read_to_its_bound(tmp_path: Path) -> None:
    """As many bytes as a file may have are no error, one more is."""
    path = tmp_path / "at"
    path.write_bytes(b"abc")
    assert read_whole(path, most=3) == b"abc"
    with pytest.raises(OSError, match="more than 2 bytes"):
        read_whole(path, most=2)


def unread(path: Path) -> NoReturn:
    """Raise OSError for a reader that goes on with nothing."""
    raise OSError(f"{path} was not read")


READERS: dict[str, Callable[[Path], object]] = {
    "the run-time file, by a guard": lambda at: read(at, boot_id()),
    "the run-time file, by a fence": lambda at: read_file(at)[0].armed or unread(at),
    "the plan, by a fence": lambda at: read_plan(Files(at.with_suffix(".json"))) or unread(at),
    "the plan, for a refusal": lambda at: refusal(Files(at.with_suffix(".json"))) or unread(at),
    "the configuration, by a fence": lambda at: find(at, {}),
    "open alerts": lambda at: LockedFile(at).load() or unread(at),
    "the note of a reload": read_note,
    "the id of the host": lambda at: host_id(at.parent),
    "a pid file": lambda at: by_pid_file(str(at)) or unread(at),
}
NAMES = {"the plan, by a fence": "g-n.plan", "the plan, for a refusal": "g-n.plan", "the id of the host": NAME}


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "missing"])
@pytest.mark.parametrize("reader", READERS)
def test_no_reader_of_a_file_hangs(reader: str, kind: str, tmp_path: Path) -> None:
    """R3: who guards goes on with what it knew; a pipe at the wrong place must not hold up what stops nodeos."""
    at = put(kind, tmp_path / "run" / NAMES.get(reader, "g-n.json"))
    with pytest.raises((OSError, ValueError, ConfigError, FenceError)):
        READERS[reader](at)


@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_the_cards_of_a_host_are_not_waited_for(kind: str, tmp_path: Path) -> None:
    """R13: the id is there, and what stands beside it is no file: that is told, at once."""
    host_id(tmp_path / "state")
    cards = tmp_path / "state" / CARDS
    cards.unlink(missing_ok=True)
    put(kind, cards)
    with pytest.raises(OSError, match=CARDS):
        host_id(tmp_path / "state")


@pytest.mark.parametrize("kind", ["pipe", "device", "huge", "loop", "socket"])
@pytest.mark.parametrize("write", [lambda at: write_whole(at, "new"), leave_stamp], ids=["a file", "a stamp"])
def test_a_writer_replaces_what_stands_in_its_way(write: Callable[[Path], None], kind: str, tmp_path: Path) -> None:
    """An agent leaves its plan before it does anything: neither the file nor its draft may hold it up."""
    at = put(kind, tmp_path / "run" / "g-n.plan")
    put(kind, draft(at))
    write(at)
    assert at.is_file()
    assert not at.is_symlink()
    assert at.stat().st_size < 100
