"""Taking over a free seat: who may, when, and by which transaction (R8, R10, R11, R12)."""

from __future__ import annotations

from agent.core.leadership.gate import closed_if_required
from agent.core.leadership.production import begin_stop
from agent.core.leadership.state import Phase, State, Tenure
from agent.core.leadership.step import Step
from agent.core.leadership.tenure import heartbeat_of, note_write, revision_of
from agent.core.model.records import write
from agent.core.model.store import Compare, Delete, Ms, Put, Txn

FREEING_RANKS = 5


def rule_late_answer(step: Step) -> None:
    """Release at once what was taken by a write of ours that we had given up (R2, R5)."""
    state, seen = step.state, step.state.seen
    record = seen.record
    if state.phase is not Phase.STANDBY or record is None or seen.heartbeat is None or record.released:
        return
    if record.instance != state.identity.instance or record.epoch <= state.ended_epoch:
        return
    leader = seen.leader
    ours = leader is not None and leader.name == state.identity.node and leader.lease != 0
    tenure = Tenure(
        record.epoch,
        record.instance,
        record.seq,
        lease=leader.lease if leader and ours else 0,
        heartbeat_revision=seen.heartbeat.revision,
        leader_revision=revision_of(leader) if ours else 0,
        stop_reason="the take-over was given up",
        leader_lost=not ours,
    )
    step.set(tenure=tenure)
    step.go("late_answer")
    begin_stop(step)


def rule_campaign(step: Step) -> None:
    """Take a free seat, if this node may; and while a take-over has no answer, ask again until it has one (R8, R2)."""
    state = step.state
    if state.request or state.phase not in (Phase.STANDBY, Phase.CAMPAIGNING):
        return
    if state.phase is Phase.CAMPAIGNING:
        if (state.quiet or state.saved == "held") and step.at(state.retry_at):  # else its guard would not know (R19)
            take(step)
        return
    when = campaign_at(state)
    frees = when is None or _named_another(state)
    when = _frees_at(state) if frees else when
    if when is None or not step.at(when):
        return
    prepare(step, why_free(state), frees=frees)
    step.go("campaign", step.tenure.origin)
    take(step)


def prepare(step: Step, origin: str, *, frees: bool = False) -> None:
    """Begin a tenure with what was seen: a take-over, and every later try of it, rests on that (R8)."""
    state = step.state
    named = state.seen.leader if frees and state.seen.leader and not state.seen.leader.lease else None
    record = state.seen.record
    block = record.last_block if record and record.released else None
    led = max(state.seen.heartbeat_since, state.pledge.heard)  # who beats leads, though it writes but every 10 R
    step.set(
        tenure=Tenure(
            _next_epoch(state),
            state.identity.instance,
            0,
            lease=state.lease or 0,
            wait_head=block.num if block else _told_head(state),
            gap=step.now - led,
            origin=origin,
            before=state.seen.last_holder or "",
            expected=(state.seen.leader, state.seen.heartbeat),
            frees=frees,
            hand_to=named.name if named else None,
        )
    )


def _told_head(state: State) -> int | None:
    """Return the head that the last holder told last with its beats; None: it told none.

    What it signed after that, until its nodeos or its host was gone, nobody knows; but who lacks even that block signs
    slots again (R9).
    """
    return next((each.sight.head for each in state.sights if each.node == state.seen.last_holder), None)


def campaign_at(state: State) -> Ms | None:
    """Return when this node may campaign as things stand; None: not as things stand (R8, R10, R11, R12, R18)."""
    seen, eligibility, timing = state.seen, state.eligibility, state.identity.timing
    free = state.free_at()
    if free is None or state.lease is None or state.leaving or not _let_by_maintenance(state):
        return None
    if not state.quiet or state.process is None or not closed_if_required(state):
        return None
    if seen.override is not None and seen.override.leader != state.identity.node:
        return None
    when = max(state.seat_at(free), state.retry_at)
    if state.chosen:
        return when if eligibility.can_produce else None
    if not eligibility.eligible:
        return None
    if seen.heartbeat is None:
        when = max(when, state.clear_at)
    holdoff = state.holdoff_until if seen.max_epoch <= state.ended_epoch else 0
    return max(when, holdoff, max(free, state.eligible_since) + eligibility.rank * timing.rank_step)


