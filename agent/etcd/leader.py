"""Where etcd's own leader runs, and moving it: a peer's host that is lost together with it would take both away."""

from __future__ import annotations

from agent.errors import StoreError, StoreRejected, StoreUnavailable
from agent.etcd.info import EtcdMember, members_of
from agent.etcd.rpc import rpc
from agent.etcd.store import EtcdStore
from agent.host.deadline import Deadline


class EtcdLeadership(EtcdStore):
    """Asks etcd about its own leader, on a connection of its own that stays. For one thread.

    Where a member is reached is asked again only when another one leads.
    """

    _last: EtcdMember | None = None

    def leader(self, timeout_s: float) -> EtcdMember | None:
        """Return the member that leads etcd, None while there is none. StoreError when etcd gives no answer."""
        deadline = Deadline(timeout_s)
        status = self._ask("status", lambda etcd: etcd.maintenancestub.Status, rpc.StatusRequest(), timeout_s)
        found = int(status.leader)
        if not found:
            return None
        if self._last is None or self._last.id != found:
            self._last = next((each for each in self.members(deadline.left()) if each.id == found), None)
        return self._last

    def members(self, timeout_s: float) -> tuple[EtcdMember, ...]:
        """Return all members."""
        request = rpc.MemberListRequest()
        answer = self._ask("list of members", lambda etcd: etcd.clusterstub.MemberList, request, timeout_s)
        return members_of(answer)

    def move(self, to: EtcdMember, timeout_s: float) -> None:
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
