"""Where etcd's own leader runs, and moving it: a peer's host that is lost together with it would take both away."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from agent.errors import StoreError, StoreRejected, StoreUnavailable
from agent.etcd.connection import Connection
from agent.etcd.rpc import rpc
from agent.etcd.store import EtcdStore
from agent.host.deadline import Deadline


@dataclass(frozen=True, slots=True)
class EtcdPlace:
    """One member of etcd. `hosts`: of its client URLs, names or addresses; `urls`: these themselves."""

    id: int
    urls: tuple[str, ...]

    @property
    def hosts(self) -> frozenset[str]:
        """The hosts in its client URLs, without brackets."""
        return frozenset(host for each in self.urls if (host := urlsplit(each).hostname))


class EtcdLeadership(EtcdStore):
    """Asks etcd about its own leader, on a connection of its own that stays. For one thread.

    Where a member is reached is asked again only when another one leads.
    """

    _last: EtcdPlace | None = None

    def leader(self, timeout_s: float) -> EtcdPlace | None:
        """Return the member that leads etcd, None while there is none. StoreError when etcd gives no answer."""
        deadline = Deadline(timeout_s)

        def send(connection: Connection, deadline: Deadline) -> int:
            status = connection.call(connection.client.maintenancestub.Status, rpc.StatusRequest(), deadline)
            return int(status.leader)

        found = self._run("status", send, timeout_s)
        if not found:
            return None
        if self._last is None or self._last.id != found:
            self._last = next((each for each in self.members(deadline.left()) if each.id == found), None)
        return self._last

    def members(self, timeout_s: float) -> tuple[EtcdPlace, ...]:
        """Return all members."""

        def send(connection: Connection, deadline: Deadline) -> tuple[EtcdPlace, ...]:
            stub = connection.client.clusterstub
            answer = connection.call(stub.MemberList, rpc.MemberListRequest(), deadline)
            return tuple(EtcdPlace(int(each.ID), tuple(map(str, each.clientURLs))) for each in answer.members)

        return self._run("list of members", send, timeout_s)

    def move(self, to: EtcdPlace, timeout_s: float) -> None:
        """Have etcd's leader hand over to another member: one that leads takes the wish, any other one refuses it."""

        def send(connection: Connection, deadline: Deadline) -> None:
            request = rpc.MoveLeaderRequest(targetID=to.id)
            connection.call(connection.client.maintenancestub.MoveLeader, request, deadline)

        deadline = Deadline(timeout_s)
        failure: StoreError = StoreRejected("not_leader", "no endpoint leads etcd")
        for _ in self._endpoints:
            try:
                return self._run("move of etcd's leader", send, deadline.left())
            except StoreUnavailable as error:  # one that does not lead says so by FAILED_PRECONDITION: the next one
                failure = error
        raise failure
