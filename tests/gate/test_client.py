"""The agent's hand on the permit page: how long a closing may take, how often it asks, and that files are let go of."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.errors import GateError
from agent.gate import client as hand
from agent.gate.client import FileGate
from agent.gate.control import BOUNDS
from agent.host import page as pages
from agent.host.deadline import Deadline
from agent.host.page import Sign, identity, unpack
from agent.host.page_file import PageFile
from agent.ports import Closed, GateStatus
from tests.support.leaks import descriptors
from tests.support.moved_time import MovedTime
from tests.support.odd_files import put

pytestmark = pytest.mark.usefixtures("no_leaks")
BOOT = "01234567-89ab-cdef-0123-456789abcdef"


class Bench:
    """A page that a gate has locked, and what the gate says; each answer takes `takes_ms`."""

    def __init__(self, root: Path, time: MovedTime, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path = root / "page.permit"
        self.time, self.takes_ms = time, 20
        self.says: dict[str, Any] = {}
        self.asked: list[tuple[str, float]] = []
        self.page = PageFile(self.path, BOOT, identity("eos", "bp-a"))
        self.gate = FileGate(self.page, root / "control", time.boot)
        self._lock = os.open(self.path, os.O_RDONLY)
        fcntl.flock(self._lock, fcntl.LOCK_SH)
        monkeypatch.setattr(hand, "ask", self._ask)

    def _ask(self, _control: Path, question: str, deadline: Deadline) -> dict[str, Any]:
        self.asked.append((question, deadline.remaining()))
        self.time.go(self.takes_ms)
        if not self.says:
            raise GateError("no answer")
        return self.says

    def closed(self, **more: Any) -> dict[str, Any]:
        """Return the answer that proves a closing."""
        return {"closed": self.page.page.close_number + 1, "page": list(self.page.file), "quiet_since": 900, **more}

    def let_go(self) -> None:
        """Close all."""
        if self._lock >= 0:
            os.close(self._lock)
        self._lock = -1

    def close(self) -> None:
        """End it."""
        self.let_go()
        self.gate.let_go()


@pytest.fixture
def bench(tmp_path: Path, moved: MovedTime, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """Yield a hand on a page that a gate has locked."""
    found = Bench(tmp_path, moved, monkeypatch)
    yield found
    found.close()


def test_a_gate_that_says_so_proves_the_closing(bench: Bench) -> None:
    """R4: the moment of the proof is the one from which on nothing was signed, by the gate's own word."""
    bench.gate.permit(3, bench.time.boot() + 6000)
    assert bench.page.page.sign is Sign.OPEN
    bench.says = bench.closed()
    found = bench.gate.close(0.5)
    assert found == Closed("the gate said so", 900)
    ((question, span),) = bench.asked
    assert question == "closed 1"
    assert span == pytest.approx(0.5)
    assert (bench.page.page.sign, bench.page.page.until) == (Sign.CLOSED, 0)


def test_all_questions_share_the_time_of_the_closing(bench: Bench) -> None:
    """A gate that does not answer is asked again, each time with what is left, and given up at the deadline."""
    with pytest.raises(GateError, match="is not proven closed: no answer"):
        bench.gate.close(0.5)
    spans = [span for _, span in bench.asked]
    begun = (0, 25, 55, 95, 155, 225, 295, 365, 435, 478)  # ms: pauses of 5, 10, 20, 40, 50 ...
    assert spans == [pytest.approx(0.5 - each / 1000, abs=0.002) for each in begun]
    assert bench.time.passed_s == pytest.approx(0.5, abs=0.03)


def test_a_gate_that_says_no_at_once_is_not_asked_without_a_pause(bench: Bench) -> None:
    """Answers that take no time are a dozen questions in half a second, not thousands."""
    bench.takes_ms, bench.says = 0, {"closed": None, "why": "the page is open"}
    with pytest.raises(GateError, match="the page is open"):
        bench.gate.close(0.5)
    assert 12 <= len(bench.asked) <= 18


@pytest.mark.parametrize("spoilt", [{"closed": 2}, {"closed": None}, {"page": [1, 2]}, {"page": None}])
def test_an_answer_about_something_else_proves_nothing(bench: Bench, spoilt: dict[str, Any]) -> None:
    """R4: the number of this very closing, and the very page that the agent writes."""
    bench.says = bench.closed(**spoilt)
    with pytest.raises(GateError, match="not proven closed"):
        bench.gate.close(0.1)


def test_a_page_that_nobody_has_locked_is_a_proof(bench: Bench) -> None:
    """No gate runs, so nothing is signed; nobody is asked."""
    bench.let_go()
    assert bench.gate.close(0.5).how == "no gate runs"
    assert not bench.asked


def test_each_word_on_the_page_has_a_number_of_its_own(bench: Bench) -> None:
    """It is even while the page is whole and grows with each write: a reader tells by it that it read two halves."""
    seen = [bench.page.page.sequence]
    for _ in range(3):
        bench.gate.permit(3, bench.time.boot() + 6000)
        assert pages.unpack(bench.path.read_bytes()) == bench.page.page
        seen.append(bench.page.page.sequence)
    assert seen == sorted(set(seen))
    assert not [number for number in seen if number % 2]


