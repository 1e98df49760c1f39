"""The gate's look at the permit page: each reason for a no, the very edges of a permit, and what is let go of."""

from __future__ import annotations

import fcntl
import os
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.gate.permit import FARTHEST, NotSigned, Permit
from agent.host import page as pages
from agent.host.page import BETWEEN_S, TRIES, Page, Sign, identity
from tests.support.moved_time import MovedTime

pytestmark = pytest.mark.usefixtures("no_leaks")
BOOT, OTHER = "01234567-89ab-cdef-0123-456789abcdef", "11234567-89ab-cdef-0123-456789abcdef"
SPAN_MS = 6000


class Bench:
    """A page that the test writes, and a permit that reads it."""

    def __init__(self, root: Path, time: MovedTime) -> None:
        self.time, self.path = time, root / "page.permit"
        self.open = Page(BOOT, identity("eos", "bp-a"), 3, Sign.OPEN, time.boot() + SPAN_MS, 4, 2)
        self.permit = self.new()

    def new(self, owner: int | None = None) -> Permit:
        """Return the permit of a gate that starts."""
        owner = os.geteuid() if owner is None else owner
        return Permit(self.path, identity("eos", "bp-a"), owner, BOOT, self.time.boot)

    def write(self, page: Page | bytes, mode: int = 0o640) -> None:
        """Put a page in the place of what stands there, in the same file."""
        self.path.touch()
        with self.path.open("r+b") as file:
            file.truncate()
            file.write(page if isinstance(page, bytes) else pages.pack(page))
        self.path.chmod(mode)

    def why(self, permit: Permit | None = None) -> str:
        """Return why no signature may be given, "" if one may."""
        try:
            (permit or self.permit).check()
        except NotSigned as refused:
            return refused.reason
        return ""


@pytest.fixture
def bench(tmp_path: Path, moved: MovedTime) -> Iterator[Bench]:
    """Yield a permit, and let go of it."""
    found = Bench(tmp_path, moved)
    yield found
    found.permit.let_go()


def test_a_permit_holds_until_its_end_and_not_at_it(bench: Bench) -> None:
    """R3: from `until` on, in ms of CLOCK_BOOTTIME, nothing is signed."""
    bench.write(bench.open)
    assert bench.why() == ""
    bench.time.go(SPAN_MS - 1)
    assert bench.why() == ""
    bench.time.go(1)
    assert bench.why() == "expired"


@pytest.mark.parametrize(
    ("page", "why"),
    [
        ({"sign": Sign.CLOSED}, "closed"),
        ({"boot_id": OTHER}, "other_boot"),
        ({"identity": identity("eos", "bp-b")}, "other_node"),
        ({"sequence": 3}, "torn"),
        ({"until": 1_000_000 + FARTHEST + 1}, "damaged"),
        ({"until": 1_000_000 + FARTHEST}, ""),
        ({"until": 0}, "expired"),
    ],
)
def test_whatever_is_not_this_permit_is_a_no(bench: Bench, page: dict[str, Any], why: str) -> None:
    """Closed, of another boot or node, half written, or without a believable end: each has its reason."""
    bench.write(replace(bench.open, **page))
    assert bench.why() == why


@pytest.mark.parametrize("raw", [b"", b"x" * pages.SIZE, b"x" * (pages.SIZE + 1)])
def test_what_is_no_page_is_damaged(bench: Bench, raw: bytes) -> None:
    """Cut short, too long, or something else."""
    bench.write(raw)
    assert bench.why() == "damaged"


def test_a_longer_file_is_no_page(bench: Bench) -> None:
    """A page with something behind it was written by somebody else."""
    bench.write(pages.pack(bench.open) + b"\0")
    assert bench.why() == "damaged"


@pytest.mark.parametrize("field", ["magic", "version", "sign"])
def test_a_page_of_another_kind_is_damaged(bench: Bench, field: str) -> None:
    """Each field alone is enough, though the checksum is right: another version may mean something else by the rest."""
    found: dict[str, Any] = {"magic": pages.MAGIC, "version": pages.VERSION, "sign": 1}
    found[field] = {"magic": b"NFPERMIX", "version": 1, "sign": 2}[field]
    boot = bytes.fromhex(BOOT.replace("-", ""))
    until = bench.time.boot() + SPAN_MS
    body = pages._FORM.pack(*found.values(), 2, boot, identity("eos", "bp-a"), 3, until, 4, 0, 0, 0, 0, 0)
    bench.write((body + pages._SUM.pack(zlib.crc32(body))).ljust(pages.SIZE, b"\0"))
    assert bench.why() == "damaged"


