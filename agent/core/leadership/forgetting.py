"""A store that forgot (R20): its data was lost, or a snapshot was restored. It is known by its id and its revisions.

One store's revisions never go back, and what stood in a key at a revision stays so. An answer that says otherwise is
late, or it comes from another store. It is late if it was asked for before the newest answer was known; else all that
was known is void, and the time when it became known counts as first sight (R7).

A leader that finds its own heartbeat there goes on: who waits, waits for longer than it counts, and every confirmation
from now on is a write that the others see.
"""

from __future__ import annotations

from agent.core.leadership.actions import Warn
from agent.core.leadership.state import StoreView
from agent.core.leadership.step import Step
from agent.core.leadership.timing import seconds, standstill
from agent.core.leadership.transitions import ACTIVE
from agent.core.model.copying import replace
from agent.core.model.records import HeartbeatKey, LeaderKey


def answered(
    step: Step, cluster: int, revision: int, leader: LeaderKey | None, heartbeat: HeartbeatKey | None, *, wrote: bool
) -> None:
    """See whether a transaction was answered by the store that was known when it was sent; else forget that one.

    What was `wrote` has a revision of its own, above all that were known.
    """
    back = revision < step.state.floor + wrote
    if back or _contradicts(step.state.seen, cluster, revision, heartbeat):
        forget(step, cluster, leader, heartbeat)
    step.set_seen(answered=step.now, cluster=cluster or step.state.seen.cluster)


def read(
    step: Step, cluster: int, revision: int, asked: int, leader: LeaderKey | None, heartbeat: HeartbeatKey | None
) -> bool:
    """See whether a read is of the store that is known; forget that one if it certainly is not. False: do not use it.

    A leader is told by its own transactions: reads that were called linearizable have been stale.
    """
    state, seen = step.state, step.state.seen
    if revision >= seen.least and not _contradicts(seen, cluster, revision, heartbeat):
        step.set_seen(cluster=cluster or seen.cluster)
        return True
    if asked > seen.answered and not state.request and state.phase not in ACTIVE:
        forget(step, cluster, leader, heartbeat)
        step.set_seen(cluster=cluster)
        return True
    return revision < seen.least and cluster in (0, seen.cluster)  # late: what is older is left out key by key


def _contradicts(seen: StoreView, cluster: int, revision: int, found: HeartbeatKey | None) -> bool:
    """Tell whether one store cannot have said both: another id, or another heartbeat at a revision that was seen."""
    if cluster and seen.cluster and cluster != seen.cluster:
        return True
    if found is None or not seen.keys_revision or not found.revision <= seen.keys_revision <= revision:
        return False
    known = seen.heartbeat
    return known is None or known.revision != found.revision or _said(known) != _said(found)


def _said(key: HeartbeatKey) -> tuple[int, str, int, bool] | None:
    record = key.record
    return (record.epoch, record.instance, record.seq, record.released) if record else None


def forget(step: Step, cluster: int, leader: LeaderKey | None, heartbeat: HeartbeatKey | None) -> None:
    """Forget the store that was known, but for the epochs; `leader` and `heartbeat` stand in the new one."""
    state, seen = step.state, step.state.seen
    wait = standstill(max(state.forgotten, seen.last_validity))
    step.set(
        seen=StoreView(
            cluster=cluster,
            answered=seen.answered,
            barred_until=max(seen.barred_until, step.now + wait),
            heartbeat_since=seen.heartbeat_since,  # since when nobody was seen to lead, until one is (see `prepare`)
            last_holder=seen.last_holder,
            max_epoch=seen.max_epoch,
            names=seen.names,
            peers=seen.peers,
            heirs=seen.heirs,
            keyed=seen.keyed,
        )
    )
    tenure = state.tenure
    if tenure is not None:
        same = leader is not None and (leader.revision, leader.lease) == (tenure.leader_revision, tenure.lease)
        step.set_tenure(
            heartbeat_revision=heartbeat.revision if heartbeat and state.mine(heartbeat) else 0,
            leader_revision=tenure.leader_revision if same else 0,
            support=replace(tenure.support, lists=(), unsaved=0),
        )
    text = "etcd's data was lost or a snapshot restored: its id changed, or its revisions went back"
    step.do(Warn("store_forgot", f"{text}; no take-over by this node for {seconds(wait)}"))
