"""What peers are to this agent, for metrics and pages: whom it names, what confirms it, what its socket dropped."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agent.core.leadership.state import State
from agent.core.leadership.timing import PeersMode
from agent.core.model.store import Ms
from agent.core.node.snapshot import NodeSnapshot
from agent.peers.lane import REASONS
from agent.ports import Clock
from agent.telemetry.families import Kit

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

SOURCES = ("etcd", "peers")


@dataclass(frozen=True, slots=True)
class Confirmation:
    """What confirms a leader. `left`: ms for which each source alone does; `by`: the one that does for longest."""

    by: str
    left: dict[str, Ms]


def confirmation(state: State, now: Ms) -> Confirmation | None:
    """Return what confirms us as the leader, None if nothing does."""
    if state.tenure is None or now >= state.tenure.valid_until:
        return None
    known = state.support.lists[0] if state.support.lists else None
    by_etcd = known.at + known.validity_ms if known else state.tenure.valid_until
    votes = [state.support.vote(peer) for peer in state.support.named]
    sent = min((vote.sent if vote else 0 for vote in votes), default=0)
    by_peers = sent + state.identity.timing.peers_validity if sent else 0
    left = {"etcd": max(0, by_etcd - now), "peers": max(0, by_peers - now)}
    return Confirmation("peers" if left["peers"] > left["etcd"] else "etcd", left)


def told(snapshot: NodeSnapshot, now: Ms, lane: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return what the status page says of peers; `lane` tells of the socket."""
    node, state = snapshot.node, snapshot.node.leadership
    found = confirmation(state, now)
    record = state.seen.record
    return {
        "mode": state.identity.timing.peers.value,
        "named": [peer.node for peer in record.peers] if record else [],
        "confirmed_by": found.by if found else None,
        "promised_s": {
            vote.peer.node: (now - vote.heard) / 1000 for vote in state.support.votes if state.tenure is not None
        },
        "etcd_away_s": (now - node.etcd_down_since) / 1000 if node.etcd_down_since is not None else None,
        "etcd_beside": list(state.etcd_beside),
        **lane(),
    }


class PeerGauges(Kit):
    """What peers are, as metrics. `dropped` returns how many datagrams the socket dropped, by reason."""

    def __init__(
        self,
        base: tuple[str, str],
        clock: Clock,
        snapshot: Callable[[], NodeSnapshot],
        dropped: Callable[[], dict[str, int]],
    ) -> None:
        super().__init__(base)
        self._clock = clock
        self._snapshot = snapshot
        self._dropped = dropped

    def collect(self) -> Iterator[Metric]:
        """Compute all of them now."""
        state, now = self._snapshot().node.leadership, self._clock.boot()
        record = state.seen.record
        modes = {mode.value: float(mode is state.identity.timing.peers) for mode in PeersMode}
        yield self._by("peers_mode", "1 for the mode of the peers.", "mode", modes)
        yield self._one("peers_named", "Peers that the heartbeat names.", len(record.peers) if record else 0)
        found = confirmation(state, now)
        left = {source: found.left[source] / 1000 if found else 0.0 for source in SOURCES}
        text = "Seconds for which this source alone confirms this node."
        yield self._by("validity_remaining_by_source_seconds", text, "source", left)
        yield self._one(
            "peers_validity_seconds",
            "E_s: seconds for which a beat that every peer promised for allows production.",
            state.identity.timing.peers_validity / 1000,
        )
        text = "Datagrams of peers that were dropped."
        yield self._counts("peer_datagrams_dropped", text, "reason", self._dropped())


def nothing_dropped() -> dict[str, int]:
    """Return the counts of an agent without peers."""
    return dict.fromkeys(REASONS, 0)
