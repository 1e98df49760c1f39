"""Holding the right to produce: confirm (R1, R2), stop in time (R3), prove, release (R5).

The answers of the store are taken in here. How nodeos is stopped stands in `production`, the take-over in `campaign`.
"""

from __future__ import annotations

from agent.core.leadership import forgetting
from agent.core.leadership.actions import Warn
from agent.core.leadership.events import Applied, Refused, Rejected, Unknown
from agent.core.leadership.gate import last_block_missed
from agent.core.leadership.peers import (
    confirm_within,
    heirs_of,
    held_by_lease,
    lease_for,
    listed,
    next_confirmation,
    plan_list,
    prolong,
    rule_lapsed,
)
from agent.core.leadership.production import begin_stop, rule_read_last_block, stop
from agent.core.leadership.state import Phase, State, StoreView
from agent.core.leadership.step import Step
from agent.core.leadership.support import Sent
from agent.core.leadership.transitions import ACTIVE
from agent.core.model.peers import Peer
from agent.core.model.records import Heartbeat, HeartbeatKey, LeaderKey, write
from agent.core.model.store import Compare, Delete, Ms, Put, Txn

# --- what the store answered ---


def learn(step: Step, revision: int, leader: LeaderKey | None, heartbeat: HeartbeatKey | None) -> None:
    """Note what stands in the two keys at `revision`, unless something newer is known. First sight counts as o (R7)."""
    seen = step.state.seen
    if revision < seen.least:
        return
    record = heartbeat.record if heartbeat else None
    anew = revision_of(heartbeat) != revision_of(seen.heartbeat)
    forged = _forged(seen, leader, heartbeat) if anew else seen.forged
    step.set_seen(
        keys_revision=revision,
        least=max(revision, seen.least),
        leader=leader,
        heartbeat=heartbeat,
        leader_since=seen.leader_since if revision_of(leader) == revision_of(seen.leader) else step.now,
        heartbeat_since=step.now if anew else seen.heartbeat_since,
        last_holder=record.node if record else seen.last_holder,
        max_epoch=max(seen.max_epoch, record.epoch if record else 0),
        forged=forged,
        last_validity=record.validity_ms if record and not forged else seen.last_validity,
        moved=bool(seen.keys_revision) and (anew or seen.moved),
        heirs=_heirs(step.state, heartbeat, forged=forged) if anew else seen.heirs,
        at_first=not anew and seen.at_first if seen.keys_revision else not _ours(step.state, record),
        newer=anew or seen.newer,
    )


def _ours(state: State, record: Heartbeat | None) -> bool:
    """Tell whether this very process wrote a heartbeat: then it knows what came before (R20)."""
    return record is not None and record.instance == state.identity.instance


def _heirs(state: State, heartbeat: HeartbeatKey | None, *, forged: bool) -> tuple[Peer, ...] | None:
    """Return who alone may take over from a heartbeat that is new to us; None: anybody (R13).

    What cannot be read, or its holder did not write (`forged`), leaves it to whom the last one left it, and at first
    sight to nobody, whether peers are on here or not: promises may hold a leader that is cut off. So does the first
    sight of a store that forgot, where what stands there is older (R20).
    """
    seen = state.seen
    record = heartbeat.record if heartbeat else None
    if forged or (heartbeat is not None and record is None):
        return () if not seen.keys_revision and seen.heirs is None and seen.keyed else seen.heirs
    named = heirs_of(record) if record and not record.released else None
    if seen.keys_revision or seen.heirs is None:
        return named
    return seen.heirs if named is None else tuple(each for each in named if each in seen.heirs)


def _forged(seen: StoreView, leader: LeaderKey | None, heartbeat: HeartbeatKey | None) -> bool:
    """Tell whether the node that a heartbeat names cannot have written it: somebody put it by hand.

    A take-over puts `leader`, too, and each confirmation after it has a greater seq than the one before, and no less
    validity where neither names peers (less counts when the next tenure tells it, if settings were changed in this
    one). A release takes the leader's own `leader`, with its lease, away in the same transaction (R5): where that is
    older and still there, the holder may not know of it. One with a lease goes with it: nobody has deleted it.
    """
    known, record = seen.record, heartbeat.record if heartbeat else None
    if heartbeat is None:
        return seen.heartbeat is not None and seen.heartbeat.lease > 0
    if record is None:
        return False
    if record.released:
        if leader is None or not leader.lease or leader.name != record.node:
            return False
        return leader.revision < heartbeat.revision
    if known is None:
        return False
    if known.epoch != record.epoch:
        return leader is not None and leader.revision <= seen.keys_revision
    if known.instance != record.instance:
        return False
    shorter = record.validity_ms < seen.last_validity and not (known.peers or record.peers)
    return shorter or record.seq <= known.seq


