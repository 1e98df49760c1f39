"""The leadership protocol of one agent: `step(state, event, now)` gives the new state and what to do.

An event is first taken in (what is known changes), then every rule looks at the state, again until nothing changes:
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
from agent.core.leadership.gate import gate_closed, gate_failed, gate_signed, rule_gate
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
from agent.core.leadership.state import Gate, Phase, Power, State, Tenure
from agent.core.leadership.step import Turn
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
from agent.core.model.records import RuntimeRecord
from agent.core.model.store import Ms

ROUNDS = 12
"""More rounds of the rules than any event can need; reaching it is a defect."""


def step(state: State, event: ev.Event, now: Ms) -> tuple[State, tuple[Action, ...]]:
    """Take one event at `now` (ms of CLOCK_BOOTTIME, never going back). Pure."""
    turn = Turn(state, now)
    _HANDLERS[type(event)](turn, event)
    if turn.state.started:
        _settle(turn)
    wake = turn.wake()
    return replace(turn.state, wake=wake), tuple(turn.actions)


def _settle(turn: Turn) -> None:
    for _ in range(ROUNDS):
        before = turn.state
        for rule in _RULES:
            rule(turn)
        if turn.state is before or turn.state == before:
            return
    raise AssertionError(f"the rules do not come to rest: {turn.state}")


# --- events that belong to no rule ---


def _started(turn: Turn, event: ev.Started) -> None:
    """Begin with a stop, unless the run-time file lets the agent go on as the same leader (start and restart)."""
    record = event.record
    power = Power.STOPPED if event.process is None else Power.UNKNOWN
    turn.set(started=True, process=event.process, phase_since=turn.now, power_since=turn.now, power=power)
    if record is None or record.boot_id != turn.state.setup.boot_id or not record.heartbeat_revision:
        if event.claims:
            claim(turn, event.process)
        return
    turn.set_seen(cluster=record.cluster, least=record.heartbeat_revision)  # else the record is void (R20)
    turn.set(
        resume_open=record.resume_open and event.process is not None,
        tenure=_tenure(record),
        lease=record.lease or None,
    )
    fresh = record.state == "held" and not record.resume_open and turn.now < turn.state.stop_by
    if fresh and event.process is not None and record.process == event.process:
        turn.power(Power.PRODUCING)
        turn.set(guard_by=record.stop_by, gate=Gate.OPEN)  # as the process before has left it
        turn.go("goes_on")
        turn.save("held")
    else:
        turn.go("restart_stop", f"the run-time file says {record.state}")
        begin_stop(turn)


def _tenure(record: RuntimeRecord) -> Tenure:
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
    )


def _store_seen(turn: Turn, event: ev.StoreSeen) -> None:
    view = event.view
    if not forgetting.read(turn, view.cluster, view.revision, view.asked, view.leader, view.heartbeat):
        return
    learn(turn, view.revision, view.leader, view.heartbeat)
    if view.revision >= turn.state.seen.words_revision:
        turn.set_seen(
            words_revision=view.revision,
            override=view.override,
            maintenance=view.maintenance,
            switchover=view.switchover,
            names=tuple(sorted(member.node for member in view.members)),
        )


def _lease_seen(turn: Turn, event: ev.LeaseSeen) -> None:
    turn.set(lease=event.lease)


def _standing(turn: Turn, event: ev.Standing) -> None:
    since = turn.state.standing_since if turn.state.standing.fit else turn.now
    turn.set(standing=event, standing_since=since)


def _runtime_saved(turn: Turn, event: ev.RuntimeSaved) -> None:
    waiting, by = dict(turn.state.guard_next), turn.state.guard_by
    if event.ok and event.version in waiting and (not by or turn.now < by):  # later, and a guard has acted already
        later = tuple(each for each in turn.state.guard_next if each[0] > event.version)
        turn.set(guard_by=waiting[event.version], guard_next=later)
    if event.version != turn.state.saving:
        return
    turn.set(saving=0, saved=turn.state.saving_what if event.ok else "")
    if event.ok:
        return
    turn.do(Warn("file_failed", f"the run-time file cannot be written: {event.why}"))
    turn.set(retry_at=max(turn.state.retry_at, turn.now + turn.state.setup.backoff))
    if turn.state.phase in ACTIVE:
        stop(turn, "file_failed", event.why)


def _shutdown(turn: Turn, _event: ev.Shutdown) -> None:
    if not turn.state.leaving:
        turn.set(leaving=True, leaving_since=turn.now)


def _hold(turn: Turn, event: ev.Hold) -> None:
    turn.set(hold_until=event.until)


def _ungoverned(turn: Turn, event: ev.Ungoverned) -> None:
    turn.set(clear_at=event.until)


def _tick(_turn: Turn, _event: ev.Tick) -> None:
    pass


def _rule_ready(turn: Turn) -> None:
    """Nothing is decided before nodeos is proven stopped (start and restart, R4)."""
    if turn.state.phase is Phase.STARTING and turn.state.proven:
        turn.go("ready")


def _rule_exit(turn: Turn) -> None:
    """End when nothing is held and nodeos is stopped; or when no confirmation of ours can be valid any more."""
    state = turn.state
    if not state.leaving or state.exited:
        return
    timing = state.setup.timing
    idle = state.phase in (Phase.STARTING, Phase.STANDBY)
    if (idle and state.proven and state.quiet) or turn.at(state.leaving_since + timing.validity + timing.margin):
        turn.set(exited=True)
        turn.do(Exit())


_HANDLERS: dict[type, Callable[[Turn, Any], None]] = {
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
    ev.GateClosed: gate_closed,
    ev.GateFailed: gate_failed,
    ev.GateRefused: gate_refused,
    ev.GateSigned: gate_signed,
    ev.HeadRead: head_read,
    ev.ProcessSeen: process_seen,
    ev.PausedSeen: paused_seen,
    ev.LeaseSeen: _lease_seen,
    ev.RuntimeSaved: _runtime_saved,
    ev.Standing: _standing,
    ev.Hold: _hold,
    ev.Ungoverned: _ungoverned,
    ev.Shutdown: _shutdown,
}  # each handler takes its own event type, which is the key

_RULES: tuple[Callable[[Turn], None], ...] = (
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
    _rule_exit,
)
