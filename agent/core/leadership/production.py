"""Stopping nodeos and proving it (R3, R4), and resuming it (R9): what is known of its production."""

from __future__ import annotations

from agent.core.leadership.actions import FenceNodeos, PauseNodeos, ReadHead, ResumeNodeos, Warn
from agent.core.leadership.events import (
    Call,
    FenceDone,
    GateRefused,
    HeadRead,
    PauseDone,
    PausedSeen,
    ProcessSeen,
    ResumeDone,
)
from agent.core.leadership.gate import answers, deaf, harmless, next_pause, open_gate, spared
from agent.core.leadership.state import GateState, Phase, Production, State
from agent.core.leadership.step import Step
from agent.core.leadership.transitions import ACTIVE, REQUESTED
from agent.core.model.backoff import doubled
from agent.core.model.chain import Block
from agent.core.model.store import Ms

LAST_CHANCE: Ms = 100
"""What a nodeos may take to answer a pause when its main thread has let the last questions pass, each for longer."""

UNPAUSED = Warn(
    "unpaused",
    "nodeos is not paused though this node does not lead: somebody resumed it, or it was started so; pausing it",
)

# --- events ---


def pause_done(step: Step, event: PauseDone) -> None:
    """Handle the answer to a pause."""
    state = step.state
    if state.production is not Production.PAUSING or event.call != state.call:
        return
    if event.unpaused and state.phase is Phase.STANDBY:
        step.do(UNPAUSED)
    if event.result is Call.OK:
        step.set(pause_timeouts=0)
        if state.resume_open and harmless(state):
            step.set(resume_open=False)
            state = step.state
        if not state.resume_open:
            step.set_production(Production.SETTLING, step.now + state.identity.timing.block)
        # else: wait for the resume's answer until the pause is due, then fence
        return
    _pause_failed(step, event.result, event.why)


def _pause_failed(step: Step, result: Call, why: str) -> None:
    state = step.state
    hung = state.pause_timeouts + 1 if result is Call.TIMEOUT else 0
    step.set(pause_timeouts=hung)
    stopping = state.phase is Phase.STOPPING and not spared(state)
    if stopping and result is not Call.TIMEOUT and step.now < state.pause_by:
        step.set_production(Production.UNKNOWN)
        tried = max(0, step.now - (state.pause_by - state.identity.timing.pause))
        step.set(pause_retry_at=min(step.now + doubled(tried), state.pause_by))  # ended then, if no use
        return
    if (state.phase is Phase.STOPPING or hung >= state.identity.patience) and not spared(state):
        step.do(Warn("pause_failed", f"pause failed, nodeos will be stopped: {why}"))
        _fence(step)
        return
    step.set_production(Production.UNKNOWN)
    step.set(pause_retry_at=next_pause(step))
    if result is Call.ERROR:
        step.do(Warn("pause_refused", f"nodeos refuses to pause: {why}"))


def resume_done(step: Step, event: ResumeDone) -> None:
    """Handle the answer to a resume, however late."""
    state = step.state
    if event.call != state.resume_call:
        return
    step.set(resume_call=0)
    if event.result is Call.TIMEOUT:
        if state.production is Production.RESUMING:
            stop(step, "resume_failed", f"{event.why}; it may still act, so only the end of the process is proof")
        elif state.production is Production.STOPPED:
            step.set_production(Production.UNKNOWN)  # its process was gone, but it may have reached the next one
        return
    step.set(resume_open=False)
    if state.production is Production.RESUMING:
        if event.result is Call.OK:
            step.set_production(Production.PRODUCING)
            step.go("leads")
            step.save("held")
        else:
            stop(step, "resume_failed", event.why)
    elif state.production is Production.PAUSING or (state.production is Production.STOPPED and event.result is Call.OK):
        step.set_production(Production.UNKNOWN)  # it may have acted after the pause: pause again


def gate_refused(step: Step, event: GateRefused) -> None:
    """Handle a gate that could not be opened: nothing will be signed for this tenure."""
    state = step.state
    if state.phase in ACTIVE and step.tenure.epoch == event.epoch:
        stop(step, "resume_failed", event.why)


