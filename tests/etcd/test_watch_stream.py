"""A watch on a stream that brings what the test gave it: what is queued, what ends it, and that its threads end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest

from agent.errors import StoreCompacted, StoreError, StoreRejected, StoreUnavailable
from agent.etcd.connection import Connection, EtcdEndpoint, EtcdOptions
from agent.etcd.rpc import rpc
from agent.etcd.store import EtcdStore
from agent.etcd.watch import _BOUND, EtcdWatch
from agent.host.deadline import Deadline
from tests.support.wire import Failed, Wire, wire

__all__ = ["wire"]

pytestmark = pytest.mark.usefixtures("no_leaks")
CREATED = rpc.WatchResponse(created=True)


class Stream:
    """Brings the answers, one at each `more`, and then nothing until it is cancelled."""

    def __init__(self, *answers: Any) -> None:
        self._answers = answers
        self._allowed = threading.Semaphore(0)
        self.cancelled = threading.Event()

    def __iter__(self) -> Iterator[Any]:
        for each in self._answers:
            self._allowed.acquire()
            if isinstance(each, BaseException):
                raise each
            yield each
        self.cancelled.wait()

    def more(self, number: int = 1) -> None:
        """Let that many answers come."""
        self._allowed.release(number)

    def cancel(self) -> None:
        """End it."""
        self._allowed.release(len(self._answers))
        self.cancelled.set()


def changes(first: int, number: int) -> Any:
    """Return one answer with so many changes, each of a revision of its own."""
    answer = rpc.WatchResponse()
    for each in range(number):
        event = answer.events.add()
        event.kv.key, event.kv.value, event.kv.mod_revision = b"/a", b"1", first + each
    return answer


class Bench:
    """A watch on a stream, and whether it was told as broken."""

    def __init__(self, wire: Wire, *answers: Any) -> None:
        self.stream = Stream(CREATED, *answers)
        wire.says["Watch"] = self.stream
        connection = Connection(EtcdOptions(("http://127.0.0.1:2379",)), EtcdEndpoint(False, "127.0.0.1", 2379))
        self.broken: list[int] = []
        self.watch = EtcdWatch(connection, "/a", 5, lambda: self.broken.append(1))
        self.stream.more()
        while not self.watch._created:
            self.stream.cancelled.wait(0.001)

    def bring(self) -> None:
        """Let the next answer come, and wait until it was taken or has ended the watch."""
        before = len(self.watch._waiting)
        self.stream.more()
        while len(self.watch._waiting) == before and self.watch._end is None:
            self.stream.cancelled.wait(0.001)


@pytest.fixture
def opened(wire: Wire) -> Iterator[Callable[..., Bench]]:
    """Return what opens a watch on a stream of answers; it is closed with the test."""
    made: list[Bench] = []

    def make(*answers: Any) -> Bench:
        made.append(Bench(wire, *answers))
        return made[-1]

    yield make
    for each in made:
        each.watch.close()
        assert each.stream.cancelled.is_set()


def test_one_large_answer_is_taken_by_a_reader_that_keeps_up(opened: Callable[..., Bench]) -> None:
    """A transaction of many keys is one answer: whatever its size, it does not end a watch whose queue is empty."""
    bench = opened(changes(5, 2 * _BOUND))
    bench.bring()
    found = [bench.watch.next(1.0) for _ in range(2 * _BOUND)]
    assert [change.revision for change in found if change] == list(range(5, 5 + 2 * _BOUND))
    assert bench.watch.next(1.0) is None
    assert not bench.broken


def test_what_waits_is_bounded_over_several_answers(opened: Callable[..., Bench]) -> None:
    """Up to the bound answers are queued; one beyond it ends the watch, and what waited is still taken, in order."""
    bench = opened(changes(5, _BOUND - 1), changes(5 + _BOUND - 1, 1), changes(5 + _BOUND, 1))
    bench.bring()
    bench.bring()
    assert bench.watch._end is None
    bench.bring()
    found = [bench.watch.next(1.0) for _ in range(_BOUND)]
    assert found[-1] is not None
    assert found[-1].revision == 5 + _BOUND - 1
    with pytest.raises(StoreUnavailable, match=f"more than {_BOUND} changes wait"):
        bench.watch.next(1.0)
    assert bench.broken == [1]


@pytest.mark.parametrize(
    ("answer", "error", "broken"),
    [
        (rpc.WatchResponse(compact_revision=9), StoreCompacted, 0),
        (rpc.WatchResponse(canceled=True, cancel_reason="rpc error: permission denied"), StoreRejected, 0),
        (rpc.WatchResponse(canceled=True, cancel_reason="mvcc: no leader"), StoreUnavailable, 1),
        (Failed(grpc.StatusCode.UNAVAILABLE, "connection reset"), StoreUnavailable, 1),
        (ZeroDivisionError("a defect"), StoreUnavailable, 1),
    ],
)
def test_what_ends_a_watch_is_told_by_its_kind(
    opened: Callable[..., Bench], answer: Any, error: type[Exception], broken: int
) -> None:
    """Only a connection that went bad is told as broken, and once; a member that says no keeps its connection."""
    bench = opened(answer)
    bench.bring()
    for _ in range(2):
        with pytest.raises(error):
            bench.watch.next(1.0)
    assert len(bench.broken) == broken


def test_silence_takes_the_time_that_was_given(opened: Callable[..., Bench], wire: Wire) -> None:
    """A watch without news comes back after its time, neither earlier nor later."""
    bench = opened()
    before = wire.time.now
    assert bench.watch.next(2.0) is None
    assert wire.time.now - before == 2000


def test_a_closed_watch_brings_nothing_any_more(opened: Callable[..., Bench]) -> None:
    """What waited is dropped, what comes after is not queued, and a reader hears that it is closed."""
    bench = opened(changes(5, 3), changes(8, 1))
    bench.bring()
    bench.watch.close()
    with pytest.raises(StoreUnavailable, match="closed"):
        bench.watch.next(1.0)
    assert not bench.broken, "who closes it knows"


def test_a_watch_that_is_not_confirmed_in_time_is_closed(wire: Wire) -> None:
    """The member takes the request and says nothing: the caller hears so at its deadline, and nothing stays open."""
    stream = Stream(CREATED)
    wire.says["Watch"] = stream
    connection = Connection(EtcdOptions(("http://127.0.0.1:2379",)), EtcdEndpoint(False, "127.0.0.1", 2379))
    watch = EtcdWatch(connection, "/a", 5, lambda: None)
    before = wire.time.now
    with pytest.raises(StoreUnavailable, match="not confirmed in time"):
        watch.wait_created(Deadline(0.7))
    assert wire.time.now - before == pytest.approx(700, abs=2)
    assert stream.cancelled.is_set()


def test_it_asks_for_the_prefix_from_the_revision_on(opened: Callable[..., Bench], wire: Wire) -> None:
    """Neither a change is left out between the read and the watch, nor one of another prefix brought."""
    opened()
    (call,) = [each for each in wire.calls if each.method == "Watch"]
    create = call.request.create_request
    assert (create.key, create.range_end, create.start_revision) == (b"/a", b"/b", 5)
    assert dict(call.metadata)["hasleader"] == "true"


@pytest.mark.parametrize(("revision", "yet_to_come"), [(7, False), (8, False), (9, True), (100, True)])
def test_a_watch_begins_at_the_next_revision_at_the_latest(wire: Wire, revision: int, yet_to_come: bool) -> None:
    """The store is at 7: a watch from 8 on sees the next change; one from later on would be silent for long."""
    stream = Stream(CREATED)
    stream.more()
    wire.says["Watch"] = stream
    store = EtcdStore(EtcdOptions(("http://127.0.0.1:2379",)))
    if yet_to_come:
        with pytest.raises(StoreError):
            store.watch("/a", revision, 1.0)
        assert "Watch" not in wire.methods
    else:
        store.watch("/a", revision, 1.0).close()
        assert stream.cancelled.is_set()
    store.close()
