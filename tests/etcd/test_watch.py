"""Watches on a real etcd member: they end loudly, never block whoever closes them, and are bounded in memory."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from agent.core.model.store import KeyValue, Snapshot
from agent.errors import StoreUnavailable
from agent.etcd import watch as etcd_watch
from agent.etcd.store import EtcdStore
from tests.lab.etcd import EtcdCluster
from tests.support.etcd_bench import PREFIX, put, store_on, until_answered
from tests.support.slack import SLACK_S

pytestmark = pytest.mark.real


@pytest.fixture
def store(cluster: EtcdCluster) -> Iterator[EtcdStore]:
    """Yield a store."""
    with store_on(cluster) as store:
        yield store


def watch_threads() -> int:
    """Count the threads that read watches."""
    return sum(thread.name == "etcd-watch" for thread in threading.enumerate())


def test_watch_brings_what_an_operator_writes(cluster: EtcdCluster, store: EtcdStore) -> None:
    """A change by etcdctl arrives as it stands in etcd, after silence too (R10: nomination by hand)."""
    watch = store.watch(PREFIX, store.range(PREFIX, 5.0).revision + 1, 5.0)
    assert watch.next(1.0) is None
    cluster.etcdctl("put", PREFIX + "leader", "bp-b")
    change = watch.next(5.0)
    assert (
        change == Snapshot(change.revision, (KeyValue(PREFIX + "leader", b"bp-b", change.revision),))
        if change
        else False
    )
    watch.close()


def test_watch_of_a_killed_member_ends_at_once(cluster: EtcdCluster, store: EtcdStore) -> None:
    """A watch says so when its member dies; the store has dropped the connection and serves again afterwards."""
    watch = store.watch(PREFIX, store.range(PREFIX, 5.0).revision + 1, 5.0)
    cluster.members[0].kill()
    start = time.monotonic()
    try:
        with pytest.raises(StoreUnavailable):
            watch.next(10.0)
        assert time.monotonic() - start < 2.0
        assert store._connection is None
        with pytest.raises(StoreUnavailable):
            watch.next(10.0)
    finally:
        cluster.members[0].start()
        cluster.wait_ready()
    assert until_answered(lambda: store.txn(put("a"), 1.0), 10.0)[0].applied


def test_dropped_connection_wakes_its_watches(cluster: EtcdCluster, store: EtcdStore) -> None:
    """When a request fails, the watches of that connection end with it instead of staying silent."""
    watch = store.watch(PREFIX, store.range(PREFIX, 5.0).revision + 1, 5.0)
    cluster.members[0].freeze()
    try:
        with pytest.raises(StoreUnavailable):
            store.range(PREFIX, 0.3)
        start = time.monotonic()
        with pytest.raises(StoreUnavailable):
            watch.next(10.0)
        assert time.monotonic() - start < 5.0
    finally:
        cluster.members[0].thaw()


def test_close_never_waits_for_a_frozen_member(cluster: EtcdCluster, store: EtcdStore) -> None:
    """Closing a watch and a store takes no time, whatever the member does, and leaves no thread."""
    before = watch_threads()
    watch = store.watch(PREFIX, store.range(PREFIX, 5.0).revision + 1, 5.0)
    cluster.members[0].freeze()
    try:
        start = time.monotonic()
        watch.close()
        assert time.monotonic() - start < SLACK_S
        store.close()
        assert time.monotonic() - start < 2 * SLACK_S
        end = time.monotonic() + 5.0
        while watch_threads() > before:
            assert time.monotonic() < end
            time.sleep(0.01)
    finally:
        cluster.members[0].thaw()


def test_close_wakes_the_thread_that_waits(store: EtcdStore) -> None:
    """A thread that waits for the next change hears at once that another one closed the watch."""
    watch = store.watch(PREFIX, store.range(PREFIX, 5.0).revision + 1, 5.0)
    closer = threading.Timer(0.2, watch.close)
    closer.start()
    start = time.monotonic()
    with pytest.raises(StoreUnavailable, match="closed"):
        watch.next(10.0)
    assert time.monotonic() - start < 2.0
    assert store.txn(put("a"), 5.0).applied  # closing is no failure of the connection
    closer.join()


def test_slow_reader_is_cut_off_not_fed(store: EtcdStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who does not take changes loses the watch: what waits is bounded, and nothing is dropped silently."""
    monkeypatch.setattr(etcd_watch, "_BOUND", 3)
    first = store.txn(put("a", b"0"), 5.0).revision
    before = set(threading.enumerate())
    watch = store.watch(PREFIX, first, 5.0)
    (reader,) = {each for each in threading.enumerate() if each.name == "etcd-watch"} - before
    assert watch.next(5.0) is not None  # from now on each change comes on its own
    for number in range(10):
        store.txn(put("a", b"%d" % number), 5.0)
    reader.join(5.0)  # it has come to the bound; while it had not, taking would make room
    taken = [first]
    with pytest.raises(StoreUnavailable, match="more than 3 changes wait"):
        while change := watch.next(2.0):
            taken.append(change.revision)
    assert taken == list(range(first, first + len(taken)))
    assert len(taken) < 10


@pytest.mark.slow
def test_silent_watch_lives_and_a_frozen_member_is_noticed(cluster: EtcdCluster, store: EtcdStore) -> None:
    """Pings keep a silent watch alive for longer than etcd tolerates, and break it when the member freezes."""
    watch = store.watch(PREFIX + "silent", store.range(PREFIX, 5.0).revision + 1, 5.0)
    assert watch.next(30.0) is None
    cluster.etcdctl("put", PREFIX + "silent", "1")
    assert watch.next(5.0) is not None
    cluster.members[0].freeze()
    start = time.monotonic()
    try:
        with pytest.raises(StoreUnavailable):
            watch.next(30.0)
    finally:
        cluster.members[0].thaw()
    assert time.monotonic() - start < 12.0
