"""Stopping nodeos and proving it (R3, R4), and resuming it (R9): what is known of its production.

A pause that was answered is a proof only after the block in flight, and only if no resume is unanswered. A process that
was seen to be gone is a proof. Everything else is not.
"""

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
from agent.core.leadership.gate import answers, harmless, next_pause, open_gate, spared
from agent.core.leadership.state import Gate, Phase, Power, State
from agent.core.leadership.step import Turn
from agent.core.leadership.transitions import ACTIVE, REQUESTED
from agent.core.model.chain import Block
from agent.core.model.store import Ms

ASK_AGAIN: Ms = 50
"""A nodeos that is busy answers 429 or 503: it is asked again so long after, at the least."""

# --- events ---


def pause_done(turn: Turn, event: PauseDone) -> None:
    """Take the answer to a pause."""
    state = turn.state
    if state.power is not Power.PAUSING or event.call != state.call:
        return
    if event.result is Call.OK:
        turn.set(hung=0)
        if state.resume_open and harmless(state):
            turn.set(resume_open=False)
            state = turn.state
        if not state.resume_open:
            turn.power(Power.SETTLING, turn.now + state.setup.timing.block)
        # else: wait for the resume's answer until the pause is due, then fence
        return
    _pause_failed(turn, event.result, event.why)


def _pause_failed(turn: Turn, result: Call, why: str) -> None:
    state = turn.state
    hung = state.hung + 1 if result is Call.TIMEOUT else 0
    turn.set(hung=hung)
    stopping = state.phase is Phase.STOPPING and not spared(state)
    if stopping and result is not Call.TIMEOUT and turn.now < state.pause_by:
        turn.power(Power.UNKNOWN)
        turn.set(power_retry=min(turn.now + _growing(turn), state.pause_by))  # ended then, when it is no use
        return
    if (state.phase is Phase.STOPPING or hung >= state.setup.patience) and not spared(state):
        turn.do(Warn("pause_failed", f"pause failed, nodeos will be stopped: {why}"))
        _fence(turn)
        return
    turn.power(Power.UNKNOWN)
    turn.set(power_retry=next_pause(turn))
    if result is Call.ERROR:
        turn.do(Warn("pause_refused", f"nodeos refuses to pause: {why}"))


def _growing(turn: Turn) -> Ms:
    """Return a wait as long as the stop has taken so far, so that each is about twice the one before."""
    begun = turn.state.pause_by - turn.state.setup.timing.pause
    return max(ASK_AGAIN, turn.now - begun)


def resume_done(turn: Turn, event: ResumeDone) -> None:
    """Take the answer to a resume, however late."""
    state = turn.state
    if event.call != state.resume_call:
        return
    turn.set(resume_call=0)
    if event.result is Call.TIMEOUT:
        if state.power is Power.RESUMING:
            stop(turn, "resume_failed", f"{event.why}; it may still act, so only the end of the process is proof")
        elif state.power is Power.STOPPED:
            turn.power(Power.UNKNOWN)  # its process was gone, but it may have reached the next one
        return
    turn.set(resume_open=False)
    if state.power is Power.RESUMING:
        if event.result is Call.OK:
            turn.power(Power.PRODUCING)
            turn.go("leads")
            turn.save("held")
        else:
            stop(turn, "resume_failed", event.why)
    elif state.power is Power.PAUSING or (state.power is Power.STOPPED and event.result is Call.OK):
        turn.power(Power.UNKNOWN)  # it may have acted after the pause: pause again


def gate_refused(turn: Turn, event: GateRefused) -> None:
    """Take that the gate could not be opened: nothing will be signed for this tenure."""
    state = turn.state
    if state.phase in ACTIVE and turn.tenure.epoch == event.epoch:
        stop(turn, "resume_failed", event.why)


def fence_done(turn: Turn, event: FenceDone) -> None:
    """Take the outcome of a fence."""
    state = turn.state
    if state.power is not Power.FENCING or event.call != state.call:
        return
    turn.set(hung=0)
    if event.gone:
        turn.set(process=None, resume_open=bool(state.resume_call))
        turn.power(Power.STOPPED)
        return
    _fence_failed(turn, event.why)