def revision_of(key: LeaderKey | HeartbeatKey | None) -> int:
    """Return the mod revision of a key, 0 when it is absent."""
    return key.revision if key else 0


def applied(step: Step, event: Applied) -> None:
    """Handle the answer that our transaction was applied: it, and nothing else, stands in the store now."""
    kind = _close(step, event.request)
    if not kind:
        return
    state = step.state
    if kind == "vacate":
        step.set_seen(leader=None, leader_since=step.now)  # how the heartbeat stood then is not known
        _end(step, "superseded")
        return
    tenure = step.tenure
    record = heartbeat_of(state, released=kind == "release")
    leader = state.seen.leader
    if kind in ("take", "regain"):
        leader = LeaderKey(state.identity.node, event.revision, tenure.lease)
    elif kind == "release" and not tenure.leader_lost:
        leader = LeaderKey(tenure.hand_to, event.revision) if tenure.hand_to else None
    heartbeat = HeartbeatKey(record, event.revision)
    forgetting.answered(step, event.cluster, event.revision, leader, heartbeat, wrote=True)
    learn(step, event.revision, leader, heartbeat)
    if kind == "release":
        _end(step, "released")
        return
    if kind in ("take", "regain"):
        step.set_tenure(leader_revision=event.revision)
    _confirmed(step, event.revision, tenure.sent_at(tenure.seq), record)


def refused(step: Step, event: Refused) -> None:
    """Handle a comparison that failed: what stands there tells of earlier writes of ours (R2), or who was first."""
    kind = _close(step, event.request)
    if not kind:
        return
    forgetting.answered(step, event.cluster, event.revision, event.leader, event.heartbeat, wrote=False)
    learn(step, event.revision, event.leader, event.heartbeat)
    state = step.state
    record = event.heartbeat.record if event.heartbeat else None
    if event.heartbeat is None or record is None or not state.mine(event.heartbeat):
        _not_mine(step, kind)
    elif kind == "release" and record.released:
        _vacate(step)
    elif kind != "release" and not state.stands(event.heartbeat):
        _not_mine(step, kind)
    else:
        _adopt(step, event.heartbeat, record)


def _adopt(step: Step, found: HeartbeatKey, record: Heartbeat) -> None:
    """Go on from our own heartbeat, with V counted from when that very write was sent (R2)."""
    leader = step.state.seen.leader
    tenure = step.tenure
    if step.state.put_both(leader, found):
        step.set_tenure(leader_revision=found.revision)
    if tenure.lapsed and found.revision == tenure.heartbeat_revision:
        return  # earlier tries asked that `leader` is absent, which may come again: they may yet be applied (R15)
    lost = revision_of(leader) != step.tenure.leader_revision
    step.set_tenure(leader_lost=lost)
    ours = record.instance == step.state.identity.instance  # else of the process before, which counted seqs of its own
    _confirmed(step, found.revision, tenure.sent_at(record.seq) if ours else None, record)
    rule_lapsed(step)
    if lost and step.state.phase in ACTIVE and not step.state.void(leader) and not step.tenure.lapsed:
        stop(step, "leader_changed", _who(leader))


def _confirmed(step: Step, revision: int, sent_at: Ms | None, record: Heartbeat) -> None:
    """Note that a write of ours stands. Only one that is known before the stop time prolongs V (R1)."""
    listed(step, record, sent_at)
    state, timing = step.state, step.state.identity.timing
    valid = step.tenure.valid_until
    if sent_at is not None:
        valid = max(valid, sent_at + (timing.peers_validity if record.peers else timing.validity))
        step.set_tenure(instance=state.identity.instance)
    step.set_tenure(heartbeat_revision=revision, sent=())
    if state.phase is Phase.CAMPAIGNING:
        step.set_tenure(valid_until=valid)
        if step.now >= step.state.renew_deadline or step.now < step.state.seen.barred_until:
            step.go("elected_late")
            begin_stop(step)
        else:
            step.go("elected")
            step.set(saved="")  # what an adoption wrote before does not tell of this confirmation
            step.save("held")
    elif state.phase in ACTIVE and step.now < state.renew_deadline:
        step.set_tenure(valid_until=valid)
        step.save("held")
        prolong(step)


def _not_mine(step: Step, kind: str) -> None:
    state = step.state
    step.set_tenure(leader_lost=revision_of(state.seen.leader) != step.tenure.leader_revision)
    if kind == "take":
        step.go("not_first")
        _give_up(step)
        step.back_off()
    elif kind == "vacate":
        _end(step, "superseded")
    elif state.phase in ACTIVE:
        stop(step, "heartbeat_changed")
    else:
        step.back_off()  # when releasing: rule_release sees to `leader`


