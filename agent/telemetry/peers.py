"""What peers are to this agent, for metrics and the status page: whom it names, and what confirms it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from agent.core.leadership.state import State
from agent.core.model.store import Ms
from agent.core.node.snapshot import NodeSnapshot
from agent.peers.lane import REASONS

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


def nothing_dropped() -> dict[str, int]:
    """Return the counts of an agent without peers."""
    return dict.fromkeys(REASONS, 0)
