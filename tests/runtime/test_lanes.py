"""Lanes and repeaters: whatever a call does, the next one gets its turn, and what happened is told."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest

from agent.host.clock import SystemClock
from agent.runtime import lanes
from agent.runtime.lanes import OVERDUE_MS, InTurn, Job, Lane, Repeater
from tests.support.children import wait_until
from tests.support.moved_time import MovedTime

pytestmark = pytest.mark.usefixtures("no_leaks")

SOON_S = 0.3
"""What anything may take on a busy machine that should take no time."""


class Bench:
    """A lane, what it told, and calls that hang until they are let go."""

    def __init__(self) -> None:
        self.events: queue.SimpleQueue[object] = queue.SimpleQueue()
        self.lane = Lane("test", self.events.put, SystemClock())
        self.go_on = threading.Event()
        self.begun = threading.Event()
        self.threads: list[int] = []

    def hang(self) -> object:
        """Hang, and tell at the end."""
        self.threads.append(threading.get_ident())
        self.begun.set()
        self.go_on.wait(10)
        return "late"

    def quick(self, word: str) -> Job:
        """Return a job that tells one word."""

        def run() -> object:
            self.threads.append(threading.get_ident())
            return word

        return Job(run, lambda why: f"{word} failed: {why}", 100)

    def heard(self, within_s: float = SOON_S) -> object:
        """Return the next event."""
        return self.events.get(timeout=within_s)

    def quiet(self) -> bool:
        """Whether nothing was told."""
        return self.events.empty()


@pytest.fixture
def bench() -> Iterator[Bench]:
    """Yield a lane that ends, hanging calls too."""
    bench = Bench()
    yield bench
    bench.go_on.set()
    bench.lane.close()
    bench.lane.join(5.0)


def test_jobs_run_one_after_another(bench: Bench) -> None:
    """In their order, on one thread, each telling its event."""
    for word in "abc":
        bench.lane.submit(bench.quick(word))
    assert [bench.heard() for _ in range(3)] == ["a", "b", "c"]
    assert len(set(bench.threads)) == 1


def test_nothing_to_tell_tells_nothing(bench: Bench) -> None:
    """A job that returns None is over without an event."""
    bench.lane.submit(Job(lambda: None, lambda why: why, 100))
    bench.lane.submit(bench.quick("next"))
    assert bench.heard() == "next"


def test_a_defect_becomes_an_event(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """A call that raises what it must not is logged, told as failed, and does not end the lane."""

    def raise_it() -> object:
        raise ZeroDivisionError("by nothing")

    bench.lane.submit(Job(raise_it, lambda why: ("failed", why), 100))
    bench.lane.submit(bench.quick("next"))
    assert bench.heard() == ("failed", "ZeroDivisionError: by nothing")
    assert bench.heard() == "next"
    assert "a defect in lane test" in caplog.text


def test_a_job_waits_while_the_one_before_has_time(bench: Bench) -> None:
    """Within its deadline, and a second more, a call is not left behind: nothing runs beside it."""
    bench.lane.submit(Job(bench.hang, lambda _why: "gave up", 5000))
    bench.lane.submit(bench.quick("next"))
    wait_until(bench.begun.is_set)
    bench.lane.look()
    time.sleep(0.1)
    assert bench.quiet()
    bench.go_on.set()
    assert [bench.heard(), bench.heard()] == ["late", "next"]
    assert len(set(bench.threads)) == 1


def test_a_call_that_hangs_holds_nobody_up(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """After deadline and grace its thread is left behind: it is told as failed, and the jobs behind it run."""
    begin = time.monotonic()
    bench.lane.submit(Job(bench.hang, lambda why: ("gave up", why), 100))
    bench.lane.submit(bench.quick("waited"))
    while bench.quiet():
        bench.lane.look()
        time.sleep(0.01)
    took_s = time.monotonic() - begin
    assert 0.1 + OVERDUE_MS / 1000 <= took_s < 0.1 + OVERDUE_MS / 1000 + SOON_S
    told = [bench.heard(), bench.heard()]
    assert told[1] == "waited"
    assert told[0] == ("gave up", "the call did not return in time")
    bench.lane.submit(bench.quick("later"))
    assert bench.heard() == "later"
    assert "test hangs" in caplog.text


def test_a_later_job_alone_finds_the_hang(bench: Bench) -> None:
    """Even if nobody looks, handing in the next job notices."""
    bench.lane.submit(Job(bench.hang, lambda _why: "gave up", 10))
    time.sleep((OVERDUE_MS + 50) / 1000)
    bench.lane.submit(bench.quick("pause"))
    assert [bench.heard(), bench.heard()] == ["gave up", "pause"]


def test_a_thread_left_behind_tells_and_ends(bench: Bench) -> None:
    """How its call went in the end is told, for a late resume must be known; it takes no further job."""
    bench.lane.submit(Job(bench.hang, lambda _why: "gave up", 10))
    bench.lane.submit(bench.quick("waited"))
    time.sleep((OVERDUE_MS + 50) / 1000)
    bench.lane.look()
    assert [bench.heard(), bench.heard()] == ["gave up", "waited"]
    names = [thread.ident for thread in threading.enumerate()]
    assert bench.threads[0] in names
    bench.go_on.set()
    assert bench.heard() == "late"
    wait_until(lambda: bench.threads[0] not in [thread.ident for thread in threading.enumerate()])
    bench.lane.submit(bench.quick("later"))
    assert bench.heard() == "later"


def test_a_second_hang_is_found_after_the_first_call_came_back() -> None:
    """A thread that was left behind and returns takes nothing away from the one that stands in for it."""
    clock, events = MovedTime(), queue.SimpleQueue[object]()
    lane = Lane("test", events.put, clock)
    begun, go_on = [threading.Event(), threading.Event()], [threading.Event(), threading.Event()]

    def hang(number: int) -> Job:
        def run() -> object:
            begun[number].set()
            go_on[number].wait(10)
            return f"{number} came back"

        return Job(run, lambda _why: f"{number} hangs", 100)

    try:
        for number in (0, 1):
            lane.submit(hang(number))
            assert begun[number].wait(10)
            clock.go(100 + OVERDUE_MS)
            lane.look()
            assert events.empty(), "not yet"
            clock.go(1)
            if number:
                go_on[0].set()
                assert events.get(timeout=10) == "0 came back"
            lane.look()
            assert events.get(timeout=10) == f"{number} hangs"
    finally:
        for each in go_on:
            each.set()
        lane.close()
        lane.join(5.0)


def test_close_does_what_was_asked_for(bench: Bench) -> None:
    """The jobs at hand are done, then the thread ends; joining says whether it did, in time."""
    bench.lane.submit(Job(bench.hang, lambda _why: "gave up", 5000))
    bench.lane.submit(bench.quick("last"))
    bench.lane.close()
    begin = time.monotonic()
    assert not bench.lane.join(0.1)
    assert time.monotonic() - begin < 0.1 + SOON_S
    bench.go_on.set()
    assert bench.lane.join(2.0)
    assert [bench.heard(), bench.heard()] == ["late", "last"]


# --- repeaters -------------------------------------------------------------------------------------------------------


@pytest.fixture
def repeat() -> Iterator[Callable[..., Repeater]]:
    """Start repeaters that end with the test."""
    made: list[Repeater] = []

    def start(period_s: float, work: Callable[[], object], emit: Callable[[object], None]) -> Repeater:
        made.append(Repeater("test", period_s, work, emit))
        made[-1].start()
        return made[-1]

    yield start
    for each in made:
        each.close()


def test_a_repeater_calls_and_tells(repeat: Callable[..., Repeater]) -> None:
    """Each call's event is told; the period lies between the starts of two calls, however long a call takes."""
    starts: list[float] = []
    told: list[object] = []

    def work() -> object:
        starts.append(time.monotonic())
        time.sleep(0.08)
        return len(starts)

    repeater = repeat(0.1, work, told.append)
    wait_until(lambda: len(told) >= 5)
    repeater.close()
    assert told[:5] == [1, 2, 3, 4, 5]
    gaps = [after - before for before, after in pairwise(starts)]
    assert 0.09 < sorted(gaps)[len(gaps) // 2] < 0.16, gaps


def test_a_repeater_survives_a_defect(
    repeat: Callable[..., Repeater], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Work that raises is logged and done again, without spinning."""
    monkeypatch.setattr(lanes, "FAILED_S", 0.2)
    calls: list[float] = []

    def work() -> object:
        calls.append(time.monotonic())
        if len(calls) < 3:
            raise ZeroDivisionError
        return "well again"

    told: list[object] = []
    repeat(0.0, work, told.append)
    wait_until(lambda: told)
    assert told[0] == "well again"
    assert caplog.text.count("a defect in test") == 2
    assert calls[1] - calls[0] >= 0.2


def test_a_repeater_ends_at_once(repeat: Callable[..., Repeater]) -> None:
    """Closing does not wait for the period."""
    calls: list[int] = []
    repeater = repeat(60.0, lambda: calls.append(1), lambda _event: None)
    wait_until(lambda: calls)
    begin = time.monotonic()
    repeater.close()
    wait_until(lambda: not repeater._thread.is_alive())
    assert time.monotonic() - begin < SOON_S


def test_looks_in_turn_share_a_thread_and_no_defect(caplog: pytest.LogCaptureFixture) -> None:
    """Each look is made with every so many-th turn, from the first on, whatever becomes of those before it."""
    heard: list[object] = []

    def broken() -> None:
        raise ValueError("broken")

    looks = InTurn(heard.append, (1, broken), (1, lambda: "often"), (2, lambda: "seldom"), (3, lambda: None))
    for _ in range(4):
        looks()
    assert heard == ["often", "seldom", "often", "often", "seldom", "often"]
    assert [record.exc_info is not None for record in caplog.records] == [True] * 4
