"""What agents send, without agents: `python -m tests.lab.scale.wire ENDPOINTS FIRST COUNT SHARE 0 PEERS`.

A group costs what two agents cost etcd: a transaction with two comparisons every R, two member reports every 2 s, two
keepalives each fifth of the lease, two watches. With peers, confirmations and reports come every 5 s (R17). Each
request is made once and sent again and again, so both comparisons are of the key `leader`; no answer is parsed. A
request without an answer is noted, and sent again at its next turn. Nobody leads; it is counted how often a leader with
these answers would have had to stop: for want of confirmations, or with peers of keepalives. Output as of `crowd`.
"""

from __future__ import annotations

import asyncio
import math
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from agent.core.leadership.timing import Timing
from agent.core.model import records
from agent.core.model.keys import Keys, keys
from agent.core.model.records import OFTEN, SELDOM, Heartbeat, Member
from agent.core.model.store import Compare, Ms, Put, Txn
from agent.errors import StoreError
from agent.etcd.rpc import grpc, txn_request, watch_request
from agent.host.clock import boot_ms
from agent.runtime.session import RENEWALS
from tests.lab.scale.link import Link, asked_to_end
from tests.lab.scale.process import main

TIMING = Timing()
T = TypeVar("T")
REQUEST_S = TIMING.request / 1000
LEADER = "bp-a"
MEMBER = Member(LEADER, "0123456789abcdef", "standby", True, True, (), 1000, 900, 0, 100, False, "0.1.0", "v4.1.0")


class Lead:
    """Whether a leader that was answered so would lead still.

    validity: for how long an answer lets it lead, from before the request left (ms): E after a confirmation (R1), or
    the lease after a keepalive, while members promise (R15).
    """

    def __init__(self, sent: Ms, validity: Ms = TIMING.validity) -> None:
        self._sent = sent
        self._may_last = validity - TIMING.margin
        self._lost = 0

    def lost(self, now: Ms) -> int:
        """Return how often it had to stop: A before the end of the validity of what was answered last (R3)."""
        return self._lost + (now > self._sent + self._may_last)

    def answered(self, sent: Ms, now: Ms) -> None:
        """Take an answer; the validity counts from before it was sent."""
        self._lost = self.lost(now)
        self._sent = sent


