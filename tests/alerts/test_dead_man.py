"""The dead man's switch: how often it pings, when it withholds a ping, and what it says of that, once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from agent.alerts.dispatcher import DeadMan
from agent.ports import Delivery
from tests.support.moved_time import MovedTime
from tests.support.recorder import Recorder

WELL = Delivery(ok=True)
FAILED = Delivery(ok=False, retry=True, detail="HTTP 500")


class Bench:
    """A pulse that runs on the test's thread for some minutes."""

    def __init__(self, moved: MovedTime, says: Any, well: Any = "", every_s: float = 60.0) -> None:
        self.moved = moved
        self.service = Recorder({"ping": says, "well": well}, moved, takes_ms=100)
        self.pulse = DeadMan("ops", self._ping, every_s, 5.0, self.service.well)
        self._end_at = 0

    def _ping(self, timeout_s: float) -> Delivery:
        found: Delivery = self.service.ping(timeout_s)
        if self.moved.now >= self._end_at:
            self.pulse.end(0.0)
        return found

    def run(self, minutes: float) -> Bench:
        """Run it."""
        self._end_at = self.moved.now + round(60_000 * minutes)
        self.pulse._run()
        return self

    @property
    def sent(self) -> Mapping[str, int]:
        """What was counted."""
        return self.pulse.stats().sent


def test_it_pings_at_its_interval_within_its_timeout(moved: MovedTime) -> None:
    """Ten minutes are ten or eleven pings, each with the time-out of the channel."""
    bench = Bench(moved, WELL).run(10)
    assert 10 <= bench.sent["ok"] <= 11
    assert {arguments for name, arguments in bench.service.calls if name == "ping"} == {(5.0,)}
    assert bench.pulse.stats().queued == 0


def test_a_ping_that_fails_is_not_repeated_before_its_time(moved: MovedTime) -> None:
    """Whoever waits for pings raises the alarm; a storm of them would not help."""
    bench = Bench(moved, FAILED).run(10)
    assert (bench.sent["ok"], bench.sent["withheld"]) == (0, 0)
    assert 10 <= bench.sent["failed"] <= 11


def test_nothing_is_pinged_while_the_agent_is_not_well(moved: MovedTime) -> None:
    """P2: a silent agent is missed; one that pings though its loop hangs would not be."""
    bench = Bench(moved, WELL, ["the loop hangs", "the loop hangs", ""]).run(2)
    assert bench.service.names[:4] == ["well", "well", "well", "ping"]
    assert bench.sent["withheld"] == 2
    assert bench.sent["ok"] >= 1


def test_what_is_new_is_said_once(moved: MovedTime, caplog: pytest.LogCaptureFixture) -> None:
    """The reason why no ping goes out, another one, and that they go out again."""
    Bench(moved, [FAILED, FAILED, WELL, WELL], ["hangs", "hangs", "no disk", ""]).run(7)
    assert [record.getMessage() for record in caplog.records] == [
        "no ping goes to ops: hangs",
        "no ping goes to ops: no disk",
        "a ping to ops failed: HTTP 500",
        "pings to ops go out again",
    ]


@pytest.mark.usefixtures("no_leaks")
def test_its_thread_ends_at_once() -> None:
    """Without waiting for its interval."""
    pulse = DeadMan("ops", lambda _timeout_s: WELL, 3600.0, 5.0, lambda: "")
    pulse.start()
    pulse.end(0.0)
    pulse._thread.join(10)
    assert not pulse._thread.is_alive()