def test_a_torn_page_is_read_again_a_few_times(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write takes microseconds: five reads with a short pause between, and the loop of the gate goes on."""
    bench.write(bench.open)
    torn, reads, whole = pages.pack(replace(bench.open, sequence=3)), list[int](), [TRIES, TRIES + 1]

    def pread(_descriptor: int, size: int, offset: int) -> bytes:
        reads.append(size)
        assert offset == 0
        return torn if len(reads) < whole[0] else pages.pack(bench.open)

    monkeypatch.setattr(os, "pread", pread)
    for why in ("", "torn"):
        reads.clear()
        bench.time.slept.clear()
        assert bench.why() == why
        assert len(reads) == TRIES
        assert bench.time.slept == [BETWEEN_S] * (TRIES - 1)
        whole.pop(0)


def test_a_page_that_cannot_be_read_is_none(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A broken disk is no permit."""
    bench.write(bench.open)
    assert bench.why() == ""

    def pread(*_: Any) -> bytes:
        raise OSError(5, "broken")

    monkeypatch.setattr(os, "pread", pread)
    assert bench.why() == "no_page"


@pytest.mark.parametrize("mode", [0o660, 0o642, 0o646])
def test_a_page_that_others_may_write_is_refused(bench: Bench, mode: int) -> None:
    """Before it is locked, and when its rights change while it is held."""
    bench.write(bench.open, mode)
    assert bench.why() == "other_owner"
    assert bench.permit.file is None
    bench.path.chmod(0o640)
    assert bench.why() == ""
    bench.path.chmod(mode)
    assert bench.why() == "other_owner"


def test_a_page_of_another_user_or_no_file_is_refused(bench: Bench, tmp_path: Path) -> None:
    """Only what the agent's user wrote counts; a link is not followed."""
    bench.write(bench.open)
    assert bench.why(bench.new(owner=os.geteuid() + 1)) == "other_owner"
    real = tmp_path / "real"
    bench.path.rename(real)
    bench.path.symlink_to(real)
    assert bench.why(bench.new()) == "no_page"
    bench.path.unlink()
    bench.path.mkdir()
    assert bench.why(bench.new()) == "other_owner"


def test_of_two_gates_one_has_the_lock(bench: Bench) -> None:
    """The second one signs nothing until the first lets go."""
    bench.write(bench.open)
    second = bench.new()
    assert (bench.why(), bench.why(second)) == ("", "no_lock")
    bench.permit.let_go()
    assert (bench.why(second), bench.why()) == ("", "no_lock")
    second.let_go()


def test_a_page_that_was_replaced_is_let_go_of_at_once(bench: Bench) -> None:
    """R4: who locks the old file later finds that no gate signs by it."""
    bench.write(bench.open)
    assert bench.why() == ""
    held = bench.permit.file
    with bench.path.open("rb") as old:
        bench.path.unlink()
        bench.write(bench.open)
        assert bench.why() == "other_page"
        fcntl.flock(old, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert bench.permit.file is None
    bench.permit.look()
    assert bench.permit.file not in (None, held)
    assert bench.why() == ""


def test_a_page_that_is_gone_is_let_go_of_by_a_look(bench: Bench) -> None:
    """Though nobody asks for a signature."""
    bench.write(bench.open)
    bench.permit.look()
    assert bench.permit.file is not None
    bench.path.unlink()
    bench.permit.look()
    assert bench.permit.file is None
    assert bench.why() == "no_page"
    assert bench.permit.why_not() == "no_page"


@pytest.mark.parametrize(
    ("sign", "number", "closed"),
    [
        (Sign.CLOSED, 4, True),
        (Sign.CLOSED, 3, True),
        (Sign.CLOSED, 5, False),
        (Sign.OPEN, 4, False),
        (Sign.OPEN, 1, False),
    ],
)
def test_a_closing_is_seen_by_its_number(bench: Bench, sign: Sign, number: int, closed: bool) -> None:
    """R4: by that closing or a later one, and not while the page is open for another tenure."""
    bench.write(replace(bench.open, sign=sign))
    assert bench.permit.closed(number) is closed


def test_a_closing_that_cannot_be_seen_is_not_told(bench: Bench) -> None:
    """An unreadable page proves nothing."""
    bench.write(b"")
    with pytest.raises(NotSigned):
        bench.permit.closed(1)