def _fence_failed(turn: Turn, why: str) -> None:
    turn.do(Warn("fence_failed", f"nodeos could not be stopped, it may go on producing: {why}"))
    turn.power(Power.UNKNOWN)
    retry = turn.now + turn.state.setup.retry
    turn.set(power_retry=retry, pause_by=retry + turn.state.setup.timing.pause)


def process_seen(turn: Turn, event: ProcessSeen) -> None:
    """Take that nodeos is gone, or is another process now."""
    state = turn.state
    if event.process == state.process and event.process is not None:
        return
    was = state.process
    turn.set(process=event.process, hung=0, power_retry=turn.now)
    if state.tenure is not None and state.tenure.gated:
        turn.set_tenure(gated=False)  # how the next process signs was not seen
    if event.process is None:
        turn.set(resume_open=bool(state.resume_call))  # another process proves nothing: the resume may have reached it
        turn.power(Power.STOPPED)
        if state.phase in (Phase.ELECTED, Phase.LEADING):
            stop(turn, "nodeos_gone", f"pid {was.pid}" if was else "")
        return
    turn.power(Power.UNKNOWN)
    if state.phase in (Phase.ELECTED, Phase.LEADING):
        stop(turn, "nodeos_restarted")


def paused_seen(turn: Turn, event: PausedSeen) -> None:
    """Whoever is not leader and finds nodeos not paused pauses it again, and says so loudly."""
    state = turn.state
    if state.tenure is not None and state.tenure.inherited and event.asked >= state.power_since:
        _inherited_seen(turn, event)
        return
    if event.paused and state.power is Power.FOUND and event.asked >= state.power_since:
        turn.power(Power.UNKNOWN)  # somebody has paused it: there is nothing to adopt
        return
    if event.paused or state.power is not Power.STOPPED or event.asked < state.power_since or state.process is None:
        return
    turn.power(Power.UNKNOWN)
    turn.do(Warn("unpaused", "nodeos is not paused though this node does not lead: somebody resumed it; pausing it"))


def _inherited_seen(turn: Turn, event: PausedSeen) -> None:
    """End a tenure that goes on after a restart, when nodeos was paused before: it had begun to stop (R3)."""
    if event.paused and turn.state.power is Power.PRODUCING:
        stop(turn, "stopped_before")
    else:
        turn.set_tenure(inherited=False)


def head_read(turn: Turn, event: HeadRead) -> None:
    """Take our own head: the last own block of a tenure that ends (R5), or how far a new one has come (R9)."""
    state = turn.state
    if event.call != state.head_call:
        return
    poll = state.setup.head_poll
    turn.set(head_call=0, head_retry=turn.now + poll)
    if event.num is None:
        if state.phase is Phase.ELECTED:  # each wait about twice the one before
            turn.set(head_retry=turn.now + min(state.setup.retry, max(poll, turn.now - state.phase_since)))
        return
    turn.set(head=event.num)
    if state.phase is Phase.STOPPING and not state.quiet and state.power is Power.SETTLING:
        turn.set_tenure(head_known=True)
    if state.phase is Phase.STOPPING and event.producer == state.setup.producer:
        turn.set_tenure(last_block=Block(event.num, event.id, event.time, event.producer))


# --- rules ---


def stop(turn: Turn, key: str, detail: str = "") -> None:
    """End the tenure, from now on (R3); leave the seat to others if somebody asked for it (R12)."""
    turn.go(key, detail)
    turn.set_tenure(stop_reason=turn.reason)
    turn.set(returns=key == "expiring" and turn.state.seen.maintenance is not None)
    if key in REQUESTED:
        turn.set(holdoff_until=turn.now + turn.state.setup.timing.fair_chance)
    begin_stop(turn)