def fence_done(step: Step, event: FenceDone) -> None:
    """Handle the outcome of a fence."""
    state = step.state
    if state.production is not Production.FENCING or event.call != state.call:
        return
    step.set(pause_timeouts=0)
    if event.gone:
        step.set(process=None, resume_open=bool(state.resume_call))
        step.set_production(Production.STOPPED)
        return
    _fence_failed(step, event.why)


def _fence_failed(step: Step, why: str) -> None:
    step.do(Warn("fence_failed", f"nodeos could not be stopped, it may go on producing: {why}"))
    step.set_production(Production.UNKNOWN)
    retry = step.now + step.state.identity.retry
    step.set(pause_retry_at=retry, pause_by=retry + step.state.identity.timing.pause)


def process_seen(step: Step, event: ProcessSeen) -> None:
    """Handle a nodeos that is gone, or is another process now."""
    state = step.state
    if event.process == state.process and event.process is not None:
        return
    was = state.process
    step.set(process=event.process, pause_timeouts=0, pause_retry_at=step.now)
    if state.tenure is not None and state.tenure.gated:
        step.set_tenure(gated=False)  # how the next process signs was not seen
    if event.process is None:
        step.set(resume_open=bool(state.resume_call))  # another process proves nothing: the resume may have reached it
        step.set_production(Production.STOPPED)
        if state.phase in ACTIVE:
            stop(step, "nodeos_gone", f"pid {was.pid}" if was else "")
        return
    step.set_production(Production.UNKNOWN)
    if state.phase in ACTIVE:
        stop(step, "nodeos_restarted")


def paused_seen(step: Step, event: PausedSeen) -> None:
    """Pause a nodeos that is not paused though this node does not lead, and warn: an operator may have resumed it."""
    state = step.state
    if state.tenure is not None and state.tenure.inherited and event.asked >= state.production_since:
        _inherited_seen(step, event)
        return
    if event.paused and state.production is Production.FOUND and event.asked >= state.production_since:
        step.set_production(Production.UNKNOWN)  # an operator has paused it: there is nothing to adopt
        return
    if (
        event.paused
        or state.production is not Production.STOPPED
        or event.asked < state.production_since
        or state.process is None
    ):
        return
    step.set_production(Production.UNKNOWN)
    step.do(UNPAUSED)


def _inherited_seen(step: Step, event: PausedSeen) -> None:
    """End a tenure that goes on after a restart, when nodeos was paused before: it had begun to stop (R3)."""
    if event.paused and step.state.production is Production.PRODUCING:
        stop(step, "stopped_before")
    else:
        step.set_tenure(inherited=False)


def head_read(step: Step, event: HeadRead) -> None:
    """Take our own head: it has the last own block of a tenure that ends (R5), or tells how far a new one is (R9)."""
    state = step.state
    if event.call != state.head_call:
        return
    poll = state.identity.head_poll
    step.set(head_call=0, head_retry=step.now + poll)
    if event.num is None:
        if state.phase is Phase.ELECTED:
            step.set(head_retry=step.now + min(state.identity.retry, doubled(step.now - state.phase_since, poll)))
        return
    step.set(head=event.num)
    if state.phase is Phase.STOPPING and not state.quiet and state.production is Production.SETTLING:
        step.set_tenure(head_known=True)
    if state.phase is Phase.STOPPING:
        step.set_tenure(last_block=Block(event.num, event.id, event.time, event.producer))


# --- rules ---


def stop(step: Step, key: str, detail: str = "") -> None:
    """End the tenure, from now on (R3); leave the seat to others if an operator asked for it (R12)."""
    step.go(key, detail)
    step.set_tenure(stop_reason=step.reason)
    step.set(returns=key == "expiring" and step.state.seen.maintenance is not None)
    if key in REQUESTED:
        step.set(holdoff_until=step.now + step.state.identity.timing.fair_chance)
    begin_stop(step)