def unknown(step: Step, event: Unknown) -> None:
    """Handle a request without an answer. It may have been applied, so it stays noted; the next try tells (R2)."""
    if _close(step, event.request):
        step.back_off()


def rejected(step: Step, event: Rejected) -> None:
    """Take a definite no of etcd: nothing was changed by this request."""
    kind, state = _close(step, event.request), step.state
    if event.lease_gone and state.tenure is not None and state.tenure.lease == state.lease:
        step.set(lease=None)  # a tenure keeps its lease: the session may have another one by now, which it tells once
    step.back_off()
    if kind == "take":
        step.go("not_taken", event.why)
        _give_up(step)


def _give_up(step: Step) -> None:
    """Give a take-over up. An earlier try may yet be applied (R2): its epoch is used up, so none is taken for it."""
    step.set_seen(max_epoch=max(step.state.seen.max_epoch, step.tenure.epoch))
    step.set(tenure=None)


def _close(step: Step, request: int) -> str:
    """End the request under way; return its kind, nothing when the answer is to an older one."""
    if request != step.state.request:
        return ""
    kind = step.state.kind
    step.set(request=0, kind="")
    return kind


def _end(step: Step, key: str) -> None:
    tenure = step.tenure
    step.go(key, tenure.stop_reason)
    ended = max(step.state.ended_epoch, tenure.epoch)
    step.set(tenure=None, ended_epoch=ended, retry_at=step.now, guard_stops_at=0, guard_next=())
    step.save("")


# --- stopping ---


def rule_stop(step: Step) -> None:
    """Stop in time, or because health or an operator says so (R3)."""
    state = step.state
    if state.phase not in ACTIVE:
        return
    seen, eligibility, me = state.seen, state.eligibility, state.identity.node
    if step.at(state.stop_at):
        stop(step, "expiring", _why_expired(state))
    elif step.tenure.frees:
        stop(step, "frees")
    elif state.lost_leader and not state.regains and not step.tenure.lapsed:
        step.set_tenure(leader_lost=True)
        stop(step, "leader_changed", _who(seen.leader))
    elif state.changed and not state.stands(seen.heartbeat):
        stop(step, "heartbeat_changed")
    elif state.leaving:
        stop(step, "shutdown")
    elif seen.maintenance is not None:
        return
    elif seen.override is not None and seen.override.leader != me:
        stop(step, "override", seen.override.leader or "nobody may lead")
    elif eligibility.handover and (seen.override is None or eligibility.cause == "begins_anew"):
        step.set_tenure(hand_to=eligibility.to or None)
        stop(step, eligibility.cause, eligibility.handover)


def _why_expired(state: State) -> str:
    """Return what kept V from being prolonged, for people.

    A file that tells less by no more than a beat is as it should be: it is written no more often (see `prolong`).
    """
    if state.renew_deadline - state.stop_at >= state.identity.timing.beat:
        return "the run-time file is behind, and a guard acts on it"
    return "etcd is away, and our lease in it may have ended" if held_by_lease(state) else ""


def _who(leader: LeaderKey | None) -> str:
    if leader is None:
        return "it was deleted, or its lease ended"
    return f"it names {leader.name or 'no node'} now"


# --- writing ---


def heartbeat_of(state: State, released: bool = False) -> Heartbeat:
    """Return the heartbeat of the tenure as it is written next."""
    tenure = state.tenure
    assert tenure is not None
    peers = () if released else tenure.support.named
    return Heartbeat(
        tenure.epoch,
        state.identity.node,
        state.identity.instance,
        tenure.seq,
        state.told(peers),
        released,
        tenure.last_block if released else None,
        tenure.stop_reason if released else tenure.origin,
        state.identity.host_id if peers else "",
        peers,
    )


def same_leader(state: State) -> Compare:
    """Ask that `leader` is as when it was won: its lease, too, for a restored store gives revisions again (R20)."""
    tenure = state.tenure
    assert tenure is not None
    lease = tenure.lease if tenure.leader_revision else None
    return Compare(state.identity.keys.leader, tenure.leader_revision, lease=lease)


def same_heartbeat(state: State) -> Compare:
    """Ask that `heartbeat` is as we last wrote it: its value, too, as far as it is known (R20)."""
    tenure, seen = state.tenure, state.seen.heartbeat
    assert tenure is not None
    known = seen is not None and seen.revision == tenure.heartbeat_revision
    return Compare(state.identity.keys.heartbeat, tenure.heartbeat_revision, seen.value if seen and known else None)


