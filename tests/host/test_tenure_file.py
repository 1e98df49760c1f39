"""The run-time file with its page: no reader ever finds a longer V than was written, and few files are written."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core.model.chain import ProcessId
from agent.core.model.fields import RecordError
from agent.core.model.peers import Peer
from agent.core.model.runtime_record import Listing, RuntimeRecord
from agent.errors import GateError
from agent.host import page as pages
from agent.host.page import identity
from agent.host.page_file import PageFile
from agent.host.runtime_file import LockedFile
from agent.host.tenure_file import TenureFile
from agent.host.tenure_reader import read
from agent.ports import RuntimeFile

BOOT = "01234567-89ab-cdef-0123-456789abcdef"
OTHER_BOOT = BOOT.replace("0", "f")
RECORD = RuntimeRecord(BOOT, 7, "held", 3, "f00d", 1, 12, 11, 99, 7100, 6000, False, ProcessId(5, 6))
MORE: dict[str, object] = {"guard": {"pause_ms": 300}}


class Bench:
    """A file with its page, and how often the file was written."""

    def __init__(self, root: Path, closing: ExitStack, boot: str = BOOT) -> None:
        self.path = root / "group-a.json"
        self.locked = LockedFile(self.path)
        self.page = PageFile(self.path.with_suffix(".permit"), boot, identity("group", "a"))
        closing.callback(self.page.close)
        self.file = TenureFile(self.locked, self.page)
        self.written = 0
        save = self.locked.save

        def counted(content: bytes, turn: int = 0) -> None:
            self.written += 1
            save(content, turn)

        self.locked.save = counted  # type: ignore[method-assign] # to count

    def save(self, record: RuntimeRecord) -> RuntimeRecord:
        """Save a record."""
        self.file.save(record, MORE)
        return record

    def read(self, *, anew: bool = False) -> RuntimeRecord | None:
        """Return the record as readers find it, but for the number that is the page's own."""
        found = read(self.path, anew=anew)
        return replace(found[0], edition=0) if found else None


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """Yield a file with its page."""
    with ExitStack() as closing:
        yield Bench(tmp_path, closing)


def later(record: RuntimeRecord, ms: int, **more: Any) -> RuntimeRecord:
    """Return a record whose V is so much later."""
    return replace(record, valid_until=record.valid_until + ms, stop_by=record.stop_by + ms, **more)


def test_what_each_confirmation_changes_is_written_into_the_page_alone(bench: Bench) -> None:
    """A tenure that goes on costs one file, however often V grows; every reader finds the newest V."""
    port: RuntimeFile = bench.file
    record = bench.save(RECORD)
    for turn in range(20):
        record = bench.save(later(record, 200, seq=turn + 2, heartbeat_revision=13 + turn))
        assert bench.read() == record
        assert port.load() == read(bench.path)[0]  # type: ignore[index] # there is one
    assert bench.written == 1


@pytest.mark.parametrize(
    "change",
    [
        {"state": "stopping"},
        {"resume_open": True},
        {"process": None},
        {"epoch": 4},
        {"lists": (Listing((Peer("bp-b", "id"),), 2000, 50),)},
        {"valid_until": RECORD.valid_until - 1},
        {"stop_by": RECORD.stop_by - 1},
    ],
)
def test_whatever_else_changes_is_a_file_of_its_own(bench: Bench, change: dict[str, Any]) -> None:
    """R3, R16: a shorter V and every other change stand in the file, so that no older page can outlast them."""
    bench.save(RECORD)
    bench.save(later(RECORD, 0))
    before = bench.path.with_suffix(".permit").read_bytes()
    changed = bench.save(replace(RECORD, **change))
    assert bench.written == 2
    assert bench.read() == changed
    bench.path.with_suffix(".permit").write_bytes(before)
    assert bench.read() == changed, "the page of the edition before counts for nothing"


