"""Other channels while the agent runs: what was not told yet is told by the successor, the rest goes on undisturbed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from agent.alerts.dispatcher import AlertDispatcher
from agent.alerts.worker import Channel
from agent.core.alerts.notice import Notice
from agent.ports import Delivery

pytestmark = pytest.mark.usefixtures("no_leaks")


class Sink:
    """A sink that notes what arrives, and hangs while its gate is closed."""

    def __init__(self, name: str, *, opened: bool = True) -> None:
        self.name = name
        self.keys: list[str] = []
        self.gate = threading.Event()
        if opened:
            self.gate.set()

    def send(self, told: Notice, timeout_s: float) -> Delivery:
        """Wait for the gate; then it has arrived."""
        if not self.gate.wait(timeout_s):
            return Delivery(ok=False, retry=True, detail="hangs")
        self.keys.append(told.key)
        return Delivery(ok=True)


def notice(key: str) -> Notice:
    """Return something to tell."""
    return Notice(key, "event", "critical", "summary")


def until(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "the condition never held"
        time.sleep(0.005)


def test_a_successor_tells_what_a_channel_that_hung_was_owed() -> None:
    """A URL is corrected: what waited for the old one arrives at the new one, each once."""
    hung, mended = Sink("ops", opened=False), Sink("ops")
    dispatcher = AlertDispatcher([Channel(hung, timeout_s=0.2)], first_wait_s=0.01)
    try:
        for key in ("one", "two", "three"):
            dispatcher.tell(notice(key))
        dispatcher.change(frozenset(), [Channel(mended)], (), 1.0)
        dispatcher.tell(notice("four"))
        until(lambda: len(mended.keys) >= 4)
        assert sorted(mended.keys) == ["four", "one", "three", "two"]
        assert hung.keys == []
        assert [each.channel for each in dispatcher.stats()] == ["ops"]
    finally:
        dispatcher.close(1)


def test_a_channel_that_stays_is_not_disturbed() -> None:
    """What it was sending goes on, its counters too; one that is gone gets nothing more, a new one all that is new."""
    stays, goes, comes = Sink("stays"), Sink("goes"), Sink("comes")
    dispatcher = AlertDispatcher([Channel(stays), Channel(goes, "info")], first_wait_s=0.01)
    try:
        dispatcher.tell(notice("one"))
        until(lambda: stays.keys == ["one"] and goes.keys == ["one"])
        assert dispatcher.least == "info"
        dispatcher.change(frozenset({"stays"}), [Channel(comes)], (), 1.0)
        assert dispatcher.least == "warning"
        dispatcher.tell(notice("two"))
        until(lambda: stays.keys == ["one", "two"] and comes.keys == ["two"])
        assert goes.keys == ["one"]
        counts = {each.channel: each.sent["ok"] for each in dispatcher.stats()}
        until(lambda: {each.channel: each.sent["ok"] for each in dispatcher.stats()} == {"stays": 2, "comes": 1})
        assert set(counts) == {"stays", "comes"}
    finally:
        dispatcher.close(1)


def test_a_channel_that_hangs_holds_up_a_change_for_its_time_only() -> None:
    """The old channel is given the time that was said, then the new one begins."""
    hung = Sink("ops", opened=False)
    dispatcher = AlertDispatcher([Channel(hung, timeout_s=30)], first_wait_s=0.01)
    try:
        dispatcher.tell(notice("one"))
        begin = time.monotonic()
        dispatcher.change(frozenset(), [Channel(Sink("ops"))], (), 0.5)
        assert time.monotonic() - begin < 5
    finally:
        hung.gate.set()
        dispatcher.close(1)