def begin_stop(turn: Turn) -> None:
    """Begin to stop at once; from here on the tenure is over whatever answer comes (R3)."""
    state = turn.state
    turn.set(pause_by=turn.now + state.setup.timing.pause, power_retry=turn.now, head_call=0, head_until=0)
    turn.set(gate_retry=0)
    if state.power in (Power.PRODUCING, Power.RESUMING, Power.FOUND):
        turn.power(Power.UNKNOWN)
    turn.save("stopping")


def rule_stop_nodeos(turn: Turn) -> None:
    """Drive nodeos to a proven stop whenever it may produce and is not meant to (R3, R4)."""
    state = turn.state
    if state.power is Power.PAUSING and turn.at(state.power_until):
        _pause_failed(turn, Call.TIMEOUT, "no answer in time, or a resume is still unanswered")
    elif state.power is Power.FENCING and turn.at(state.power_until):
        _fence_failed(turn, "the fence gave no answer in time")
    elif state.power is Power.SETTLING and turn.at(state.power_until):
        turn.power(Power.STOPPED)
    if turn.state.power is Power.UNKNOWN and turn.at(turn.state.power_retry):
        _pause(turn)


def _pause(turn: Turn) -> None:
    state = turn.state
    timing = state.setup.timing
    if state.phase is Phase.STOPPING:
        until = turn.now + timing.pause if spared(state) else min(turn.now + timing.pause, state.pause_by)
        if until <= turn.now:
            _fence(turn)
            return
    else:
        until = turn.now + max(timing.pause, timing.request)
    call = turn.number()
    turn.set(call=call)
    turn.power(Power.PAUSING, until)
    turn.at(until)
    turn.do(PauseNodeos(call, until - turn.now))


def grace(state: State, now: Ms) -> Ms:
    """Return how long SIGTERM may take, as far as the confirmation leaves time: a killed nodeos needs a replay."""
    timing, term = state.setup.timing, state.setup.term
    if state.tenure is None:
        return term
    return max(0, min(term, state.tenure.valid_until - now - timing.kill - timing.slack))


def _fence(turn: Turn) -> None:
    """End the process."""
    timing, term = turn.state.setup.timing, grace(turn.state, turn.now)
    call = turn.number()
    within = term + timing.kill
    turn.set(call=call)
    turn.power(Power.FENCING, turn.now + within + timing.slack)
    turn.at(turn.state.power_until)
    turn.do(FenceNodeos(call, term, within))


def rule_read_last_block(turn: Turn) -> bool:
    """When stopped by a pause, read the head once, to name the last own block; True when that is done with."""
    state = turn.state
    if not state.quiet and state.power is Power.PAUSING:
        return False  # the gate is closed, and the head has what was signed before it once a pause is answered
    if not answers(state) or (state.head_until and (not state.head_call or turn.at(state.head_until))):
        return True
    if not state.head_until:
        _read_head(turn)
    return False


def _read_head(turn: Turn) -> None:
    call = turn.number()
    within = turn.state.setup.timing.pause
    turn.set(head_call=call, head_until=turn.now + within)
    turn.at(turn.now + within)
    turn.do(ReadHead(call, within))


def rule_resume(turn: Turn) -> None:
    """Resume once elected, proven stopped, saved, and level with the last own block of the leader before (R9)."""
    state = turn.state
    if state.phase is not Phase.ELECTED or not state.quiet or state.saved != "held":
        return
    if state.gate is Gate.CLOSING:
        return  # which must not come after the opening; it is given up soon
    if state.hold_until and not turn.at(state.hold_until):
        return
    wait = turn.tenure.wait_head
    if wait is not None and state.head < wait and not turn.at(state.phase_since + state.setup.timing.catch_up):
        if (not state.head_call or turn.at(state.head_until)) and turn.at(state.head_retry):
            _read_head(turn)
        return
    open_gate(turn)
    call = turn.number()
    turn.set(resume_open=True, resume_call=call, head_call=0)
    turn.power(Power.RESUMING)
    within = min(state.setup.timing.resume, state.over_by - turn.now)
    turn.do(ResumeNodeos(call, within, turn.now + within))