class Wire:
    """The requests of groups `first` to `first + count`."""

    def __init__(
        self, endpoints: Sequence[str], first: int, count: int, share: int, in_step: bool = False, peers: str = "off"
    ) -> None:
        self.told: list[tuple[str, Ms, Ms]] = []
        self.events = 0
        self._leads: list[Lead] = []
        self._numbers = range(first, first + count)
        self._share = share
        self._in_step = in_step
        self._peers = peers != "off"
        self._links = [Link(endpoints, at) for at in range(2 * (count // share + 1))]
        self._tasks: list[asyncio.Task[None]] = []

    async def begin(self) -> None:
        """Start all; the groups are spread over R."""
        for at, number in enumerate(self._numbers):
            one, two = (self._links[2 * (at // self._share) + side] for side in (0, 1))
            names = keys("/nodeos-failover", f"wire-{number}")
            works = [self._confirm(one, names)]
            for link, node in ((one, LEADER), (two, "bp-b")):
                works += [self._report(link, names, node), self._watch(link, names)]
            self._tasks += [asyncio.create_task(each) for each in works]
            await asyncio.sleep(self._renew_s / max(1, len(self._numbers)) * 4)

    @property
    def _renew_s(self) -> float:
        return (SELDOM if self._peers else TIMING.renew) / 1000

    async def close(self) -> None:
        """End all."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(link.close() for link in self._links))

    @property
    def led(self) -> int:
        """How many groups have begun."""
        return len(self._leads)

    @property
    def stops(self) -> int:
        """How often a leader would have had to stop."""
        now = boot_ms()
        return sum(each.lost(now) for each in self._leads)

    async def _send(self, kind: str, link: Link, request: bytes) -> Ms | None:
        """Send one transaction, and note how long it took; return when it was sent, None without an answer."""
        sent = boot_ms()
        try:
            line = await link.line(REQUEST_S)
        except StoreError:
            self.told.append((kind, sent, -1))
            return None
        try:
            await line.txn_bytes(request, timeout=REQUEST_S)
        except (grpc.RpcError, asyncio.CancelledError):
            if asked_to_end():
                raise
            link.broken(line)
            self.told.append((kind, sent, -1))
            return None
        self.told.append((kind, sent, boot_ms() - sent))
        return sent

    async def _confirm(self, link: Link, names: Keys) -> None:
        now = asyncio.get_running_loop().time
        first = await _sure(lambda: link.txn(Txn((), (Put(names.leader, LEADER.encode()),)), 10.0))
        record = Heartbeat(1, LEADER, "0123456789abcdef", 1, TIMING.validity, False, None, "the seat is free")
        compare, put = Compare(names.leader, first.revision), Put(names.heartbeat, records.write(record))
        request = txn_request(Txn((compare, compare), (put,), (names.leader, names.heartbeat))).SerializeToString()
        lead = Lead(boot_ms())
        if not self._peers:
            self._leads.append(lead)
        due, renew = now(), self._renew_s
        while True:
            sent = await self._send("confirm", link, request)
            if sent is not None:
                lead.answered(sent, boot_ms())
            due += renew
            if now() > due:  # held up: go on at the group's beat, or R from now on as without one
                due = now() if self._in_step else due + math.ceil((now() - due) / renew) * renew
            await asyncio.sleep(due - now())

    async def _report(self, link: Link, names: Keys, node: str) -> None:
        lease = await _sure(lambda: link.grant(TIMING.lease_ttl, 10.0))
        self._tasks.append(asyncio.create_task(self._keep(link, lease, leads=node == LEADER)))
        request = txn_request(Txn((), (Put(names.member(node), records.write(MEMBER), lease),))).SerializeToString()
        while True:
            await self._send("report", link, request)
            await asyncio.sleep((SELDOM if self._peers else OFTEN) / 1000)

    async def _keep(self, link: Link, lease: int, *, leads: bool) -> None:
        lead = Lead(boot_ms(), 1000 * TIMING.lease_ttl)
        if self._peers and leads:
            self._leads.append(lead)
        while True:
            await asyncio.sleep(TIMING.lease_ttl / RENEWALS)
            sent = boot_ms()
            try:
                await link.keepalive(lease, REQUEST_S)
            except StoreError:
                self.told.append(("keepalive", sent, -1))
            else:
                self.told.append(("keepalive", sent, boot_ms() - sent))
                lead.answered(sent, boot_ms())

    async def _watch(self, link: Link, names: Keys) -> None:
        request = watch_request(names.root, 0).SerializeToString()
        while True:
            try:
                line = await link.line(10.0)
                call = line.channel.stream_stream("/etcdserverpb.Watch/Watch", None, None)()
                await call.write(request)
                await call.read()  # that it was created
                while await call.read() is not grpc.aio.EOF:
                    self.events += 1
            except (StoreError, grpc.RpcError):
                await asyncio.sleep(0.2)
            except asyncio.CancelledError:
                if asked_to_end():
                    raise

    def report(self) -> dict[str, object]:
        """Return what `Crowd.report` does."""
        return {"requests": self.told, "stops": ["expiring"] * self.stops, "doubled": 0, "events": self.events}


async def _sure(ask: Callable[[], Awaitable[T]]) -> T:
    """Ask until there is an answer: many that begin at once keep each other waiting."""
    while True:
        try:
            return await ask()
        except StoreError:
            await asyncio.sleep(0.5)


if __name__ == "__main__":
    sys.exit(main(Wire, sys.argv[1:]))
