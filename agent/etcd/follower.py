"""A prefix of the store, kept up to date over any port `Store`: read, watch, and read again when the watch is silent.

A watch is only a hint: it may be dead and look alive. So silence is never believed for long, and what a reader gets
is always a full picture at one revision, never a change.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from agent.core.model.store import KeyValue, Ms, Snapshot
from agent.errors import StoreCompacted, StoreError, StoreUnavailable
from agent.host.clock import boot_ms
from agent.host.jitter import Pauses
from agent.ports import Store, Watch

SILENCE_S = 2.0
"""A watch that was silent for so long is checked by a read: it bounds how long a dead one can deceive."""
LAGS_MS = 1000
"""A member that lags behind what was seen for longer does not lag: the store has gone back (R20)."""


@dataclass(eq=False)
class PrefixFollower:
    """Follows one prefix on the thread that iterates over `snapshots`; it has the store for itself.

    `on_error` hears each failure, `on_read` each read that found nothing new, both on that thread: neither may block.
    After a failure the next snapshot means that the store answers again. `restarts` counts the watches that were opened
    after the first. `silence_s` says for how long silence is believed now: where something is sure to change more
    seldom than every `SILENCE_S`, it may be for longer.
    """

    _store: Store
    _prefix: str
    _on_error: Callable[[StoreError], None]
    _timeout_s: float = 1.0
    _silence_s: Callable[[], float] = lambda: SILENCE_S
    _on_read: Callable[[], None] = lambda: None
    _clock: Callable[[], Ms] = boot_ms

    def __post_init__(self) -> None:
        self._pauses = Pauses(clock=self._clock)
        self._stop = threading.Event()
        self._watch: Watch | None = None
        self._watches = 0
        self._revision = self._cluster = 0
        self._asked: Ms = 0
        self._back_since: Ms | None = None  # since when the store answers with older revisions than were seen
        self._items: dict[str, KeyValue] = {}

    @property
    def restarts(self) -> int:
        """How many watches had to be replaced."""
        return max(0, self._watches - 1)

    def stop(self) -> None:
        """Ask for the end, from any thread; never blocks. `snapshots` ends within the time-out of one request."""
        self._stop.set()
        watch = self._watch
        if watch is not None:
            watch.close()

    def snapshots(self) -> Iterator[Snapshot]:
        """Yield all keys of the prefix: at once, after every change, and after every failure. Ends after `stop`.

        Revisions never fall from one snapshot to the next, but where the store itself has gone back (R20): a snapshot
        tells when it was asked for. A change that was undone before it was seen may be missed.
        """
        while not self._stop.is_set():
            try:
                yield self._read()
                yield from self._follow()
            except StoreCompacted:  # we were too slow, nothing is wrong: read again, but not without a pause
                self._stop.wait(self._pauses.after_failure())
            except StoreError as error:
                if not self._stop.is_set():
                    self._on_error(error)
                    self._stop.wait(self._pauses.after_failure())
            finally:
                self._end_watch()

    def _follow(self) -> Iterator[Snapshot]:
        """Yield the state after each change that the watch brings; return when a silent watch has missed one."""
        watch = self._watch = self._store.watch(self._prefix, self._revision + 1, self._timeout_s)
        self._watches += 1
        silent = 0.0
        while not self._stop.is_set():
            wait = min(SILENCE_S, self._silence_s())
            change = watch.next(wait)
            if change is not None:
                silent = 0.0
                if change.revision > self._revision:
                    yield self._apply(change)
                continue
            silent += wait
            if silent < self._silence_s():
                continue
            known, revision, cluster = self._items, self._revision, self._cluster
            now = self._read()
            if self._items != known or now.revision < revision or now.cluster != cluster:
                yield now
                return
            silent = 0.0
            self._on_read()

    def _read(self) -> Snapshot:
        """Read everything. StoreUnavailable while a member lags behind what was seen."""
        asked = self._clock()
        now = self._store.range(self._prefix, self._timeout_s)
        if now.revision < self._revision and now.cluster == self._cluster:
            self._back_since = asked if self._back_since is None else self._back_since
            if asked < self._back_since + LAGS_MS:
                raise StoreUnavailable(
                    f"etcd at {self._store.endpoint()} is at revision {now.revision}, after {self._revision} was seen: "
                    "a member that lags, or a store that was restored"
                )
        self._back_since = None
        self._revision, self._cluster, self._asked = now.revision, now.cluster, asked
        self._items = {item.key: item for item in now.items}
        return self._snapshot()

    def _apply(self, change: Snapshot) -> Snapshot:
        items = dict(self._items)
        for item in change.items:
            if item.mod_revision:
                items[item.key] = item
            else:
                items.pop(item.key, None)
        self._revision, self._items = change.revision, items
        return self._snapshot()

    def _snapshot(self) -> Snapshot:
        items = tuple(self._items[key] for key in sorted(self._items))
        return Snapshot(self._revision, items, self._cluster, self._asked)

    def _end_watch(self) -> None:
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.close()