def begin_stop(step: Step) -> None:
    """Begin to stop at once; from here on the tenure is over whatever answer comes (R3)."""
    state, timing = step.state, step.state.identity.timing
    within = timing.pause
    if step.now >= step.tenure.valid_until:  # its guard has stopped it by then: to end it now would only cost a replay
        within = max(within, timing.request)
    if state.eligibility.deaf:
        within = min(within, LAST_CHANCE)
    step.set(pause_by=step.now + within, pause_retry_at=step.now, head_call=0, head_until=0)
    step.set(gate_retry=0)
    if state.production in (Production.PRODUCING, Production.RESUMING, Production.FOUND):
        step.set_production(Production.UNKNOWN)
    step.save("stopping")


def rule_stop_nodeos(step: Step) -> None:
    """Drive nodeos to a proven stop whenever it may produce and is not meant to (R3, R4)."""
    state = step.state
    if state.production is Production.PAUSING and step.at(state.production_until):
        _pause_failed(step, Call.TIMEOUT, "no answer in time, or a resume is still unanswered")
    elif state.production is Production.FENCING and step.at(state.production_until):
        _fence_failed(step, "the fence gave no answer in time")
    elif state.production is Production.SETTLING and step.at(state.production_until):
        step.set_production(Production.STOPPED)
    if step.state.production is Production.UNKNOWN and step.at(step.state.pause_retry_at):
        _pause(step)


def _pause(step: Step) -> None:
    state = step.state
    timing = state.identity.timing
    if state.phase is Phase.STOPPING:
        until = step.now + timing.pause if spared(state) else state.pause_by
        if until <= step.now:
            _fence(step)
            return
    else:
        until = step.now + max(timing.pause, timing.request)
    call = step.number()
    step.set(call=call)
    step.set_production(Production.PAUSING, until)
    step.at(until)
    step.do(PauseNodeos(call, until - step.now, looks=state.phase is Phase.STANDBY))


def grace(state: State, now: Ms) -> Ms:
    """Return how long SIGTERM may take, as far as the confirmation leaves time: a killed nodeos needs a replay."""
    timing, term = state.identity.timing, state.identity.term
    if state.tenure is None:
        return term
    return max(0, min(term, state.tenure.valid_until - now - timing.kill - timing.slack))


def _fence(step: Step) -> None:
    """End the process."""
    timing, term = step.state.identity.timing, grace(step.state, step.now)
    call = step.number()
    within = term + timing.kill
    step.set(call=call)
    step.set_production(Production.FENCING, step.now + within + timing.slack)
    step.at(step.state.production_until)
    step.do(FenceNodeos(call, term, within))


def rule_read_last_block(step: Step) -> bool:
    """When stopped by a pause, read the head once, to name it in the release; True when that is done with."""
    state = step.state
    if not state.quiet and state.production is Production.PAUSING and not deaf(state):
        return False  # the gate is closed, and the head has what was signed before it once a pause is answered
    if not answers(state) or (state.head_until and (not state.head_call or step.at(state.head_until))):
        return True
    if not state.head_until:
        _read_head(step)
    return False


def _read_head(step: Step) -> None:
    call = step.number()
    within = step.state.identity.timing.pause
    step.set(head_call=call, head_until=step.now + within)
    step.at(step.now + within)
    step.do(ReadHead(call, within))


def rule_resume(step: Step) -> None:
    """Resume once elected, proven stopped, saved, and level with what the leader before released (R9)."""
    state = step.state
    if state.phase is not Phase.ELECTED or not state.quiet or state.saved != "held":
        return
    if state.gate is GateState.CLOSING:
        return  # which must not come after the opening; it is given up soon
    if state.resume_delayed_until and not step.at(state.resume_delayed_until):
        return
    wait = step.tenure.wait_head
    if wait is not None and state.head < wait and not step.at(state.phase_since + state.identity.timing.catch_up):
        if (not state.head_call or step.at(state.head_until)) and step.at(state.head_retry):
            _read_head(step)
        return
    open_gate(step)
    call = step.number()
    step.set(resume_open=True, resume_call=call, head_call=0)
    step.set_production(Production.RESUMING)
    within = min(state.identity.timing.resume, state.stop_at - step.now)
    step.do(ResumeNodeos(call, within, step.now + within))
