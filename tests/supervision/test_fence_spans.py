"""How long `fence --local` gives whom: nodeos's end keeps to the confirmation, and the block in flight is awaited."""

from __future__ import annotations

from typing import Any

import pytest

from agent.adapters.endpoint import parse_endpoint
from agent.adapters.finder import FencePlan
from agent.core.chain import ProcessId
from agent.supervision import fence
from agent.supervision.means import Armed, Means
from tests.support.moved_time import MovedTime
from tests.support.recorder import Recorder

URL = "http://127.0.0.1:1"
NODEOS = ProcessId(5, 77)
PAUSE_S, BLOCK_S, KILL_S, SLACK_S, TERM_S = 0.3, 0.5, 0.2, 0.1, 5.0


class Stop:
    """Means whose calls to nodeos are recorded; a pause takes 50 ms and is answered as the test says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, time: MovedTime) -> None:
        self.means = Means(parse_endpoint(URL), FencePlan(URL), PAUSE_S, BLOCK_S, KILL_S, SLACK_S, TERM_S)
        self.calls = Recorder({"paused": True, "end": "nodeos ended", "listens": True}, time, takes_ms=50)
        for name in ("paused", "end", "listens"):
            monkeypatch.setattr(Means, name, lambda _means, *given, _name=name: getattr(self.calls, _name)(*given))

    def armed(self, time: MovedTime, left_ms: int, **changes: Any) -> Armed:
        """Return a tenure whose validity ends so soon."""
        until = time.boot() + left_ms
        fields = {"stopping": False, "resume_open": False, **changes}
        return Armed(7, until - 800, until, process=NODEOS, means=self.means, **fields)


@pytest.fixture
def stop(monkeypatch: pytest.MonkeyPatch, moved: MovedTime) -> Stop:
    """Return means that are recorded, in time that is moved."""
    return Stop(monkeypatch, moved)


@pytest.mark.parametrize(
    ("left_ms", "term_s"), [(1050, 0.7), (10_000, TERM_S), (350, 0.0), (0, 0.0), (-60_000, 0.0)], ids=str
)
def test_sigterm_gets_what_the_confirmation_leaves(stop: Stop, moved: MovedTime, left_ms: int, term_s: float) -> None:
    """R3: with 1 s of validity left after the pause, K 0.2 s and G 0.1 s nodeos has 0.7 s to end by itself."""
    stop.calls.says["paused"] = False
    assert fence.stop(stop.armed(moved, left_ms), stop.means) == "nodeos ended"
    assert stop.calls.calls[-1] == ("end", (NODEOS, pytest.approx(term_s)))


def test_an_open_resume_is_not_paused_first(stop: Stop, moved: MovedTime) -> None:
    """R4: a pause proves nothing then, and its time would be taken from nodeos's end."""
    fence.stop(stop.armed(moved, 1000, resume_open=True), stop.means)
    assert stop.calls.calls == [("end", (NODEOS, pytest.approx(0.7)))]


@pytest.mark.parametrize("led", [True, False])
def test_the_block_in_flight_is_awaited(stop: Stop, moved: MovedTime, led: bool) -> None:
    """R4: with a tenure in the file or without one, a pause is proven B after its answer and no earlier."""
    assert fence.stop(stop.armed(moved, 60_000) if led else None, stop.means) == "nodeos is paused"
    assert stop.calls.names == ["paused"]
    assert moved.passed_s == pytest.approx(0.05 + BLOCK_S)


def test_a_busy_nodeos_is_asked_again_for_a_moment(
    stop: Stop, moved: MovedTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nobody led, a pause without an answer is tried for a second, not without a pause, and then nodeos ends."""
    found: Any = Recorder()
    found.id = NODEOS
    monkeypatch.setattr(fence, "ProcessFence", lambda _plan: Recorder({"find": found}))
    stop.calls.says["paused"] = False
    assert fence.stop(None, stop.means) == "nodeos ended"
    tries = stop.calls.names.count("paused")
    assert fence.TRIES_S <= moved.passed_s < fence.TRIES_S + 0.3
    assert 5 <= tries <= 12
    assert stop.calls.calls[-1] == ("end", (NODEOS, TERM_S))
    assert found.names == ["close"], "its descriptor is closed, however it ended"


def test_a_nodeos_that_takes_the_second_pause_stays(stop: Stop, moved: MovedTime) -> None:
    """It was busy for a moment: B counts from the pause that it took."""
    stop.calls.says["paused"] = [False, False, True]
    assert fence.stop(None, stop.means) == "nodeos is paused"
    assert moved.now - stop.calls.at[-1] >= 1000 * BLOCK_S
