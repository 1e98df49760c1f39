"""The signing gate in the protocol: when it is opened, when it is closed, and what follows from it (R3, R4).

nodeos gets no signature but through it. It is opened with the resume, and again with each confirmation, until V - G;
it is closed first of all when a tenure ends. Once that is proven nothing is signed, whatever nodeos does or is asked
to: so a release waits for no block in flight, and nodeos need not be ended. Where the closing cannot be proven the
time does it: the gate signs nothing from V - G on, by its own clock, with the agent dead or frozen too.

With `on` all this holds only for a tenure in which the gate was seen to sign; else nodeos may have the key itself, and
is stopped as without a gate. Pauses go on beside it: a node that does not lead is paused, and a candidate was.
"""

from __future__ import annotations

from agent.core.leadership.actions import CloseGate, OpenGate, Warn
from agent.core.leadership.events import GateDone, GateSigned
from agent.core.leadership.state import GateState, Phase, Production, State
from agent.core.leadership.step import Step
from agent.core.leadership.timing import GateMode
from agent.core.leadership.transitions import ACTIVE
from agent.core.model.store import Ms

SHUT = (Phase.STARTING, Phase.STANDBY, Phase.STOPPING, Phase.RELEASING)
"""Phases in which nothing is to be signed. Between campaign and resume it has been closed."""

# --- events ---


def gate_done(step: Step, event: GateDone) -> None:
    """Handle the proof that nothing is or can be signed; without it the gate may still sign, and is closed again."""
    if step.state.gate is not GateState.CLOSING or event.call != step.state.gate_call:
        return
    if event.closed:
        _closed(step, event.quiet)
    else:
        _failed(step, event.why)


def gate_signed(step: Step, event: GateSigned) -> None:
    """Handle a signature of the gate: for a tenure that it was opened for, this is how nodeos signs."""
    state = step.state
    used = state.leads and state.identity.timing.gate is GateMode.ON
    if used and not step.tenure.gated and event.at >= state.phase_since:
        step.set_tenure(gated=True)


def _closed(step: Step, quiet: Ms | None = None) -> None:
    since = step.now if quiet is None else min(quiet, step.now)
    step.set(gate=GateState.CLOSED, gate_since=since, gate_until=0, gate_call=0)


def _failed(step: Step, why: str) -> None:
    state, timing = step.state, step.state.identity.timing
    ending = state.phase in (Phase.STOPPING, Phase.RELEASING)
    again = min(state.identity.retry, timing.gate_close) if ending else state.identity.retry
    step.set(gate=GateState.UNKNOWN, gate_call=0, gate_retry=step.now + again)
    if ending or step.now >= state.phase_since + timing.validity:  # else a busy start is no reason to tell
        step.do(Warn("gate_failed", f"the signing gate is not proven to be closed: {why}"))


# --- rules ---


def rule_gate(step: Step) -> None:
    """Prolong what the gate may sign with each confirmation; close it whenever nothing is to be signed."""
    state = step.state
    if state.identity.timing.gate is GateMode.OFF:
        return
    if state.phase in ACTIVE and state.gate is GateState.OPEN and state.permit != state.gate_until:
        _permit(step)
    if state.gate is GateState.CLOSING and step.at(state.gate_by):
        _failed(step, "no answer in time")
    if state.phase not in SHUT:
        return
    state = step.state
    if state.gate in (GateState.UNKNOWN, GateState.OPEN) and step.at(state.gate_retry):
        _close(step)
    state = step.state
    over = state.gate_until + state.identity.timing.slack
    if state.gate in (GateState.UNKNOWN, GateState.CLOSING) and state.gate_until and step.at(over):
        _closed(step)  # by its own clock it has let nothing go for so long that the last signature is out


def open_gate(step: Step) -> None:
    """Open the gate, right before the resume (R9)."""
    if step.state.identity.timing.gate is not GateMode.OFF:
        step.set(gate=GateState.OPEN, gate_call=0)
        _permit(step)


def _permit(step: Step) -> None:
    until = step.state.permit
    step.set(gate_until=until)
    step.do(OpenGate(step.tenure.epoch, until))


def _close(step: Step) -> None:
    call = step.number()
    within = step.state.identity.timing.gate_close
    step.set(gate=GateState.CLOSING, gate_call=call, gate_by=step.now + within)
    step.at(step.now + within)
    step.do(CloseGate(call, within, step.now + within))


# --- what it means for the rest ---


def closed_if_required(state: State) -> bool:
    """Tell whether the gate has answered that it is closed, where no tenure may begin without."""
    return state.gate is GateState.CLOSED or not state.identity.timing.gated


def spared(state: State) -> bool:
    """Tell whether nodeos need not be ended: it signs nothing, now, or from V - G on by a gate that is required."""
    closing = state.gate is GateState.CLOSING and state.tenure is not None and state.tenure.gated
    return state.identity.timing.gated or state.shut or closing


def next_pause(step: Step) -> Ms:
    """Return when to try another pause: when the gate has failed at once, for then nodeos has to be ended in time."""
    state = step.state
    retry = step.now + state.identity.retry
    return min(retry, state.gate_by) if state.gate is GateState.CLOSING and state.phase is Phase.STOPPING else retry


def harmless(state: State) -> bool:
    """Tell whether a resume that may still act does no harm: it opens no gate, and who was paused is paused again."""
    return state.identity.timing.gated and state.gate is GateState.CLOSED


def answers(state: State) -> bool:
    """Tell whether it is worth asking nodeos for its head: not one that is gone, or gave no answer to a pause."""
    silent = state.pause_timeouts > 0 and state.production is Production.UNKNOWN
    return state.process is not None and not (
        deaf(state) or (silent and state.identity.timing.gate is not GateMode.OFF)
    )


def deaf(state: State) -> bool:
    """Tell whether the stop is proven by the gate, and nodeos is known to give no answer that is worth waiting for."""
    return state.shut and not state.quiet and state.eligibility.deaf


def last_block_missed(step: Step) -> bool:
    """Wait for what may have been signed last where no head tells of it: nobody may sign for that slot again (R5, R9).

    A pause that was answered makes sure that the head, read after it, has that block. Without an answer it is not
    known, and its slot lies up to B after the last signature, or after the closing where the gate does not tell of one.
    """
    state = step.state
    if state.quiet or state.identity.timing.gate is GateMode.OFF or step.tenure.head_known:
        return False
    return not step.at(state.gate_since + state.identity.timing.block)
