"""The follower over the stand-in store, whose watches can be deaf, late or compacted: what it yields is always true."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core.model.store import Delete, Put, Snapshot, Txn
from agent.errors import StoreCompacted, StoreError, StoreUnavailable
from agent.etcd.follower import LAGS_MS, SILENCE_S, PrefixFollower
from tests.support.follow import following
from tests.support.memory_store import MemoryEtcd, MemoryStore, MemoryWatch
from tests.support.moved_time import MovedTime
from tests.support.slack import within

P = "/g/"
SOON_S = 5.0


class DeafStore(MemoryStore):
    """A store whose watches are silent whatever happens: dead, and looking alive."""

    def watch(self, prefix: str, revision: int, timeout_s: float) -> MemoryWatch:
        """Watch what will never come."""
        return super().watch(prefix, 1 << 60, timeout_s)


@dataclass
class ScriptedWatch:
    """A watch that says what it was told to, then stays silent without waiting."""

    script: list[Snapshot | StoreError | None]
    closed: bool = False

    def next(self, timeout_s: float) -> Snapshot | None:
        """Take the next line of the script."""
        step = self.script.pop(0) if self.script else None
        if isinstance(step, StoreError):
            raise step
        return step

    def close(self) -> None:
        """Note that."""
        self.closed = True


@dataclass
class ScriptedStore(MemoryStore):
    """A store that hands out scripted watches, one after the other, and remembers from where each was to start."""

    etcd: MemoryEtcd
    watches: list[ScriptedWatch]
    cut: bool = False
    started: list[int] = field(default_factory=list)

    def watch(self, prefix: str, revision: int, timeout_s: float) -> ScriptedWatch:  # type: ignore[override]  # a double
        """Hand out the next one; without any the store is down."""
        if not self.watches:
            raise StoreUnavailable("no more watches")
        self.started.append(revision)
        return self.watches.pop(0)


def memory() -> MemoryEtcd:
    """Return a store in memory whose leases never end."""
    return MemoryEtcd(lambda: 0)


def put(etcd: MemoryEtcd, name: str, value: bytes) -> int:
    """Write as another agent would; return the revision."""
    return MemoryStore(etcd).txn(Txn((), (Put(P + name, value),)), 1.0).revision


def test_everything_at_first_then_everything_after_each_change() -> None:
    """Each snapshot is the whole prefix at one revision, not the change alone."""
    etcd = memory()
    put(etcd, "a", b"1")
    with following(MemoryStore(etcd), P) as seen:
        seen.until(lambda: len(seen.snapshots) == 1, SOON_S)
        revision = put(etcd, "b", b"2")
        seen.until(lambda: len(seen.snapshots) == 2, SOON_S)
        assert seen.snapshots[-1] == MemoryStore(etcd).range(P, 1.0)
        assert seen.snapshots[-1].revision == revision
        MemoryStore(etcd).txn(Txn((), (Delete(P + "a"), Put(P + "b", b"3"))), 1.0)
        seen.until(lambda: seen.values == {P + "b": b"3"}, SOON_S)
    assert [snapshot.revision for snapshot in seen.snapshots] == [2, 3, 4]
    assert not seen.errors


def test_deaf_watch_is_found_out_by_a_read() -> None:
    """After the time of silence a read finds what the watch did not bring, and the watch is replaced."""
    etcd = memory()
    with following(DeafStore(etcd), P, silence_s=0.1) as seen:
        seen.until(lambda: len(seen.snapshots) == 1, SOON_S)
        put(etcd, "a", b"1")
        with within(0.1):
            seen.until(lambda: seen.values == {P + "a": b"1"}, SOON_S)
        assert seen.follower is not None
        restarts = seen.follower.restarts
        put(etcd, "a", b"2")
        seen.until(lambda: seen.values == {P + "a": b"2"}, SOON_S)
        assert seen.follower.restarts > restarts
    assert not seen.errors


def test_silence_alone_yields_nothing_and_keeps_the_watch() -> None:
    """While nothing changes under the prefix nothing is yielded, but that it was read is told each time."""
    etcd = memory()
    with following(MemoryStore(etcd), P, silence_s=0.02) as seen:
        seen.until(lambda: len(seen.snapshots) == 1, SOON_S)
        for number in range(5):
            MemoryStore(etcd).txn(Txn((), (Put("/other", b"%d" % number),)), 1.0)
            time.sleep(0.05)  # longer than the silence: reads happen in between
        seen.until(lambda: seen.reads > 2, SOON_S)
        assert len(seen.snapshots) == 1
        assert seen.follower is not None
        assert seen.follower.restarts == 0


def test_store_that_is_gone_is_reported_and_its_return_yields() -> None:
    """A failure is reported; when the store answers again a snapshot comes even if nothing has changed."""
    store = MemoryStore(memory())
    put(store.etcd, "a", b"1")
    with following(store, P, silence_s=0.05) as seen:
        seen.until(lambda: len(seen.snapshots) == 1, SOON_S)
        store.cut = True
        seen.until(lambda: len(seen.errors) > 0, SOON_S)
        store.cut = False
        seen.until(lambda: len(seen.snapshots) == 2, SOON_S)
    assert seen.snapshots[0] == seen.snapshots[1]
    assert all(isinstance(error, StoreUnavailable) for error in seen.errors)


def test_compaction_means_read_again_and_is_no_failure() -> None:
    """A compacted watch starts anew from a read, without a word."""
    etcd = memory()
    revision = put(etcd, "a", b"1")
    store = ScriptedStore(
        etcd, [ScriptedWatch([StoreCompacted("compacted")]), ScriptedWatch([StoreUnavailable("end")])]
    )
    errors: list[StoreError] = []
    follower = PrefixFollower(store, P, errors.append)
    snapshots = follower.snapshots()
    assert [next(snapshots).revision, next(snapshots).revision] == [revision, revision]
    assert not errors
    assert next(snapshots).revision == revision
    assert [str(error) for error in errors] == ["end"]
    assert store.started == [revision + 1, revision + 1]


def test_old_changes_of_a_watch_are_passed_over() -> None:
    """A change that a read has already shown does not turn the picture back."""
    etcd = memory()
    old = Snapshot(put(etcd, "a", b"1"), ())
    newest = put(etcd, "a", b"2")
    watch = ScriptedWatch([old, old, StoreUnavailable("end")])
    follower = PrefixFollower(ScriptedStore(etcd, [watch]), P, lambda error: follower.stop())
    assert [snapshot.revision for snapshot in follower.snapshots()] == [newest]
    assert watch.closed


def test_member_that_lags_is_never_shown() -> None:
    """A read below what was seen is an error that says so, not a snapshot, as long as it may be a member that lags."""
    store = MemoryStore(memory())
    for number in range(5):
        put(store.etcd, "a", b"%d" % number)
    with following(store, P, silence_s=0.05, clock=lambda: 1) as seen:
        seen.until(lambda: len(seen.snapshots) == 1, SOON_S)
        newest = seen.snapshots[0].revision
        older = memory()
        put(older, "a", b"old")
        store.etcd = older
        seen.until(lambda: len(seen.errors) >= 2, SOON_S)
        assert "a member that lags" in str(seen.errors[0])
        assert [snapshot.revision for snapshot in seen.snapshots] == [newest]
        while put(older, "a", b"caught up") <= newest:
            pass
        seen.until(lambda: seen.values == {P + "a": b"caught up"}, SOON_S)


def test_store_that_went_back_is_shown_after_a_while() -> None:
    """A store that stays behind what was seen has forgotten it: it is shown, with when it was asked for (R20)."""
    store = MemoryStore(memory())
    saved = store.etcd.save()
    for number in range(5):
        put(store.etcd, "a", b"%d" % number)
    with following(store, P, silence_s=0.05) as seen:
        seen.until(lambda: len(seen.snapshots) == 1, SOON_S)
        store.etcd.restore(saved)
        seen.until(lambda: len(seen.snapshots) == 2, SOON_S)
        back = seen.snapshots[1]
        assert (back.revision, back.items) == (saved.revision, ())
        assert back.asked >= seen.snapshots[0].asked + LAGS_MS
        revision = put(store.etcd, "a", b"new")
        seen.until(lambda: seen.values == {P + "a": b"new"}, SOON_S)
        assert seen.snapshots[-1].revision == revision
    assert all("a member that lags" in str(error) for error in seen.errors[1:])


def test_store_with_another_id_is_shown_at_once() -> None:
    """Another cluster id needs no patience, though nothing else differs (R20)."""
    store = MemoryStore(memory())
    put(store.etcd, "a", b"1")
    with following(store, P, silence_s=0.05) as seen:
        seen.until(lambda: len(seen.snapshots) == 1, SOON_S)
        store.etcd.restore(store.etcd.save(), cluster=8)
        seen.until(lambda: len(seen.snapshots) == 2, SOON_S)
    assert [each.cluster for each in seen.snapshots] == [7, 8]


def test_stop_wakes_a_follower_that_waits() -> None:
    """Stop ends the iteration at once, even in the middle of a long silence."""
    with following(MemoryStore(memory()), P, silence_s=60.0) as seen:
        seen.until(lambda: len(seen.snapshots) == 1, SOON_S)
        assert seen.follower is not None
        start = time.monotonic()
        seen.follower.stop()
    assert time.monotonic() - start < 5.0
    assert not seen.errors


def test_stopped_before_it_began_yields_nothing() -> None:
    """A follower that was stopped first does not touch the store."""
    store = MemoryStore(memory())
    store.cut = True
    follower = PrefixFollower(store, P, lambda error: None)
    follower.stop()
    assert list(follower.snapshots()) == []


@settings(max_examples=40, deadline=None)
@given(steps=st.lists(st.sampled_from(["put", "delete", "silence", "broken", "compacted"]), max_size=25))
def test_every_snapshot_is_a_state_that_was(steps: list[str]) -> None:
    """Whatever a watch does, each snapshot equals the store at its revision, and revisions never fall."""
    etcd = memory()
    was: dict[int, Snapshot] = {etcd.revision: etcd.range(P)}
    writer = MemoryStore(etcd)

    class Watch:
        """Reads the real history until a step breaks it; each call makes one step happen."""

        def __init__(self, revision: int) -> None:
            self._inner = MemoryWatch(writer, P, revision)

        def next(self, timeout_s: float) -> Snapshot | None:
            step = steps.pop(0) if steps else "end"
            if step == "end":
                follower.stop()
            if step == "compacted":
                raise StoreCompacted(step)
            if step in {"broken", "end"}:
                raise StoreUnavailable(step)
            if step != "silence":
                key = P + str(len(steps) % 3)
                revision = writer.txn(
                    Txn((), (Put(key, b"%d" % len(steps)) if step == "put" else Delete(key),)), 1.0
                ).revision
                was[revision] = Snapshot(revision, etcd.range(P).items, etcd.cluster)
            return self._inner.next(0.0) if len(steps) % 2 else None

        def close(self) -> None:
            self._inner.close()

    class Store(MemoryStore):
        def watch(self, prefix: str, revision: int, timeout_s: float) -> Watch:  # type: ignore[override]  # a double
            return Watch(revision)

    follower = PrefixFollower(Store(etcd), P, lambda error: None)
    follower._stop.wait = lambda timeout=None: follower._stop.is_set()  # type: ignore[method-assign]  # no pauses here
    seen = list(follower.snapshots())
    assert [snapshot.revision for snapshot in seen] == sorted(snapshot.revision for snapshot in seen)
    assert all(snapshot == was[snapshot.revision] for snapshot in seen)


# --- how often, and for how long -------------------------------------------------------------------------------------


class Counted(MemoryStore):
    """A store that is asked for a while: it fails as the test says, and ends the follower when the time is over."""

    def __init__(self, moved: MovedTime, fails: str, span_s: float) -> None:
        super().__init__(MemoryEtcd(moved.boot))
        self.asked: list[tuple[str, float]] = []
        self.follower = PrefixFollower(self, P, lambda _error: None, 1.5)
        self.watches: list[ScriptedWatch] = []
        self._moved, self._fails, self._span_s = moved, fails, span_s

    def _note(self, what: str, timeout_s: float) -> None:
        self.asked.append((what, timeout_s))
        if self._moved.passed_s >= self._span_s:
            self.follower.stop()
        if self._fails == what:
            raise StoreUnavailable("the test says so")

    def range(self, prefix: str, timeout_s: float) -> Snapshot:
        """Count it."""
        self._note("range", timeout_s)
        return super().range(prefix, timeout_s)

    def watch(self, prefix: str, revision: int, timeout_s: float) -> MemoryWatch:
        """Count it; a watch is silent for as long as it is listened to."""
        self._note("watch", timeout_s)
        store = self

        class Silent(ScriptedWatch):
            def next(self, timeout_s: float) -> Snapshot | None:
                store._moved.sleep(timeout_s)
                if store._fails == "next":
                    raise StoreUnavailable("the test says so")
                return None

        self.watches.append(Silent([]))
        found: Any = self.watches[-1]
        return found  # type: ignore[no-any-return]


@pytest.mark.parametrize("fails", ["range", "watch"])
def test_a_store_that_fails_is_asked_a_few_times(moved: MovedTime, fails: str) -> None:
    """Half a second without a store is fewer than ten tries: many agents would keep a member from coming back."""
    store = Counted(moved, fails, 0.5)
    assert len(list(store.follower.snapshots())) <= 10
    assert 2 <= len([what for what, _ in store.asked if what == fails]) < 10
    assert {span for _, span in store.asked} == {1.5}, "each try has its own deadline"


def test_a_silent_watch_is_checked_every_two_seconds(moved: MovedTime) -> None:
    """A dead watch deceives for so long at most; a live one costs no more than that."""
    store = Counted(moved, "nothing", 20.0)
    assert len(list(store.follower.snapshots())) == 1
    assert [what for what, _ in store.asked].count("range") == 11
    assert moved.slept == [SILENCE_S] * 10


def test_every_watch_is_closed(moved: MovedTime) -> None:
    """However a watch ends, its stream does not stay open beside the next one."""
    store = Counted(moved, "next", 10.0)
    list(store.follower.snapshots())
    assert len(store.watches) >= 3
    assert all(watch.closed for watch in store.watches)
    assert store.follower.restarts == len(store.watches) - 1