def note_write(step: Step) -> None:
    """Give the next write its seq, and note when it leaves; forget those too old to prolong V (R1, R2)."""
    tenure, oldest = step.tenure, step.now - step.state.identity.timing.validity
    young = tuple(each for each in tenure.sent if each.at > oldest)
    step.set_tenure(seq=tenure.seq + 1, sent=(*young, Sent(tenure.seq + 1, step.now)))


def rule_confirm(step: Step) -> None:
    """Confirm by writing, every R; at once when the last try had no answer, or `leader` names nobody (R1, R2)."""
    state = step.state
    if state.phase not in ACTIVE or state.request:
        return
    if plan_list(step):
        return
    tenure, put = step.tenure, state.regains
    due = step.now if tenure.sent or put or tenure.lapsed else _next_confirmation(step)
    if not step.at(max(due, state.retry_at)) or not lease_for(step):
        return
    names = state.identity.keys
    note_write(step)
    leader = same_leader(step.state)
    then: tuple[Put, ...] = (Put(names.heartbeat, write(heartbeat_of(step.state))),)
    if put is None and not tenure.lapsed:
        txn = Txn((leader, same_heartbeat(step.state)), then, (names.leader, names.heartbeat))
        step.transact("confirm", txn, confirm_within(step))
        return
    if put is not None and state.void(put):
        barred = state.barred(put.name) if put.name else ""
        whom = f"{put.name}, which no agent of the group is" if put.name else "no node"
        whom = f"{put.name}, but {barred}" if barred else whom
        step.do(Warn("leader_ignored", f"the key leader names {whom}: this node leads on, and puts its own name back"))
    then += (Put(names.leader, state.identity.node.encode(), step.tenure.lease),)
    compare = (Compare(names.leader, revision_of(put)), same_heartbeat(step.state))
    step.transact("regain", Txn(compare, then, (names.leader, names.heartbeat)))


def _next_confirmation(step: Step) -> Ms:
    """Return when to confirm again: R after the last one at the latest, and at this node's own beat if it has one."""
    state = step.state
    if state.peered:
        return next_confirmation(step)
    renew, beat = state.identity.timing.renew, state.identity.renew_phase
    due = step.tenure.valid_until - state.identity.timing.validity + renew
    return due if beat is None else due - (due - beat) % renew


def rule_prove(step: Step) -> None:
    """When nodeos is proven stopped, name its head, and go on to release (R4, R5)."""
    state = step.state
    if state.phase is not Phase.STOPPING or not state.proven or not rule_read_last_block(step):
        return
    if last_block_missed(step):
        return
    step.set(head_call=0, retry_at=step.now)  # a release does not wait for what a confirmation met
    step.go("proven")
    step.save("stopped")


def rule_release(step: Step) -> None:
    """Release what has stopped, and nothing else, once the run-time file says that this tenure is over (R3, R5)."""
    state = step.state
    if state.phase is not Phase.RELEASING or state.request or not state.proven:
        return
    if state.saved not in ("stopping", "stopped"):
        if not state.saving and step.at(state.retry_at):
            step.save("stopped")
        return
    if not step.at(state.retry_at):
        return
    tenure, names, seen = step.tenure, state.identity.keys, state.seen
    record = seen.record
    if state.changed and (record is None or not state.mine(seen.heartbeat) or record.released):
        _vacate(step)
        return
    lost = tenure.leader_lost or state.lost_leader
    step.set_tenure(leader_lost=lost)
    compare = [same_heartbeat(state)]
    then: list[Put | Delete] = [Put(names.heartbeat, write(heartbeat_of(step.state, released=True)))]
    if not lost:
        compare.append(same_leader(state))
        hand_to = step.tenure.hand_to
        then.append(Put(names.leader, hand_to.encode()) if hand_to else Delete(names.leader))
    if state.seen.switchover is not None:
        then.append(Delete(names.switchover))
    step.transact("release", Txn(tuple(compare), tuple(then), (names.leader, names.heartbeat)))


def _vacate(step: Step) -> None:
    """Release nothing, for the heartbeat is not held by us any more; take `leader` away if that is still ours (R5)."""
    tenure, names, leader = step.tenure, step.state.identity.keys, step.state.seen.leader
    if leader is None or not tenure.leader_revision or leader.revision != tenure.leader_revision:
        _end(step, "released" if step.state.mine(step.state.seen.heartbeat) else "superseded")
        return
    compare = (same_leader(step.state),)
    step.transact("vacate", Txn(compare, (Delete(names.leader),), (names.leader, names.heartbeat)))
