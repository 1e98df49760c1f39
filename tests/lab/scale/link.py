"""A connection to etcd for several agents on one event loop. It turns to the next member as the adapter does.

Requests, answers, errors and the options of the channel are the adapter's own. Only the waiting is another: `grpc.aio`
instead of a thread for each request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from agent.core.model.store import Snapshot, Txn, TxnAnswer
from agent.errors import LeaseGone, StoreRejected, StoreUnavailable
from agent.etcd.connection import CHANNEL_OPTIONS, REQUIRE_LEADER
from agent.etcd.errors import translate
from agent.etcd.rpc import grpc, range_request, rpc, snapshot, txn_answer, txn_request
from agent.host.deadline import Deadline
from agent.host.jitter import spread

T = TypeVar("T")
CONNECT_S = 1.0
PAUSE_S = 0.2


def asked_to_end() -> bool:
    """Tell whether a CancelledError is meant for this task; gRPC raises one, too, when a channel is closed."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


class Line:
    """One channel to one member, with the stubs on it."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self.channel: Any = grpc.aio.insecure_channel(endpoint, options=CHANNEL_OPTIONS)
        self.kv: Any = rpc.KVStub(self.channel)
        self.txn_bytes: Any = self.channel.unary_unary("/etcdserverpb.KV/Txn")
        self.lease: Any = rpc.LeaseStub(self.channel)
        self.watch: Any = rpc.WatchStub(self.channel)
        self.keepalive: Any = self.channel.unary_unary(
            "/etcdserverpb.Lease/LeaseKeepAlive",
            request_serializer=rpc.LeaseKeepAliveRequest.SerializeToString,
            response_deserializer=rpc.LeaseKeepAliveResponse.FromString,
        )


class Link:
    """Asks etcd; one endpoint at a time, thrown away at its first failure."""

    def __init__(self, endpoints: Sequence[str], first: int) -> None:
        self._endpoints = endpoints
        self._index = first % len(endpoints)
        self._line: Line | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._closing: set[asyncio.Task[None]] = set()

    async def txn(self, txn: Txn, within_s: float) -> TxnAnswer:
        """Run one transaction. StoreUnavailable: unknown outcome (R2)."""
        return txn_answer(await self._call("transaction", lambda line: line.kv.Txn, txn_request(txn), within_s))

    async def range(self, prefix: str, within_s: float) -> Snapshot:
        """Read all keys under a prefix."""
        return snapshot(await self._call("read", lambda line: line.kv.Range, range_request(prefix), within_s))

    async def grant(self, ttl_s: int, within_s: float) -> int:
        """Grant a lease; return its id."""
        request = rpc.LeaseGrantRequest(TTL=ttl_s)
        return int((await self._call("grant", lambda line: line.lease.LeaseGrant, request, within_s)).ID)

    async def keepalive(self, lease: int, within_s: float) -> None:
        """Refresh a lease. LeaseGone when there is none."""
        request = rpc.LeaseKeepAliveRequest(ID=lease)
        if (await self._call("keepalive", lambda line: line.keepalive, request, within_s)).TTL <= 0:
            raise LeaseGone("the lease is gone")

    async def line(self, within_s: float) -> Line:
        """Return a line that is good as far as is known; all that wait for one wait for the same."""
        if self._line is None:
            if self._connecting is None:
                self._connecting = asyncio.create_task(self._connect())
            try:
                await asyncio.wait_for(asyncio.shield(self._connecting), within_s)
            except TimeoutError as error:
                raise StoreUnavailable("not sent in time: no endpoint is fit") from error
        if self._line is None:
            raise StoreUnavailable("not sent: the connection broke as it was made")
        return self._line

    async def _connect(self) -> None:
        """Turn to one member after the other until one answers."""
        try:
            while self._line is None:
                line = Line(self._endpoints[self._index])
                try:
                    await line.kv.Range(range_request("/nodeos-failover/", count_only=True), timeout=CONNECT_S)
                except grpc.RpcError:
                    self._drop(line)
                    await asyncio.sleep(spread(PAUSE_S))
                else:
                    self._line = line
        finally:
            self._connecting = None

    def broken(self, line: Line) -> None:
        """Throw a line away; nothing, if that was done before."""
        if line is self._line:
            self._line = None
            self._drop(line)

    async def close(self) -> None:
        """Drop the connection."""
        if self._connecting is not None:
            self._connecting.cancel()
        if self._line is not None:
            self.broken(self._line)
        await asyncio.gather(*self._closing)

    def _drop(self, line: Line) -> None:
        self._index = (self._index + 1) % len(self._endpoints)
        task = asyncio.get_running_loop().create_task(line.channel.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _call(self, doing: str, pick: Callable[[Line], Callable[..., Awaitable[T]]], request: Any, s: float) -> T:
        deadline = Deadline(s)
        line = await self.line(s)
        try:
            return await pick(line)(request, timeout=deadline.left(), metadata=REQUIRE_LEADER)
        except TimeoutError as error:
            raise StoreUnavailable(f"{doing}: not sent in time") from error
        except grpc.RpcError as error:
            failure = translate(error, doing, line.endpoint)
            if not isinstance(failure, StoreRejected):
                self.broken(line)
            raise failure from error
        except asyncio.CancelledError as error:
            if asked_to_end():
                raise
            raise StoreUnavailable(f"{doing}: the connection was dropped") from error
