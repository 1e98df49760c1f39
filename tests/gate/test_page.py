"""The permit page: what is written is read, and what is torn, foreign or damaged is refused."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from agent.errors import GateError
from agent.gate.client import FileGate
from agent.host import page as pages
from agent.host.page import Page, PageError, Sign
from agent.host.page_file import PageFile

BOOT = "01234567-89ab-cdef-0123-456789abcdef"
WHO = pages.identity("lab", "bp-a")


def test_page_comes_back_as_written() -> None:
    """What is packed is unpacked, in the fixed size."""
    page = Page(BOOT, WHO, 7, Sign.OPEN, 123456, 3, 8)
    raw = pages.pack(page)
    assert len(raw) == pages.SIZE
    assert pages.unpack(raw) == page


def test_every_flipped_byte_is_seen() -> None:
    """No byte before the checksum's end can change unseen (P1)."""
    raw = pages.pack(Page(BOOT, WHO, 7, Sign.OPEN, 123456, 3, 8))
    for at in range(pages.USED):
        broken = bytearray(raw)
        broken[at] ^= 0x40
        with pytest.raises(PageError):
            pages.unpack(bytes(broken))


@pytest.mark.parametrize(
    "raw", [b"", b"\0" * pages.SIZE, pages.pack(Page(BOOT, WHO))[:-1], b"NFPERMIT" + b"\xff" * 120]
)
def test_what_is_no_page_is_refused(raw: bytes) -> None:
    """An empty, short or foreign file is no permit."""
    with pytest.raises(PageError):
        pages.unpack(raw)


def test_a_page_that_is_being_written_is_torn() -> None:
    """An odd sequence number means that a write is under way."""
    with pytest.raises(PageError, match="being written") as caught:
        pages.unpack(pages.pack(Page(BOOT, WHO, sequence=3)))
    assert caught.value.reason == "torn"


def test_mixed_halves_are_torn() -> None:
    """The beginning of one page and the end of another are never taken for a page, wherever the cut is."""
    old = pages.pack(Page(BOOT, WHO, 7, Sign.CLOSED, 0, 3, 8))
    new = pages.pack(Page(BOOT, WHO, 8, Sign.OPEN, 99999, 4, 10))
    for cut in range(1, pages.USED):
        mixed = new[:cut] + old[cut:]
        if mixed not in (old, new):
            with pytest.raises(PageError):
                pages.unpack(mixed)


def test_reader_sees_whole_pages_while_they_are_written(tmp_path: Path) -> None:
    """A reader beside a writer that never rests sees only pages that were written, or that one is being written."""
    file = PageFile(tmp_path / "a.permit", BOOT, WHO)
    over = threading.Event()

    def write() -> None:
        number = 0
        while not over.is_set():
            number += 1
            file.write(Page(BOOT, WHO, number, Sign.OPEN, number * 3, number * 5))

    writer = threading.Thread(target=write)
    writer.start()
    good = 0
    try:
        descriptor = os.open(tmp_path / "a.permit", os.O_RDONLY)
        for _ in range(20_000):
            try:
                page = pages.unpack(os.pread(descriptor, pages.SIZE + 1, 0))
            except PageError as error:
                assert error.reason == "torn"
            else:
                good += page.epoch > 0
                assert (page.until, page.close_number) == (page.epoch * 3, page.epoch * 5)
        os.close(descriptor)
    finally:
        over.set()
        writer.join()
    assert good


def test_restarted_agent_finds_its_page(tmp_path: Path) -> None:
    """The page stays over a restart of the agent; of another boot or node it is closed."""
    path = tmp_path / "a.permit"
    gate = FileGate(PageFile(path, BOOT, WHO), tmp_path / "none", lambda: 5)
    gate.permit(7, 1000)
    again = PageFile(path, BOOT, WHO)
    assert (again.page.epoch, again.page.sign, again.page.until) == (7, Sign.OPEN, 1000)
    assert path.stat().st_mode & 0o777 == 0o640
    for boot, who in ((BOOT.replace("0", "1"), WHO), (BOOT, pages.identity("lab", "bp-b"))):
        gate.permit(7, 1000)
        assert PageFile(path, boot, who).page.sign is Sign.CLOSED


def test_page_is_never_written_through_a_link(tmp_path: Path) -> None:
    """The link is replaced, and what it leads to stays as it is."""
    (tmp_path / "target").write_bytes(b"x")
    (tmp_path / "a.permit").symlink_to(tmp_path / "target")
    assert PageFile(tmp_path / "a.permit", BOOT, WHO).stands()
    assert (tmp_path / "target").read_bytes() == b"x"


def test_closing_without_a_gate_is_proven_by_the_lock(tmp_path: Path) -> None:
    """Where no gate holds the page nothing can be signed (R4), and the same epoch gets no permit again (R3)."""
    gate = FileGate(PageFile(tmp_path / "a.permit", BOOT, WHO), tmp_path / "none", lambda: 5)
    gate.permit(7, 1000)
    proof = gate.close(0.5)
    assert (proof.how, proof.quiet_since) == ("no gate runs", 5)
    assert gate.page.sign is Sign.CLOSED
    with pytest.raises(GateError, match="epoch 7"):
        gate.permit(7, 2000)
    gate.permit(8, 2000)
    assert (gate.page.epoch, gate.page.until) == (8, 2000)
