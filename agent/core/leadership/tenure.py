"""Holding the right to produce: confirm (R1, R2), stop in time (R3), prove, release (R5).

The answers of the store are taken in here. How nodeos is stopped stands in `production`, the take-over in `campaign`.
"""

from __future__ import annotations

from agent.core.leadership import forgetting
from agent.core.leadership.actions import Warn
from agent.core.leadership.events import Applied, Refused, Rejected, Unknown
from agent.core.leadership.gate import last_block_missed
from agent.core.leadership.production import begin_stop, rule_read_last_block, stop
from agent.core.leadership.state import Phase, Sent, State, Tenure
from agent.core.leadership.step import Turn
from agent.core.leadership.transitions import ACTIVE
from agent.core.model.records import Heartbeat, HeartbeatKey, LeaderKey, write
from agent.core.model.store import Compare, Delete, Ms, Put, Txn

# --- what the store answered ---


def learn(turn: Turn, revision: int, leader: LeaderKey | None, heartbeat: HeartbeatKey | None) -> None:
    """Take what stands in the two keys at `revision`, unless something newer is known. First sight counts as o (R7)."""
    seen = turn.state.seen
    if revision < seen.least:
        return
    record = heartbeat.record if heartbeat else None
    anew = revision_of(heartbeat) != revision_of(seen.heartbeat)
    turn.set_seen(
        keys_revision=revision,
        least=max(revision, seen.least),
        leader=leader,
        heartbeat=heartbeat,
        leader_since=seen.leader_since if revision_of(leader) == revision_of(seen.leader) else turn.now,
        heartbeat_since=turn.now if anew else seen.heartbeat_since,
        last_holder=record.node if record else seen.last_holder,
        max_epoch=max(seen.max_epoch, record.epoch if record else 0),
        unreleased=_unreleased(leader, heartbeat) if anew else seen.unreleased,
    )


def _unreleased(leader: LeaderKey | None, heartbeat: HeartbeatKey | None) -> bool:
    """Tell whether a heartbeat says `released` while its node's own `leader`, with its lease, is older and still there.

    A release takes that away in the same transaction (R5), so the holder did not write this.
    """
    record = heartbeat.record if heartbeat else None
    if heartbeat is None or record is None or leader is None or not record.released:
        return False
    return leader.lease != 0 and leader.name == record.node and leader.revision < heartbeat.revision


def revision_of(key: LeaderKey | HeartbeatKey | None) -> int:
    """Return the mod revision of a key, 0 when it is absent."""
    return key.revision if key else 0


def applied(turn: Turn, event: Applied) -> None:
    """Take that a transaction of ours was applied: it, and nothing else, stands in the store now."""
    kind = _close(turn, event.request)
    if not kind:
        return
    state = turn.state
    if kind == "vacate":
        turn.set_seen(leader=None, leader_since=turn.now)  # how the heartbeat stood then is not known
        _end(turn, "superseded")
        return
    tenure = turn.tenure
    record = heartbeat_of(state, released=kind == "release")
    leader = state.seen.leader
    if kind in ("take", "regain"):
        leader = LeaderKey(state.setup.node, event.revision, tenure.lease)
    elif kind == "release" and not tenure.leader_lost:
        leader = LeaderKey(tenure.hand_to, event.revision) if tenure.hand_to else None
    heartbeat = HeartbeatKey(record, event.revision)
    forgetting.answered(turn, event.cluster, event.revision, leader, heartbeat, wrote=True)
    learn(turn, event.revision, leader, heartbeat)
    if kind == "release":
        _end(turn, "released")
        return
    if kind in ("take", "regain"):
        turn.set_tenure(leader_revision=event.revision)
    _confirmed(turn, event.revision, tenure.sent_at(tenure.seq))


def refused(turn: Turn, event: Refused) -> None:
    """Take that a comparison failed: what stands there tells of earlier writes of ours (R2), or who was first."""
    kind = _close(turn, event.request)
    if not kind:
        return
    forgetting.answered(turn, event.cluster, event.revision, event.leader, event.heartbeat, wrote=False)
    learn(turn, event.revision, event.leader, event.heartbeat)
    state = turn.state
    record = event.heartbeat.record if event.heartbeat else None
    if event.heartbeat is None or record is None or not state.mine(event.heartbeat):
        _not_mine(turn, kind)
    elif kind == "release" and record.released:
        _vacate(turn)
    elif kind != "release" and not state.stands(event.heartbeat):
        _not_mine(turn, kind)
    else:
        _adopt(turn, event.heartbeat, record)


def _adopt(turn: Turn, found: HeartbeatKey, record: Heartbeat) -> None:
    """Go on from our own heartbeat, with V counted from when that very write was sent (R2)."""
    leader = turn.state.seen.leader
    tenure = turn.tenure
    if turn.state.put_both(leader, found):
        turn.set_tenure(leader_revision=found.revision)
    lost = revision_of(leader) != turn.tenure.leader_revision
    turn.set_tenure(leader_lost=lost)
    ours = record.instance == turn.state.setup.instance  # else of the process before, which counted seqs of its own
    _confirmed(turn, found.revision, tenure.sent_at(record.seq) if ours else None)
    if lost and turn.state.phase in ACTIVE and not turn.state.void(leader):
        stop(turn, "leader_changed", _who(leader))


