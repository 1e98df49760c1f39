"""What one etcd member says of itself, for status and doctor. It reads no key and needs no quorum."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from agent.adapters.deadline import Deadline
from agent.adapters.etcd_client import Connection, Endpoint, EtcdOptions
from agent.adapters.etcd_errors import translate
from agent.adapters.etcd_rpc import grpc, later_fields, rpc
from agent.errors import StoreRejected

# Fields of StatusResponse from etcd 3.4 on.
_ERRORS, _DB_SIZE_IN_USE, _IS_LEARNER = 8, 9, 10
_ALARM = re.compile(rb"alarm:(\w+)")


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """One member. Sizes in bytes; `leader` is 0 when it sees none; `alarms` are names as 'NOSPACE', of any member."""

    endpoint: str
    version: str
    member: int
    leader: int
    raft_term: int
    raft_index: int
    db_size: int
    db_size_in_use: int
    learner: bool
    alarms: tuple[str, ...]


def server_info(options: EtcdOptions, endpoint: str, timeout_s: float) -> ServerInfo:
    """Ask one member, on a connection of its own. StoreUnavailable within `timeout_s` seconds when it is silent.

    It logs in only if asked to: a login needs a quorum, and this is wanted most when there is none.
    """
    deadline = Deadline(timeout_s)
    connection = Connection(options, Endpoint.parse(endpoint, tls=options.ca is not None))
    connection.metadata = ()  # a member without a leader shall answer too
    try:
        try:
            status = _status(connection, deadline)
        except grpc.RpcError as error:
            refused = isinstance(translate(error, "status", ""), StoreRejected)
            if not refused or options.user is None or options.password is None:
                raise
            connection.login(options.user, options.password, deadline)
            status = _status(connection, deadline)
    except grpc.RpcError as error:
        raise translate(error, "status", str(connection.endpoint)) from error
    finally:
        connection.close()
    return _server_info(str(connection.endpoint), status)


def _status(connection: Connection, deadline: Deadline) -> Any:
    return connection.call(connection.client.maintenancestub.Status, rpc.StatusRequest(), deadline)


def _server_info(endpoint: str, status: Any) -> ServerInfo:
    later = later_fields(status)
    alarms = {name.decode() for text in later.get(_ERRORS, []) for name in _ALARM.findall(text)}
    return ServerInfo(
        endpoint=endpoint,
        version=str(status.version),
        member=int(status.header.member_id),
        leader=int(status.leader),
        raft_term=int(status.raftTerm),
        raft_index=int(status.raftIndex),
        db_size=int(status.dbSize),
        db_size_in_use=int(later.get(_DB_SIZE_IN_USE, [0])[0]),
        learner=bool(later.get(_IS_LEARNER, [0])[0]),
        alarms=tuple(sorted(alarms)),
    )
