"""The port `Store` on etcd: one connection at a time, thrown away at its first failure, then the next endpoint.

What is retried here, and what is not. Connecting is, over all endpoints, until the call's deadline: nothing of the
caller's was sent. A request that etcd refused for a stale token is, once, after a new login: it was not applied.
Any other request is sent once, and its failure is the caller's to judge (R2).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from agent.core.model.store import Ms, Snapshot, Txn, TxnAnswer
from agent.errors import LeaseGone, StoreError, StoreRejected, StoreUnavailable
from agent.etcd.connection import Connection, EtcdEndpoint, EtcdOptions, open_connection
from agent.etcd.errors import TokenStale, translate
from agent.etcd.info import EtcdMember, members_of
from agent.etcd.rpc import grpc, range_request, rpc, snapshot, txn_answer, txn_request
from agent.etcd.watch import EtcdWatch
from agent.host.clock import boot_ms
from agent.host.deadline import Deadline
from agent.host.jitter import Pauses
from agent.net.metered import Note, metered, not_noted
from agent.ports import Lease

T = TypeVar("T")
_CONNECT_S = 1.0  # one endpoint may take this long to connect, or half of the time left if that is more


class EtcdStore:
    """A store for one thread (port `Store`). Two threads need two of them; they share nothing.

    The first call connects. `kept` hears of a lease (R6): its TTL in seconds, and when the request that gave it was
    sent (CLOCK_BOOTTIME); TTL 0 when it is gone. `term`: etcd's, as the last transaction told: each of its leaders has
    one of its own.
    """

    def __init__(
        self, options: EtcdOptions, note: Note = not_noted, kept: Callable[[int, Ms], None] = lambda _ttl, _at: None
    ) -> None:
        self.note = note
        self.term = 0
        self._kept = kept
        self._options = options
        self._endpoints = self._parsed(options.endpoints)
        self._index = 0
        self._unfit = False
        self._pauses = Pauses(options.most_pause_s)  # between two rounds over endpoints that refuse at once
        self._connection: Connection | None = None
        self._leader: EtcdMember | None = None

    @metered("grant")
    def grant(self, ttl_s: int, timeout_s: float) -> Lease:
        """Grant a lease; etcd may give more than `ttl_s` seconds (2 at least, with its defaults)."""
        at, request = boot_ms(), rpc.LeaseGrantRequest(TTL=ttl_s)
        answer = self._ask("grant of a lease", lambda etcd: etcd.leasestub.LeaseGrant, request, timeout_s)
        self._kept(int(answer.TTL), at)
        return Lease(int(answer.ID), int(answer.TTL))

    @metered("keepalive")
    def keepalive(self, lease: int, timeout_s: float) -> int:
        """Refresh a lease; return its TTL in seconds. etcd answers for an expired one with TTL 0: LeaseGone."""

        def send(connection: Connection, deadline: Deadline) -> int:
            answer = connection.keepalive(rpc.LeaseKeepAliveRequest(ID=lease), deadline)
            self._see(connection, answer.header, deadline)
            return int(answer.TTL)

        at = boot_ms()
        try:
            ttl = self._run("keepalive of a lease", send, timeout_s)
        except LeaseGone:
            ttl = 0
        self._kept(max(0, ttl), at)
        if ttl <= 0:
            raise LeaseGone(f"etcd at {self.endpoint()}: lease {lease:x} has expired or was revoked: grant a new one")
        return ttl

    @metered("lease_state")
    def lease_state(self, lease: int, timeout_s: float) -> int:
        """Return what a lease has left. One that is over but not yet swept has 0 seconds; one that is gone, -1."""
        request = rpc.LeaseTimeToLiveRequest(ID=lease)
        answer = self._ask("state of a lease", lambda etcd: etcd.leasestub.LeaseTimeToLive, request, timeout_s)
        return max(0, int(answer.TTL)) if answer.grantedTTL > 0 else -1

    @metered("revoke")
    def revoke(self, lease: int, timeout_s: float) -> None:
        """Revoke a lease and with it its keys; one that is gone already is fine."""
        request = rpc.LeaseRevokeRequest(ID=lease)
        with suppress(LeaseGone):
            self._ask("revocation of a lease", lambda etcd: etcd.leasestub.LeaseRevoke, request, timeout_s)
        self._kept(0, boot_ms())

    @metered("txn")
    def txn(self, txn: Txn, timeout_s: float) -> TxnAnswer:
        """Run one transaction. StoreUnavailable: unknown outcome, it may even be applied later (R2)."""
        answer = self._ask("transaction", lambda etcd: etcd.kvstub.Txn, txn_request(txn), timeout_s)
        self.term = int(answer.header.raft_term)
        return txn_answer(answer)

    @metered("range")
    def range(self, prefix: str, timeout_s: float) -> Snapshot:
        """Read all keys under a prefix, linearizably as far as the server keeps that promise."""
        answer = self._ask(f"read of {prefix}", lambda etcd: etcd.kvstub.Range, range_request(prefix), timeout_s)
        return snapshot(answer)

    @metered("watch")
    def watch(self, prefix: str, revision: int, timeout_s: float) -> EtcdWatch:
        """Watch a prefix from `revision` on (inclusive). The watch ends with the connection that it was opened on."""

        def send(connection: Connection, deadline: Deadline) -> EtcdWatch:
            probe = range_request(prefix, count_only=True)  # a watch with a stale token would be silent, not refused
            header = connection.call(connection.client.kvstub.Range, probe, deadline).header
            self._see(connection, header, deadline)
            now = int(header.revision)
            if now < revision - 1:  # a watch from a revision that is yet to come is silent until it comes
                raise StoreUnavailable(f"etcd at {connection.endpoint} is at revision {now}, before {revision - 1}")
            watch = EtcdWatch(connection, prefix, revision, lambda: self._turn(connection))
            watch.wait_created(deadline)
            return watch

        return self._run(f"watch of {prefix}", send, timeout_s)

    def leader(self, timeout_s: float) -> EtcdMember | None:
        """Return the member that leads etcd, None while there is none.

        Where it is reached is asked again only when another one leads.
        """
        deadline = Deadline(timeout_s)
        status = self._ask("status", lambda etcd: etcd.maintenancestub.Status, rpc.StatusRequest(), timeout_s)
        found = int(status.leader)
        if not found:
            return None
        if self._leader is None or self._leader.id != found:
            self._leader = next((each for each in self.members(deadline.left()) if each.id == found), None)
        return self._leader

    def members(self, timeout_s: float) -> tuple[EtcdMember, ...]:
        """Return all members."""
        request = rpc.MemberListRequest()
        answer = self._ask("list of members", lambda etcd: etcd.clusterstub.MemberList, request, timeout_s)
        return members_of(answer)

    def move_leader(self, to: EtcdMember, timeout_s: float) -> None:
        """Have etcd's leader hand over to another member: one that leads takes the wish, any other one refuses it."""
        deadline, request = Deadline(timeout_s), rpc.MoveLeaderRequest(targetID=to.id)
        failure: StoreError = StoreRejected("not_leader", "no endpoint leads etcd")
        for _ in self._endpoints:
            try:
                left = deadline.left()
                self._ask("move of etcd's leader", lambda etcd: etcd.maintenancestub.MoveLeader, request, left)
            except StoreUnavailable as error:  # one that does not lead says so by FAILED_PRECONDITION: the next one
                failure = error
            else:
                return
        raise failure

    def endpoint(self) -> str:
        """Return the endpoint in use, or the next to be tried."""
        return str(self._endpoints[self._index]) if self._endpoints else str(self._options.discovery)

    def close(self) -> None:
        """Drop the connection, its watches with it."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close(wait_s=0.5)

    def _ask(self, doing: str, method: Callable[[Any], Any], request: Any, timeout_s: float) -> Any:
        """Send one request, by that method of a client, and return its answer."""

        def send(connection: Connection, deadline: Deadline) -> Any:
            answer = connection.call(method(connection.client), request, deadline)
            self._see(connection, answer.header, deadline)
            return answer

        return self._run(doing, send, timeout_s)

    def _run(self, doing: str, send: Callable[[Connection, Deadline], T], timeout_s: float) -> T:
        deadline = Deadline(timeout_s)
        while True:
            fresh = self._connection is None
            try:
                return self._attempt(doing, send, deadline)
            except TokenStale as error:
                if self._options.user is None:
                    raise
                if fresh:  # a token that was given just now: another login would bring the same
                    self._options.refused_login(self._options.secret(), error)
                    raise

    def _attempt(self, doing: str, send: Callable[[Connection, Deadline], T], deadline: Deadline) -> T:
        """Send a request once, on a connection that is good as far as we know."""
        connection = self._connection or self._connect(doing, deadline)
        try:
            return send(connection, deadline)
        except grpc.RpcError as error:
            failure = translate(error, doing, str(connection.endpoint))
            self._judge(connection, failure)
            raise failure from error
        except StoreError as failure:  # a watch translates for itself
            self._judge(connection, failure)
            raise

    def _judge(self, connection: Connection, failure: StoreError) -> None:
        """Drop the connection unless the member answered properly, and said no for good."""
        if isinstance(failure, StoreUnavailable):
            self._turn(connection)
        elif isinstance(failure, TokenStale | LeaseGone):  # a lease may be unknown because the cluster is another one
            self._drop(connection)

    def _turn(self, connection: Connection) -> None:
        """Drop this connection and turn to the next endpoint; nothing, if it was dropped before."""
        if self._drop(connection):
            self._index = (self._index + 1) % len(self._endpoints)

    def _drop(self, connection: Connection) -> bool:
        if self._connection is not connection:
            return False
        self._connection = None
        connection.close()
        return True

    def _connect(self, doing: str, deadline: Deadline) -> Connection:
        """Go round the endpoints until one is fit, or the deadline is over. Pauses between rounds outlast a call."""
        said: dict[str, str] = {}  # the first reason of each: the last may only be that time ran out
        while True:
            pause = self._pauses.left_s()
            if pause >= deadline.remaining():
                raise StoreUnavailable(f"{doing}: not sent, no etcd endpoint is fit: {_together(said)}")
            time.sleep(pause)
            self._look_up(deadline)
            for _ in self._endpoints:
                endpoint = self._endpoints[self._index]
                share = Deadline(max(min(_CONNECT_S, deadline.remaining()), deadline.remaining() / 2))
                try:
                    self._connection = self._open(endpoint, share)
                except StoreRejected:
                    self._index = (self._index + 1) % len(self._endpoints)  # another may know us
                    raise
                except StoreUnavailable as error:
                    self._unfit = True
                    said.setdefault(str(endpoint), str(error))
                    self._index = (self._index + 1) % len(self._endpoints)
                else:
                    self._unfit = False
                    return self._connection
                if deadline.remaining() <= 0:
                    break
            self._pauses.after_failure()

    def _open(self, endpoint: EtcdEndpoint, deadline: Deadline) -> Connection:
        connection = open_connection(self._options, endpoint, deadline)
        try:
            if connection.first is not None:
                self._see(connection, connection.first, deadline)
        except StoreUnavailable:
            connection.close()
            raise
        return connection

    def _see(self, connection: Connection, header: Any, deadline: Deadline) -> None:
        """See that an answer is of the cluster that is known: gRPC connects again by itself to what listens there now.

        StoreUnavailable when it is of another one. The members are listed again with each term of etcd's: without a new
        leader nobody can have been taken out by force.
        """
        known, cluster, term = self._options.cluster, int(header.cluster_id), int(header.raft_term)
        endpoint, endpoints = str(connection.endpoint), {str(each) for each in self._endpoints}
        why = known.foreign(endpoint, cluster, endpoints) if cluster else ""
        if not why and term != connection.term:
            why = known.cut_down(self._voters(connection, deadline))
        if why:
            raise StoreUnavailable(f"etcd at {endpoint}: {why}")
        connection.term = term

    def _voters(self, connection: Connection, deadline: Deadline) -> frozenset[int]:
        """Return who votes, as this very member lists it; nobody, where it may not tell us.

        StoreUnavailable for every other failure: what was sent before may have been applied.
        """
        try:
            answer = connection.call(connection.client.clusterstub.MemberList, rpc.MemberListRequest(), deadline)
        except grpc.RpcError as error:
            failure = translate(error, "list of members", str(connection.endpoint))
            if isinstance(failure, StoreRejected):
                return frozenset()
            raise failure from error
        return frozenset(each.id for each in members_of(answer) if not each.learner)

    def _look_up(self, deadline: Deadline) -> None:
        """See which members there are, where DNS names them: again after one that was not fit."""
        if self._options.discovery is None:
            return
        try:
            found = self._parsed(self._options.members(deadline, anew=self._unfit))
        except StoreUnavailable:
            self._pauses.after_failure()
            raise
        if found != self._endpoints:
            self._endpoints, self._index = found, 0

    def _parsed(self, endpoints: tuple[str, ...]) -> list[EtcdEndpoint]:
        return [EtcdEndpoint.parse(text, tls=self._options.ca is not None) for text in endpoints]


def _together(said: dict[str, str]) -> str:
    """Return why each endpoint is not fit, for people: a reason that several have is told once."""
    found: dict[str, list[str]] = {}
    for endpoint, text in said.items():
        reason = text.removeprefix(f"etcd at {endpoint}").removeprefix(", connecting").lstrip(",: ")
        found.setdefault(reason, []).append(endpoint)
    return "; ".join(f"{', '.join(each)}: {why}" for why, each in found.items()) or "they failed a moment ago"
