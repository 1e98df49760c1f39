"""A PrefixFollower on a thread of its own, and what it brought."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from agent.core.model.store import Ms, Snapshot
from agent.errors import StoreError
from agent.etcd.follower import SILENCE_S, PrefixFollower
from agent.host.clock import boot_ms
from agent.ports import Store


class Seen:
    """What a follower brought so far."""

    def __init__(self) -> None:
        self.snapshots: list[Snapshot] = []
        self.errors: list[StoreError] = []
        self.reads = 0
        self.follower: PrefixFollower | None = None

    def read(self) -> None:
        """Note a read that found nothing new."""
        self.reads += 1

    def until(self, condition: Callable[[], bool], limit_s: float) -> None:
        """Wait for a condition."""
        end = time.monotonic() + limit_s
        while not condition():
            assert time.monotonic() < end, (self.snapshots[-3:], self.errors[-3:])
            time.sleep(0.01)

    @property
    def values(self) -> dict[str, bytes]:
        """The last snapshot, by key."""
        return {item.key: item.value for item in self.snapshots[-1].items} if self.snapshots else {}


@contextmanager
def following(
    store: Store,
    prefix: str,
    timeout_s: float = 1.0,
    silence_s: float = SILENCE_S,
    clock: Callable[[], Ms] = boot_ms,
) -> Iterator[Seen]:
    """Follow a prefix for the time of a `with` block, and see that the thread ends soon after it."""
    seen = Seen()
    follower = PrefixFollower(store, prefix, seen.errors.append, timeout_s, lambda: silence_s, seen.read, clock)
    seen.follower = follower
    failed: list[BaseException] = []

    def run() -> None:
        try:
            for snapshot in follower.snapshots():
                seen.snapshots.append(snapshot)
        except BaseException as error:
            failed.append(error)
            raise

    thread = threading.Thread(target=run, name="follower", daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        follower.stop()
        thread.join(timeout_s + 1.0)
    assert not thread.is_alive()
    assert not failed
