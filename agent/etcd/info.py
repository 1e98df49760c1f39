"""What one etcd member says of itself and of the others, for status and doctor. It reads no key."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from agent.errors import StoreError, StoreRejected, StoreUnavailable
from agent.etcd.connection import Connection, EtcdEndpoint, EtcdOptions
from agent.etcd.errors import translate
from agent.etcd.rpc import grpc, later_fields, rpc
from agent.host.deadline import Deadline

# Fields of StatusResponse from etcd 3.4 on.
_ERRORS, _IS_LEARNER = 8, 10
_MEMBER_IS_LEARNER = 5  # field of Member from etcd 3.4 on
_ALARM = re.compile(rb"alarm:(\w+)")


@dataclass(frozen=True, slots=True)
class EtcdServer:
    """One endpoint, and what it says of itself. `error`: why it did not answer. Sizes in bytes.

    cluster  the id of the cluster that it belongs to; 0: not told
    leader   0 when it sees none
    alarms   names as 'NOSPACE', of any member

    What follows `db_size` only its metrics and its TLS handshake tell; `fsync_s`: the 99th percentile of its disk.
    """

    endpoint: str
    error: str = ""
    version: str = ""
    cluster: int = 0
    member: int = 0
    leader: int = 0
    learner: bool = False
    alarms: tuple[str, ...] = ()
    db_size: int = 0
    quota: int | None = None
    fsync_s: float | None = None
    compacted: int | None = None
    metrics_error: str = ""
    certificate_days: float | None = None


def server_info(options: EtcdOptions, endpoint: str, timeout_s: float) -> EtcdServer:
    """Ask one member, on a connection of its own. StoreUnavailable within `timeout_s` seconds when it is silent.

    It logs in only if asked to: a login needs a quorum, and this is wanted most when there is none.
    """
    status = _asked(options, endpoint, Deadline(timeout_s), "status", _status)
    later = later_fields(status)
    alarms = {name.decode() for text in later.get(_ERRORS, []) for name in _ALARM.findall(text)}
    return EtcdServer(
        endpoint,
        version=str(status.version),
        cluster=int(status.header.cluster_id),
        member=int(status.header.member_id),
        leader=int(status.leader),
        db_size=int(status.dbSize),
        learner=bool(later.get(_IS_LEARNER, [0])[0]),
        alarms=tuple(sorted(alarms)),
    )


@dataclass(frozen=True, slots=True)
class EtcdMember:
    """One member as the cluster lists it; `urls` are those for clients."""

    id: int
    urls: tuple[str, ...]
    learner: bool = False

    @property
    def hosts(self) -> frozenset[str]:
        """The hosts in its client URLs, names or addresses, without brackets."""
        return frozenset(host for each in self.urls if (host := urlsplit(each).hostname))


def members_of(answer: Any) -> tuple[EtcdMember, ...]:
    """Return the members of a MemberListResponse."""
    return tuple(
        EtcdMember(
            int(each.ID), tuple(map(str, each.clientURLs)), bool(later_fields(each).get(_MEMBER_IS_LEARNER, [0])[0])
        )
        for each in answer.members
    )


def member_list(options: EtcdOptions, timeout_s: float) -> tuple[EtcdMember, ...]:
    """List the members, asking one endpoint after another. StoreError within `timeout_s` seconds when none answers."""
    deadline, failure = Deadline(timeout_s), StoreError("no endpoint")
    endpoints = options.members(deadline)
    for index, endpoint in enumerate(endpoints):
        share = Deadline(deadline.remaining() / (len(endpoints) - index))  # a silent one leaves time for others
        try:
            return members_of(_asked(options, endpoint, share, "list of members", _members))
        except StoreError as error:
            failure = error
    raise StoreUnavailable(str(failure)) from failure


LEARN_S = 0.5
"""Until most endpoints have told their cluster; some milliseconds, while all are well."""


def learn_cluster(options: EtcdOptions, timeout_s: float = LEARN_S) -> None:
    """Learn of which cluster most endpoints are, within `timeout_s` seconds; else the first that answers will tell."""
    deadline, heard = Deadline(timeout_s), threading.Semaphore(0)
    try:
        endpoints = {str(EtcdEndpoint.parse(each, tls=options.ca is not None)) for each in options.members(deadline)}
    except StoreError:
        return

    def ask(endpoint: str) -> None:
        with suppress(StoreError):
            options.cluster.told(endpoint, server_info(options, endpoint, deadline.remaining()).cluster, endpoints)
        heard.release()

    for each in endpoints if len(endpoints) > 1 else ():
        threading.Thread(target=ask, args=(each,), name="etcd-cluster", daemon=True).start()
    for _ in endpoints if len(endpoints) > 1 else ():
        heard.acquire(timeout=deadline.remaining())
        if options.cluster.known:
            return


def _asked(
    options: EtcdOptions, endpoint: str, deadline: Deadline, doing: str, ask: Callable[[Connection, Deadline], Any]
) -> Any:
    """Ask one member, on a connection of its own; return its answer."""
    connection = Connection(options, EtcdEndpoint.parse(endpoint, tls=options.ca is not None))
    connection.metadata = ()  # a member without a leader shall answer too
    try:
        try:
            return ask(connection, deadline)
        except grpc.RpcError as error:
            refused = isinstance(translate(error, doing, ""), StoreRejected)
            if not refused or options.user is None or options.password is None:
                raise
            connection.login(options.user, options.secret(), deadline)
            return ask(connection, deadline)
    except grpc.RpcError as error:
        raise translate(error, doing, str(connection.endpoint)) from error
    finally:
        connection.close()


def _members(connection: Connection, deadline: Deadline) -> Any:
    return connection.call(connection.client.clusterstub.MemberList, rpc.MemberListRequest(), deadline)


def _status(connection: Connection, deadline: Deadline) -> Any:
    return connection.call(connection.client.maintenancestub.Status, rpc.StatusRequest(), deadline)