def _frees_at(state: State) -> Ms | None:
    """Return when to take a heartbeat that names us, to release it for one that is not named; None: not now (R17).

    A second later than it is free, so that another that is named, and can lead, goes first; at once for a nomination.
    Not while we wait for blocks: who takes it then may lack them too, and a release would name our old block (R9).
    """
    seen, free = state.seen, state.free_at()
    record = seen.record
    if free is None or seen.heirs is None or record is None or record.released:
        return None
    if not state.proven or state.lease is None or state.leaving or seen.maintenance is not None:
        return None
    if state.eligibility.behind:
        return None
    named = {each.node for each in seen.heirs}
    others = [name for name in seen.names if name not in named]
    rank = state.eligibility.rank if _named_another(state) else FREEING_RANKS
    return max(free + rank * state.identity.timing.rank_step, state.retry_at) if others else None


def _named_another(state: State) -> bool:
    """Tell whether an operator put a member into `leader` that may not take over by itself (R10, R13)."""
    seen, leader = state.seen, state.seen.leader
    if leader is None or leader.lease or seen.heirs is None or seen.override is not None:
        return False
    return leader.name in seen.names and leader.name not in {each.node for each in seen.heirs}


def _let_by_maintenance(state: State) -> bool:
    """Whether maintenance, if it is on, leaves this node the lead: who led before comes back.

    A handover that has begun is ended: nobody would lead until the maintenance is over.
    """
    seen = state.seen
    handed = seen.handed and state.nominated
    return seen.maintenance is None or handed or (state.returns and seen.max_epoch <= state.ended_epoch)


def _next_epoch(state: State) -> int:
    """Return an epoch above every one that was seen; after garbage, one that no earlier heartbeat can have had."""
    found = state.seen.heartbeat
    floor = found.revision if found is not None and found.record is None else 0
    return max(state.seen.max_epoch, state.ended_epoch, floor) + 1


def why_free(state: State) -> str:
    """Return why the heartbeat is free to take, for people."""
    found, leader = state.seen.heartbeat, state.seen.leader
    record = found.record if found else None
    if state.nominated and not state.seen.handed:
        return "named by hand in the key leader"
    if found is None:
        return "nobody holds the heartbeat"
    if record is None:
        return "the heartbeat cannot be read and stood still"
    if record.released:
        return f"{record.node} released it: {record.reason}"
    return f"the heartbeat of {record.node} stood still" + ("" if leader else ", and its lease ended")


def take(step: Step) -> None:
    """Send a take-over, or send it again (R8, R2)."""
    state, names, tenure = step.state, step.state.identity.keys, step.tenure
    note_write(step)
    # a retry compares with what the first try saw: if the keys changed since, another candidate may have won
    leader, heartbeat = tenure.expected
    step.set_seen(moved=revision_of(state.seen.heartbeat) != revision_of(heartbeat))
    compare = (
        Compare(names.leader, revision_of(leader), lease=leader.lease if leader else None),
        Compare(names.heartbeat, revision_of(heartbeat), heartbeat.value if heartbeat else None),
    )
    then: tuple[Put | Delete, ...] = (
        Put(names.leader, state.identity.node.encode(), tenure.lease),
        Put(names.heartbeat, write(heartbeat_of(step.state))),
    )
    if state.seen.switchover is not None:
        then += (Delete(names.switchover),)  # a wish is consumed, also one that no leader was there to hear
    step.transact("take", Txn(compare, then, (names.leader, names.heartbeat)))