def test_a_page_that_is_away_or_torn_tells_nothing(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """A reader that cannot read takes no V for granted; the next write mends a page that was taken away."""
    record = bench.save(later(bench.save(RECORD), 500))
    page = bench.path.with_suffix(".permit")
    page.unlink()
    with pytest.raises(RecordError, match="No such file"):
        read(bench.path)
    assert bench.file.load() is None
    assert "cannot be read, starting without" in caplog.text
    assert bench.save(later(record, 200)) == bench.read()
    page.write_bytes(pages.pack(replace(bench.page.page, sequence=bench.page.page.sequence + 1)))
    with pytest.raises(RecordError, match="being written"):
        read(bench.path)
    assert bench.read(anew=True) in (RECORD, later(record, 200)), "who has read nothing goes by the file, never longer"
    assert bench.save(later(record, 400)) == bench.read()


@pytest.mark.parametrize("spoil", [Path.unlink, lambda path: path.write_bytes(b""), lambda path: path.write_text("x")])
@pytest.mark.parametrize("which", [".json", ".permit", "both"])
def test_what_was_taken_away_or_written_into_is_whole_again_with_the_next_confirmation(
    bench: Bench, which: str, spoil: Callable[[Path], None]
) -> None:
    """R3, R8: no guard that begins now misses a tenure, and none pauses a leader that confirms."""
    record = bench.save(later(bench.save(RECORD), 500))
    for suffix in (".json", ".permit") if which == "both" else (which,):
        spoil(bench.path.with_suffix(suffix))
    assert bench.save(later(record, 200)) == bench.read()
    assert bench.save(later(record, 400)) == bench.read()


def test_a_page_that_was_made_longer_is_whole_again(bench: Bench) -> None:
    """A byte too many makes a page one that cannot be read; the next confirmation mends it."""
    record = bench.save(RECORD)
    with bench.path.with_suffix(".permit").open("ab") as page:
        page.write(b"x")
    assert bench.save(later(record, 200)) == bench.read()


def test_a_writer_that_died_in_the_middle_leaves_the_shorter_v(bench: Bench, tmp_path: Path) -> None:
    """R3: the next agent finds half a page, makes it anew, and goes by the file, whose V is an older one."""
    bench.save(RECORD)
    bench.save(later(RECORD, 5000))
    page = bench.path.with_suffix(".permit")
    page.write_bytes(pages.pack(replace(bench.page.page, sequence=bench.page.page.sequence + 1, valid_until=10**9)))
    with ExitStack() as closing:
        again = Bench(tmp_path, closing)
        assert again.read() == RECORD


def test_the_next_agent_goes_on_with_the_newest_v(bench: Bench, tmp_path: Path) -> None:
    """Start and restart: what stands in the page outlives the agent, and what the next one writes is newer than all."""
    bench.save(RECORD)
    last = bench.save(later(RECORD, 5000, seq=9))
    with ExitStack() as closing:
        again = Bench(tmp_path, closing)
        assert again.read() == last
        shorter = again.save(replace(last, agent_pid=8, valid_until=7000, stop_by=5900))
        assert again.read() == shorter


def test_a_page_of_another_boot_says_nothing(bench: Bench, tmp_path: Path) -> None:
    """A page that outlived a reboot counts for no file of this boot, and a file of the old one for no tenure."""
    bench.save(later(bench.save(RECORD), 5000))
    stale = bench.path.with_suffix(".permit").read_bytes()
    with ExitStack() as closing:
        again = Bench(tmp_path, closing, OTHER_BOOT)
        record = again.save(replace(RECORD, boot_id=OTHER_BOOT))
        bench.path.with_suffix(".permit").write_bytes(stale)
        assert again.read() == record


def test_an_end_leaves_nothing_to_stop(bench: Bench) -> None:
    """A removed record is empty for each reader, whatever stands in the page; a new one begins a file of its own."""
    bench.save(RECORD)
    bench.file.remove()
    assert bench.read() is None
    assert bench.save(RECORD) == bench.read()


@pytest.mark.parametrize("before", [True, False], ids=["before the file", "between file and page"])
def test_a_save_that_hung_does_not_come_back(bench: Bench, monkeypatch: pytest.MonkeyPatch, *, before: bool) -> None:
    """R16: a thread that hung while another wrote a shorter V fails, and changes nothing, then or later."""
    bench.save(RECORD)
    hung, go_on, failed = threading.Event(), threading.Event(), []
    stands = PageFile.see_that_it_stands
    save = bench.locked.save

    def hang(content: bytes, turn: int = 0) -> None:
        if not before:
            save(content, turn)
        hung.set()
        assert go_on.wait(10)
        if before:
            save(content, turn)

    def first() -> None:
        try:
            bench.save(later(RECORD, 9000, state="stopping"))
        except OSError as error:
            failed.append(error)

    bench.locked.save = hang  # type: ignore[method-assign] # it hangs once
    thread = threading.Thread(target=first)
    thread.start()
    assert hung.wait(10)
    bench.locked.save = save  # type: ignore[method-assign] # as before
    monkeypatch.setattr(PageFile, "see_that_it_stands", stands)
    second = bench.save(RECORD)
    go_on.set()
    thread.join()
    assert failed
    assert bench.read() == second
    assert bench.save(later(second, 100)) == bench.read()


def test_what_cannot_be_written_is_an_error(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page that cannot be written fails the save, which ends the tenure; the next save is a file of its own."""
    bench.save(RECORD)
    write = os.pwrite

    def fail(*_: Any) -> int:
        raise OSError(28, "no space left")

    monkeypatch.setattr(os, "pwrite", fail)
    with pytest.raises(GateError, match="cannot be written: no space left"):
        bench.save(later(RECORD, 200))
    monkeypatch.setattr(os, "pwrite", write)
    assert bench.save(later(RECORD, 400)) == bench.read()
    assert bench.written == 2


def test_a_reader_beside_a_writer_finds_only_what_was_written(bench: Bench) -> None:
    """R3: while the agent writes page and file without a rest, no reader finds a V that belongs to another record."""
    over = threading.Event()

    def write() -> None:
        record, number = replace(RECORD, seq=5, epoch=5), 5
        while not over.is_set():
            number += 1
            grown = later(record, 200, seq=number)
            record = grown if number % 5 else replace(RECORD, seq=number, epoch=number)
            bench.save(record)

    bench.save(replace(RECORD, seq=5, epoch=5))
    writer = threading.Thread(target=write)
    writer.start()
    good = 0
    try:
        for _ in range(2000):
            try:
                found = bench.read()
            except RecordError:
                continue  # a reader keeps what it read before
            assert found is not None
            good += 1
            assert found.valid_until - found.stop_by == 1100
            assert found.valid_until == RECORD.valid_until + 200 * (found.seq % 5)
            assert found.epoch == found.seq - found.seq % 5
    finally:
        over.set()
        writer.join()
    assert good


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_no_reader_finds_a_longer_v_than_was_written_last(tmp_path_factory: pytest.TempPathFactory, data: Any) -> None:
    """P1: whatever is saved, lost, torn or restarted, what is read was saved since V was last shortened."""
    root = tmp_path_factory.mktemp("any")
    with ExitStack() as closing:
        bench, allowed = Bench(root, closing), [RECORD]
        bench.save(RECORD)
        for _ in range(data.draw(st.integers(1, 12))):
            what = data.draw(st.sampled_from(["grow", "change", "shorten", "tear", "vanish", "restart"]))
            page = root / "group-a.permit"
            if what == "tear":
                page.write_bytes(pages.pack(replace(bench.page.page, sequence=1, valid_until=10**6)))
            elif what == "vanish":
                page.unlink(missing_ok=True)
            elif what == "restart":
                bench = Bench(root, closing)
            else:
                last = allowed[-1]
                ms = data.draw(st.integers(1, 900)) * (-1 if what == "shorten" else 1)
                record = later(last, ms, resume_open=last.resume_open ^ (what == "change"))
                allowed = [*allowed, record] if what == "grow" else [record]
                bench.save(record)
            with suppress(RecordError):
                assert bench.read() in allowed
            assert bench.read(anew=True) in allowed


def test_a_trial_makes_a_page_anew_and_fails_where_that_cannot_be(bench: Bench) -> None:
    """P2: whoever may have to lead has its page, or says why not before it leads."""
    page = bench.path.with_suffix(".permit")
    page.unlink()
    bench.file.try_write()
    assert bench.page.stands()
    page.unlink()
    page.mkdir()
    with pytest.raises(GateError, match="cannot be made anew"):
        bench.file.try_write()
