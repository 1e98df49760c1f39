"""Which cluster the endpoints belong to, and when another one is believed (R20). No request lives here."""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection

log = logging.getLogger(__name__)


class OneCluster:
    """The id of the cluster that is known. Safe from several threads: the stores of one process share it.

    One endpoint may come to be of another cluster: a member that was set up anew by itself, a wrong address. Who went
    by it would lead in a group of its own, beside the leader of this one. So another id is believed only once more than
    half of the endpoints have told it: then those of the old one are a minority, which confirms nothing.

    A member that was cut off and started with --force-new-cluster keeps the id, and its revisions go on. It shows by
    its list: of the voters that are known half or more are gone at once, and nobody came in their place.
    """

    def __init__(self) -> None:
        self.known = 0
        self._lock = threading.Lock()
        self._told: dict[str, int] = {}
        self._voters: frozenset[int] = frozenset()

    def told(self, endpoint: str, cluster: int, endpoints: Collection[str]) -> int:
        """Note the id that an endpoint told; return how many of all those that are used have told it."""
        with self._lock:
            self._told[endpoint] = cluster
            votes = sum(self._told.get(each) == cluster for each in endpoints)
            if 2 * votes > len(endpoints):
                self.known = cluster
            return votes

    def foreign(self, endpoint: str, cluster: int, endpoints: Collection[str]) -> str:
        """Return why an endpoint that told this id is left alone; empty: it is not. While none is known, it is ours."""
        news = self._told.get(endpoint) != cluster
        votes = self.told(endpoint, cluster, endpoints)
        self.known = self.known or cluster
        if cluster == self.known:
            return ""
        why = (
            f"it is of another cluster ({cluster:x}, ours is {self.known:x}), which {votes} of {len(endpoints)} "
            "endpoints tell: it is left alone. Have it join the others, or take it out of etcd.endpoints; where "
            "etcd was set up anew on purpose, restart the agents"
        )
        if news:
            log.warning("etcd at %s: %s", endpoint, why)
        return why

    def cut_down(self, voters: frozenset[int]) -> str:
        """Return why an endpoint that lists these voters is left alone; empty: it is not, and they are known now.

        Where it lists nobody nothing is told.
        """
        with self._lock:
            known = self._voters
            if voters and voters < known and 2 * len(voters) <= len(known):
                return (
                    f"it lists {len(voters)} of the {len(known)} members that are known: was it started with "
                    "--force-new-cluster? The others may be a cluster, and confirm a leader: it is left alone. Where "
                    "they are gone for good, restart the agents"
                )
            self._voters = voters or known
            return ""