def test_what_was_closed_is_not_opened_again(bench: Bench) -> None:
    """R3: a tenure that has begun to stop is over, also at the gate; the next one may sign."""
    bench.gate.permit(3, bench.time.boot() + 6000)
    with pytest.raises(GateError):
        bench.gate.close(0.01)
    with pytest.raises(GateError, match="epoch 3 was closed"):
        bench.gate.permit(3, bench.time.boot() + 6000)
    assert bench.page.page.sign is Sign.CLOSED
    bench.gate.permit(4, bench.time.boot() + 6000)
    assert (bench.page.page.sign, bench.page.page.epoch) == (Sign.OPEN, 4)


def test_a_page_that_was_taken_away_still_counts_while_it_is_locked(bench: Bench) -> None:
    """R4: a gate that was frozen meanwhile could sign by the old page, so a new one without a lock proves nothing."""
    bench.path.unlink()
    with pytest.raises(GateError, match="no answer"):
        bench.gate.status(0.1)
    assert bench.page.stands(), "it was made anew"
    with pytest.raises(GateError, match="not proven closed"):
        bench.gate.close(0.1)
    bench.let_go()
    assert bench.gate.close(0.1).how == "no gate runs"


@pytest.mark.parametrize("call", ["fchmod", "pread", "ftruncate", "pwrite"])
def test_a_page_that_cannot_be_used_is_let_go_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    """Whatever fails while it is opened, the error names the remedy, and no descriptor stays."""

    def fail(*_: Any) -> Any:
        raise OSError(5, "the disk is broken")

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(GateError, match=r"page\.permit cannot be"):
        PageFile(tmp_path / "page.permit", BOOT, identity("eos", "bp-a"))


@pytest.mark.parametrize("call", ["fchmod", "pwrite", "replace"])
def test_a_page_that_cannot_be_made_anew_leaves_nothing_open(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """The look fails with the remedy each time, and costs no descriptor each time."""
    bench.path.unlink()

    def fail(*_: Any) -> Any:
        raise OSError(28, "no space left")

    monkeypatch.setattr(Path if call == "replace" else os, call, fail)
    before = descriptors()
    for _ in range(5):
        with pytest.raises(GateError, match="cannot be made anew"):
            bench.gate.status(0.1)
    assert descriptors() == before


@pytest.mark.parametrize("kind", ["pipe", "device", "loop", "socket", "another user's"])
def test_what_is_no_file_of_ours_is_replaced_by_a_closed_page(tmp_path: Path, kind: str) -> None:
    """P2: an agent that starts makes it anew, as one that runs does: else the node would lead no more."""
    path = tmp_path / "page.permit"
    if kind == "another user's":
        PageFile(path, BOOT, identity("eos", "bp-a")).close()
        try:
            os.chown(path, 65534, 65534)
        except PermissionError:
            pytest.skip("only root gives files away")
    else:
        put(kind, path)
    before = descriptors()
    page = PageFile(path, BOOT, identity("eos", "bp-a"))
    assert page.stands()
    assert unpack(path.read_bytes()).sign is Sign.CLOSED
    page.close()
    assert descriptors() == before


def test_a_directory_in_the_place_of_the_page_is_told(tmp_path: Path) -> None:
    """What cannot be replaced is named with the remedy, and costs no descriptor."""
    (tmp_path / "page.permit").mkdir()
    before = descriptors()
    with pytest.raises(GateError, match=r"cannot be used: .*; remove it"):
        PageFile(tmp_path / "page.permit", BOOT, identity("eos", "bp-a"))
    assert descriptors() == before


SAYS = {
    "pid": 1,
    "started": 2,
    "page": [3, 4],
    "keosd": "ready",
    "refuses": "torn",
    "signed": 5,
    "last_signature": 6,
    "refused": {"closed": 7},
    "latency": list(range(len(BOUNDS) + 1)),
    "seconds": 0.5,
}


def test_what_a_gate_says_of_itself_is_read_field_by_field(bench: Bench) -> None:
    """Each in its own place; whether it holds our page is told by device and inode; none signed yet is no 0."""
    bench.says = dict(SAYS)
    expected = GateStatus(1, 2, False, "ready", 5, 6, {"closed": 7}, tuple(range(len(BOUNDS) + 1)), 0.5, "torn")
    assert bench.gate.status(0.3) == expected
    ((question, span),) = bench.asked
    assert (question, round(span, 3)) == ("status", 0.3)
    bench.says |= {"page": list(bench.page.file), "last_signature": None}
    assert bench.gate.status(0.3) == replace(expected, holds=True, last_signature=None)
    del bench.says["refuses"]
    assert bench.gate.status(0.3).refuses == "", "one of an earlier version"


@pytest.mark.parametrize(
    "spoilt",
    [{"pid": None}, {"started": -1}, {"signed": True}, {"refused": []}, {"latency": [0]}, {"refused": {"x": "y"}}],
)
def test_what_cannot_be_read_is_no_word_of_a_gate(bench: Bench, spoilt: dict[str, Any]) -> None:
    """Another version, or something else behind the socket: an error, and not a gate that is well."""
    bench.says = SAYS | spoilt
    with pytest.raises(GateError, match="the signing gate's answer"):
        bench.gate.status(0.3)
