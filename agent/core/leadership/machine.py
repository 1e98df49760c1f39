"""The leadership protocol of one agent: `step(state, event, now)` gives the new state and what to do.

An event is first noted (what is known changes), then every rule looks at the state, again until nothing changes:
rules are level-triggered, so that no order of events can make one be forgotten. `state.wake` says when to step again
at the latest, with a Tick, if nothing happens before.

The rules hold whatever is lost, late, repeated or reordered: an answer to an old request is ignored, an older view of
the store does not replace a newer one, and a tenure that began to stop never produces again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from agent.core.leadership import events as ev
from agent.core.leadership import forgetting
from agent.core.leadership.actions import Action, Exit, Warn
from agent.core.leadership.adoption import claim, rule_adopt
from agent.core.leadership.campaign import rule_campaign, rule_late_answer
from agent.core.leadership.gate import gate_done, gate_signed, rule_gate
from agent.core.leadership.peers import (
    beat_received,
    cap_by_settings,
    etcd_leader_beside,
    file_written,
    lease_kept,
    promise_received,
    restarting,
    rule_beat,
    rule_lapsed,
    rule_restart,
)
from agent.core.leadership.production import (
    begin_stop,
    fence_done,
    gate_refused,
    head_read,
    pause_done,
    paused_seen,
    process_seen,
    resume_done,
    rule_resume,
    rule_stop_nodeos,
    stop,
)
from agent.core.leadership.state import GateState, Phase, Production, State, Tenure
from agent.core.leadership.step import Step
from agent.core.leadership.support import Support
from agent.core.leadership.tenure import (
    applied,
    learn,
    refused,
    rejected,
    rule_confirm,
    rule_prove,
    rule_release,
    rule_stop,
    unknown,
)
from agent.core.leadership.transitions import ACTIVE
from agent.core.model.copying import replace
from agent.core.model.peers import Peer
from agent.core.model.records import Member
from agent.core.model.runtime_record import Listing, RuntimeRecord
from agent.core.model.store import Ms

ROUNDS = 12
"""More rounds of the rules than any event can need; reaching it is a defect."""


def step(state: State, event: ev.Event, now: Ms) -> tuple[State, tuple[Action, ...]]:
    """Handle one event at `now` (ms of CLOCK_BOOTTIME, never going back). Pure."""
    under_way = Step(state, now)
    _HANDLERS[type(event)](under_way, event)
    if under_way.state.started:
        _settle(under_way)
    wake = under_way.wake()
    return replace(under_way.state, wake=wake), tuple(under_way.actions)


def _settle(step: Step) -> None:
    for _ in range(ROUNDS):
        before = step.state
        for rule in _RULES:
            rule(step)
        if step.state is before or step.state == before:
            return
    raise AssertionError(f"the rules do not come to rest: {step.state}")


# --- events that belong to no rule ---


def _started(step: Step, event: ev.Started) -> None:
    """Begin with a stop, unless the run-time file lets the agent go on as the same leader (start and restart)."""
    record = event.record
    production = Production.STOPPED if event.process is None else Production.UNKNOWN
    step.set(
        started=True, process=event.process, phase_since=step.now, production_since=step.now, production=production
    )
    if record is None or record.boot_id != step.state.identity.boot_id or not record.heartbeat_revision:
        if event.claims:
            claim(step, event.process)
        return
    step.set_seen(cluster=record.cluster, least=record.heartbeat_revision)  # else the record is void (R20)
    step.set(
        resume_open=record.resume_open and event.process is not None,
        tenure=_tenure(record, record.lists if step.state.peered else ()),
        lease=record.lease or None,
    )
    fresh = record.state == "held" and not record.resume_open and step.now < step.state.renew_deadline
    if fresh and event.process is not None and record.process == event.process:
        step.set_production(Production.PRODUCING)
        step.set(guard_stops_at=record.stop_by, gate=GateState.OPEN)  # as the process before has left it
        step.go("goes_on")
        capped = cap_by_settings(step, record.beyond)
        step.save("held")
        if capped:
            step.set_tenure(support=replace(step.tenure.support, unsaved=step.state.saving))
    else:
        step.go("restart_stop", f"the run-time file says {record.state}")
        begin_stop(step)


def _tenure(record: RuntimeRecord, lists: tuple[Listing, ...]) -> Tenure:
    return Tenure(
        record.epoch,
        record.instance,
        record.seq,
        record.lease,
        record.heartbeat_revision,
        record.leader_revision,
        record.valid_until,
        stop_reason="the agent restarted",
        origin="the agent restarted and went on",
        inherited=True,
        support=Support(lists),
    )


def _store_seen(step: Step, event: ev.StoreSeen) -> None:
    view = event.view
    if not forgetting.read(step, view.cluster, view.revision, view.asked, view.leader, view.heartbeat):
        return
    seen = step.state.seen
    step.set_seen(keyed=view.keyed or (seen.known and seen.keyed))
    learn(step, view.revision, view.leader, view.heartbeat)
    if view.revision >= step.state.seen.words_revision:
        step.set_seen(
            words_revision=view.revision,
            override=view.override,
            maintenance=view.maintenance,
            switchover=view.switchover,
            names=tuple(sorted(member.node for member in view.members)),
            peers=_peers(view.members) if step.state.peered else (),
        )


def _peers(members: tuple[Member, ...]) -> tuple[Peer, ...]:
    """Return the members that hear beats, and have what names them (R13)."""
    return tuple(sorted(Peer(each.node, each.host_id) for each in members if each.host_id and each.peer_address))


def _lease_seen(step: Step, event: ev.LeaseSeen) -> None:
    step.set(lease=event.lease)
    if event.lease != step.state.lease_kept[0]:
        step.set(lease_kept=(0, 0))


def _eligibility(step: Step, event: ev.Eligibility) -> None:
    since = step.state.eligible_since if step.state.eligibility.eligible else step.now
    step.set(eligibility=event, eligible_since=since)


def _runtime_saved(step: Step, event: ev.RuntimeSaved) -> None:
    waiting, by = dict(step.state.guard_next), step.state.guard_stops_at
    if event.ok and event.version in waiting and (not by or step.now < by):  # later, and a guard has acted already
        later = tuple(each for each in step.state.guard_next if each[0] > event.version)
        step.set(guard_stops_at=waiting[event.version], guard_next=later)
    if event.ok:
        file_written(step, event.version)
    if event.version != step.state.saving:
        return
    step.set(saving=0, saved=step.state.saving_what if event.ok else "")
    if event.ok:
        return
    step.do(Warn("file_failed", f"the run-time file cannot be written: {event.why}"))
    step.set(retry_at=max(step.state.retry_at, step.now + step.state.identity.backoff))
    if step.state.phase in ACTIVE:
        stop(step, "file_failed", event.why)


def _shutdown(step: Step, _event: ev.Shutdown) -> None:
    if not step.state.leaving:
        step.set(leaving=True, leaving_since=step.now)


def _delay_resume(step: Step, event: ev.DelayResume) -> None:
    step.set(resume_delayed_until=event.until)


def _ungoverned(step: Step, event: ev.Ungoverned) -> None:
    step.set(clear_at=event.until)
    step.set_seen(newer=event.newer)


def _tick(_step: Step, _event: ev.Tick) -> None:
    pass


def _rule_ready(step: Step) -> None:
    """Nothing is decided before nodeos is proven stopped (start and restart, R4)."""
    if step.state.phase is Phase.STARTING and step.state.proven:
        step.go("ready")


def _rule_exit(step: Step) -> None:
    """End when nothing is held and nodeos is stopped; or when no confirmation of ours can be valid any more."""
    state = step.state
    if not state.leaving or state.exited:
        return
    timing = state.identity.timing
    idle = state.phase in (Phase.STARTING, Phase.STANDBY)
    if (idle and state.proven and state.quiet) or step.at(state.leaving_since + timing.validity + timing.margin):
        step.set(exited=True)
        step.do(Exit())


_HANDLERS: dict[type, Callable[[Step, Any], None]] = {
    ev.Started: _started,
    ev.Tick: _tick,
    ev.StoreSeen: _store_seen,
    ev.Applied: applied,
    ev.Refused: refused,
    ev.Unknown: unknown,
    ev.Rejected: rejected,
    ev.PauseDone: pause_done,
    ev.ResumeDone: resume_done,
    ev.FenceDone: fence_done,
    ev.GateDone: gate_done,
    ev.GateRefused: gate_refused,
    ev.GateSigned: gate_signed,
    ev.HeadRead: head_read,
    ev.ProcessSeen: process_seen,
    ev.PausedSeen: paused_seen,
    ev.LeaseSeen: _lease_seen,
    ev.RuntimeSaved: _runtime_saved,
    ev.Eligibility: _eligibility,
    ev.DelayResume: _delay_resume,
    ev.Ungoverned: _ungoverned,
    ev.BeatReceived: beat_received,
    ev.PromiseReceived: promise_received,
    ev.LeaseKept: lease_kept,
    ev.EtcdLeaderBeside: etcd_leader_beside,
    ev.Restarting: restarting,
    ev.Shutdown: _shutdown,
}  # each handler takes its own event type, which is the key

_RULES: tuple[Callable[[Step], None], ...] = (
    rule_lapsed,
    rule_stop,
    rule_adopt,
    rule_gate,
    rule_stop_nodeos,
    _rule_ready,
    rule_prove,
    rule_release,
    rule_late_answer,
    rule_campaign,
    rule_resume,
    rule_confirm,
    rule_beat,
    rule_restart,
    _rule_exit,
)