def _confirmed(turn: Turn, revision: int, sent_at: Ms | None) -> None:
    """Note that a write of ours stands. Only one that is known before the stop time prolongs V (R1)."""
    state = turn.state
    valid = turn.tenure.valid_until
    if sent_at is not None:
        valid = max(valid, sent_at + state.setup.timing.validity)
        turn.set_tenure(instance=state.setup.instance)
    turn.set_tenure(heartbeat_revision=revision, sent=())
    if state.phase is Phase.CAMPAIGNING:
        turn.set_tenure(valid_until=valid)
        if turn.now >= turn.state.stop_by or turn.now < turn.state.seen.barred_until:
            turn.go("elected_late")
            begin_stop(turn)
        else:
            turn.go("elected")
            turn.save("held")
    elif state.phase in ACTIVE and turn.now < state.stop_by:
        turn.set_tenure(valid_until=valid)
        turn.save("held")


def _not_mine(turn: Turn, kind: str) -> None:
    state = turn.state
    turn.set_tenure(leader_lost=revision_of(state.seen.leader) != turn.tenure.leader_revision)
    if kind == "take":
        turn.go("not_first")
        _give_up(turn)
        turn.back_off()
    elif kind == "vacate":
        _end(turn, "superseded")
    elif state.phase in ACTIVE:
        stop(turn, "heartbeat_changed")
    else:
        turn.back_off()  # when releasing: rule_release sees to `leader`


def unknown(turn: Turn, event: Unknown) -> None:
    """Take that there is no definite answer: what was sent stays noted, and the next try tells (R2)."""
    if _close(turn, event.request):
        turn.back_off()


def rejected(turn: Turn, event: Rejected) -> None:
    """Take a definite no of etcd: nothing was changed by this request."""
    kind = _close(turn, event.request)
    if event.lease_gone:
        turn.set(lease=None)
    turn.back_off()
    if kind == "take":
        turn.go("not_taken", event.why)
        _give_up(turn)


def _give_up(turn: Turn) -> None:
    """Give a take-over up. An earlier try may yet be applied (R2): its epoch is used up, so none is taken for it."""
    turn.set_seen(max_epoch=max(turn.state.seen.max_epoch, turn.tenure.epoch))
    turn.set(tenure=None)


def _close(turn: Turn, request: int) -> str:
    """End the request under way; return its kind, nothing when the answer is to an older one."""
    if request != turn.state.request:
        return ""
    kind = turn.state.kind
    turn.set(request=0, kind="")
    return kind


def _end(turn: Turn, key: str) -> None:
    tenure = turn.tenure
    turn.go(key, tenure.stop_reason)
    ended = max(turn.state.ended_epoch, tenure.epoch)
    turn.set(tenure=None, ended_epoch=ended, retry_at=turn.now, guard_by=0, guard_next=())
    turn.save("")


# --- stopping ---


def rule_stop(turn: Turn) -> None:
    """Stop in time, or because health or an operator says so (R3)."""
    state = turn.state
    if state.phase not in ACTIVE:
        return
    seen, standing, me = state.seen, state.standing, state.setup.node
    if turn.at(state.over_by):
        behind = "the run-time file is behind, and a guard acts on it" if turn.now < state.stop_by else ""
        stop(turn, "expiring", behind)
    elif state.lost_leader and not state.regains:
        turn.set_tenure(leader_lost=True)
        stop(turn, "leader_changed", _who(seen.leader))
    elif state.changed and not state.stands(seen.heartbeat):
        stop(turn, "heartbeat_changed")
    elif state.leaving:
        stop(turn, "shutdown")
    elif seen.maintenance is not None:
        return
    elif seen.override is not None and seen.override.leader != me:
        stop(turn, "override", seen.override.leader or "nobody may lead")
    elif standing.handover and (seen.override is None or standing.cause == "begins_anew"):
        turn.set_tenure(hand_to=standing.to or None)
        stop(turn, standing.cause, standing.handover)


def _who(leader: LeaderKey | None) -> str:
    if leader is None:
        return "it was deleted, or its lease ended"
    return f"it names {leader.name or 'no node'} now"


# --- writing ---


def heartbeat_of(state: State, released: bool = False) -> Heartbeat:
    """Return the heartbeat of the tenure as it is written next."""
    tenure = state.tenure
    assert tenure is not None
    return Heartbeat(
        tenure.epoch,
        state.setup.node,
        state.setup.instance,
        tenure.seq,
        state.setup.timing.promised,
        released,
        tenure.last_block if released else None,
        tenure.stop_reason if released else tenure.origin,
    )


