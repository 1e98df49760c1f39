"""What the gate says of itself: refusals are counted and told now and then, and systemd hears signs of life in time."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from agent.gate.main import ALIVE_S, LINES, SAY_AGAIN_S, STATUS_S, Herald
from tests.support.moved_time import MovedTime
from tests.support.recorder import Recorder


class Bench:
    """A herald whose words are recorded."""

    def __init__(self) -> None:
        self.voice, self.notifier = Recorder(), Recorder()
        voice: Any = self.voice
        notifier: Any = self.notifier
        self.herald = Herald(voice, notifier)
        self.server: Any = SimpleNamespace(
            counts=SimpleNamespace(signed=7, refused={"closed": 2, "gone": 3}), wallet=SimpleNamespace(state="ready")
        )

    def said(self) -> list[str]:
        """Flush, and return what was said since the last time."""
        before = len(self.voice.calls)
        self.herald.flush(self.server)
        return [arguments[0] for _, arguments in self.voice.calls[before:]]

    def told(self, word: str) -> list[str]:
        """Return what systemd was told."""
        return [line for _, lines in self.notifier.calls for line in lines if line.startswith(word)]


@pytest.fixture
def bench(moved: MovedTime) -> Bench:
    """Return a herald in time that is moved."""
    return Bench()


def test_a_storm_of_refusals_is_a_line_in_five_seconds(bench: Bench, moved: MovedTime) -> None:
    """Ten requests a second for a minute are a dozen lines, and each says how many it stands for."""
    lines: list[str] = []
    for _ in range(600):
        bench.herald.refused("closed", "")
        lines += bench.said()
        moved.go(100)
    assert 11 <= len(lines) <= 1 + 60 / SAY_AGAIN_S
    assert lines[0] == "refused 1 x closed"
    assert set(lines[1:]) == {"refused 50 x closed"}


def test_reasons_are_told_apart(bench: Bench) -> None:
    """One that storms does not hide another one, which is told with its words."""
    bench.herald.refused("closed", "")
    bench.herald.refused("closed", "")
    bench.herald.refused("other_user", "user 7 asks")
    assert bench.said() == ["refused 1 x closed; refused 1 x other_user: user 7 asks"]
    assert bench.said() == []


def test_lines_that_wait_are_bounded(bench: Bench) -> None:
    """Many reasons at once are a bounded line; the rest is told later, with its count."""
    for number in range(LINES + 5):
        bench.herald.refused(f"reason{number}", "")
    (line,) = bench.said()
    assert line.count("refused") == LINES
    for _ in range(3):
        bench.herald.refused(f"reason{LINES}", "")
    assert bench.said() == [f"refused 2 x reason{LINES}"]


def test_systemd_hears_signs_of_life_and_a_state(bench: Bench, moved: MovedTime) -> None:
    """Two signs a second, and a line of state in five seconds, however often the loop turns."""
    for _ in range(1000):
        bench.said()
        moved.go(10)
    assert len(bench.told("WATCHDOG")) == pytest.approx(10 / ALIVE_S, abs=1)
    assert len(bench.told("STATUS")) == pytest.approx(10 / STATUS_S, abs=1)
    assert bench.told("STATUS")[0] == "STATUS=7 signed, 5 refused; keosd: ready"
