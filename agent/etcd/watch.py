"""One watch stream and the thread that reads it. What its silence or its end means is decided elsewhere."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from agent.core.model.store import Snapshot
from agent.errors import StoreCompacted, StoreError, StoreRejected, StoreUnavailable
from agent.etcd.connection import Connection
from agent.etcd.errors import translate
from agent.etcd.rpc import changes, grpc, rpc, watch_request
from agent.host.deadline import Deadline

_BOUND = 1024  # changes that may wait to be taken; who is slower than that had better read anew


class EtcdWatch:
    """Changes of a prefix from one revision on (port `Watch`). `close` may be called from any thread.

    `on_broken` is called once, by the thread in `next`, before StoreUnavailable is raised there.
    """

    def __init__(self, connection: Connection, prefix: str, revision: int, on_broken: Callable[[], None]) -> None:
        self._endpoint = str(connection.endpoint)
        self._doing = f"watch of {prefix}"
        self._what = f"etcd at {self._endpoint}, {self._doing}"
        self._on_broken = on_broken
        self._changed = threading.Condition()
        self._waiting: deque[Snapshot] = deque()
        self._created = False
        self._end: StoreError | None = None
        self._closed = False
        self._call: Any = connection.stream(
            "/etcdserverpb.Watch/Watch", rpc.WatchResponse.FromString, watch_request(prefix, revision)
        )
        threading.Thread(target=self._read, name="etcd-watch", daemon=True).start()

    def wait_created(self, deadline: Deadline) -> None:
        """Wait until the server confirms the watch; else close it and raise."""
        with self._changed:
            self._changed.wait_for(lambda: self._created or self._end is not None, deadline.remaining())
            created, end = self._created, self._end
        if created:
            return
        self.close()
        raise end or StoreUnavailable(f"{self._what}: not confirmed in time")

    def next(self, timeout_s: float) -> Snapshot | None:
        """Return the next change, in order; None after `timeout_s` seconds of silence."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._end is not None, timeout_s)
            if self._waiting:
                return self._waiting.popleft()
            end = self._end
        if end is None:
            return None
        if isinstance(end, StoreUnavailable) and not self._closed:
            self._closed = True
            self._on_broken()
        raise end

    def close(self) -> None:
        """End the stream; what waits is dropped, and a thread in `next` gets StoreUnavailable at once."""
        self._closed = True
        with self._changed:
            self._waiting.clear()
        self._finish(StoreUnavailable(f"{self._what}: closed"))

    def _read(self) -> None:
        try:
            for response in self._call:
                self._take(response)
            end: StoreError = StoreUnavailable(f"{self._what}: ended by the server")
        except grpc.RpcError as error:
            end = translate(error, self._doing, self._endpoint)
        except StoreError as error:
            end = error
        except Exception as error:  # noqa: BLE001 - whatever it was, a reader must not die unseen
            end = StoreUnavailable(f"{self._what}: {type(error).__name__}: {error}")
        self._finish(end)

    def _take(self, response: Any) -> None:
        """Queue the changes of one response; raise the StoreError that it means."""
        if response.compact_revision:
            raise StoreCompacted(f"{self._what}: compacted up to revision {response.compact_revision}: read again")
        if response.canceled:
            said = f"{self._what}: refused: {response.cancel_reason}"
            if "permission denied" in response.cancel_reason:
                raise StoreRejected("permission_denied", f"{said}: grant the etcd user read on the prefix")
            raise StoreUnavailable(said)
        fresh = changes(response)
        with self._changed:
            if self._closed:
                return
            if len(self._waiting) + len(fresh) > _BOUND and self._waiting:
                raise StoreUnavailable(f"{self._what}: more than {_BOUND} changes wait")
            self._waiting.extend(fresh)
            self._created = self._created or bool(response.created)
            self._changed.notify_all()

    def _finish(self, end: StoreError) -> None:
        """Record how the stream ended (the first reason stays), end it, wake whoever waits."""
        with self._changed:
            self._end = self._end or end
            self._changed.notify_all()
        self._call.cancel()