def same_leader(state: State) -> Compare:
    """Ask that `leader` is as when it was won: its lease, too, for a restored store gives revisions again (R20)."""
    tenure = state.tenure
    assert tenure is not None
    lease = tenure.lease if tenure.leader_revision else None
    return Compare(state.setup.keys.leader, tenure.leader_revision, lease=lease)


def same_heartbeat(state: State) -> Compare:
    """Ask that `heartbeat` is as we last wrote it: its value, too, as far as it is known (R20)."""
    tenure, seen = state.tenure, state.seen.heartbeat
    assert tenure is not None
    known = seen is not None and seen.revision == tenure.heartbeat_revision
    return Compare(state.setup.keys.heartbeat, tenure.heartbeat_revision, seen.value if seen and known else None)


def note_write(turn: Turn) -> None:
    """Give the next write its seq, and note when it leaves; forget those too old to prolong V (R1, R2)."""
    tenure, oldest = turn.tenure, turn.now - turn.state.setup.timing.validity
    young = tuple(each for each in tenure.sent if each.at > oldest)
    turn.set_tenure(seq=tenure.seq + 1, sent=(*young, Sent(tenure.seq + 1, turn.now)))


def rule_confirm(turn: Turn) -> None:
    """Confirm by writing, every R; at once when the last try had no answer, or `leader` names nobody (R1, R2)."""
    state = turn.state
    if state.phase not in ACTIVE or state.request:
        return
    tenure, void = turn.tenure, state.regains
    due = turn.now if tenure.sent or void else _next_confirmation(state, tenure)
    if not turn.at(max(due, state.retry_at)):
        return
    names = state.setup.keys
    note_write(turn)
    leader = Compare(names.leader, void.revision) if void else same_leader(turn.state)
    compare = (leader, same_heartbeat(turn.state))
    then: tuple[Put, ...] = (Put(names.heartbeat, write(heartbeat_of(turn.state))),)
    if void is None:
        turn.transact("confirm", Txn(compare, then, (names.leader, names.heartbeat)))
        return
    whom = f"{void.name}, which no agent of the group is" if void.name else "no node"
    turn.do(Warn("leader_ignored", f"the key leader names {whom}: this node leads on, and puts its own name back"))
    then += (Put(names.leader, state.setup.node.encode(), tenure.lease),)
    turn.transact("regain", Txn(compare, then, (names.leader, names.heartbeat)))


def _next_confirmation(state: State, tenure: Tenure) -> Ms:
    """Return when to confirm again: R after the last one at the latest, and at this node's own beat if it has one."""
    renew, beat = state.setup.timing.renew, state.setup.beat
    due = tenure.valid_until - state.setup.timing.validity + renew
    return due if beat is None else due - (due - beat) % renew


def rule_prove(turn: Turn) -> None:
    """When nodeos is proven stopped, name the last own block, and go on to release (R4, R5)."""
    state = turn.state
    if state.phase is not Phase.STOPPING or not state.proven or not rule_read_last_block(turn):
        return
    if last_block_missed(turn):
        return
    turn.set(head_call=0, retry_at=turn.now)  # a release does not wait for what a confirmation met
    turn.go("proven")
    turn.save("stopped")


def rule_release(turn: Turn) -> None:
    """Release what has stopped, and nothing else, once the run-time file says that this tenure is over (R3, R5)."""
    state = turn.state
    if state.phase is not Phase.RELEASING or state.request or not state.proven:
        return
    if state.saved not in ("stopping", "stopped"):
        if not state.saving and turn.at(state.retry_at):
            turn.save("stopped")
        return
    if not turn.at(state.retry_at):
        return
    tenure, names, seen = turn.tenure, state.setup.keys, state.seen
    record = seen.heartbeat.record if seen.heartbeat else None
    if state.changed and (record is None or not state.mine(seen.heartbeat) or record.released):
        _vacate(turn)
        return
    lost = tenure.leader_lost or state.lost_leader
    turn.set_tenure(leader_lost=lost)
    compare = [same_heartbeat(state)]
    then: list[Put | Delete] = [Put(names.heartbeat, write(heartbeat_of(turn.state, released=True)))]
    if not lost:
        compare.append(same_leader(state))
        hand_to = turn.tenure.hand_to
        then.append(Put(names.leader, hand_to.encode()) if hand_to else Delete(names.leader))
    if state.seen.switchover is not None:
        then.append(Delete(names.switchover))
    turn.transact("release", Txn(tuple(compare), tuple(then), (names.leader, names.heartbeat)))


def _vacate(turn: Turn) -> None:
    """Release nothing, for the heartbeat is not held by us any more; take `leader` away if that is still ours (R5)."""
    tenure, names, leader = turn.tenure, turn.state.setup.keys, turn.state.seen.leader
    if leader is None or not tenure.leader_revision or leader.revision != tenure.leader_revision:
        _end(turn, "released" if turn.state.mine(turn.state.seen.heartbeat) else "superseded")
        return
    compare = (same_leader(turn.state),)
    turn.transact("vacate", Txn(compare, (Delete(names.leader),), (names.leader, names.heartbeat)))
