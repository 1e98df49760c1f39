"""The signing gate in the protocol: when it is opened, when it is closed, and what follows from it (R3, R4).

nodeos gets no signature but through it. It is opened with the resume, and again with each confirmation, until V - G;
it is closed first of all when a tenure ends. Once that is proven nothing is signed, whatever nodeos does or is asked
to: so a release waits for no block in flight, and nodeos need not be ended. Where the closing cannot be proven the
time does it: the gate signs nothing from V - G on, by its own clock, with the agent dead or frozen too.

With `on` all this holds only for a tenure in which the gate was seen to sign; else nodeos may have the key itself, and
is stopped as without a gate. Pauses go on beside it: who does not lead is paused, and whoever campaigns was.
"""

from __future__ import annotations

from agent.core.leadership.actions import CloseGate, OpenGate, Warn
from agent.core.leadership.events import GateClosed, GateFailed, GateSigned
from agent.core.leadership.state import Gate, Phase, Power, State
from agent.core.leadership.step import Turn
from agent.core.leadership.timing import GateMode
from agent.core.leadership.transitions import ACTIVE
from agent.core.model.store import Ms

SHUT = (Phase.STARTING, Phase.STANDBY, Phase.STOPPING, Phase.RELEASING)
"""Phases in which nothing is to be signed. Between campaign and resume it has been closed."""

# --- events ---


def gate_closed(turn: Turn, event: GateClosed) -> None:
    """Take the proof that nothing is or can be signed."""
    if turn.state.gate is Gate.CLOSING and event.call == turn.state.gate_call:
        _closed(turn)


def gate_failed(turn: Turn, event: GateFailed) -> None:
    """Take that there is no such proof."""
    if turn.state.gate is Gate.CLOSING and event.call == turn.state.gate_call:
        _failed(turn, event.why)


def gate_signed(turn: Turn, event: GateSigned) -> None:
    """Take that the gate signs: for a tenure that it was opened for, this is how nodeos signs."""
    state = turn.state
    used = state.phase is Phase.LEADING and state.setup.timing.gate is GateMode.ON
    if used and not turn.tenure.gated and event.at >= state.phase_since:
        turn.set_tenure(gated=True)


def _closed(turn: Turn) -> None:
    turn.set(gate=Gate.CLOSED, gate_since=turn.now, gate_until=0, gate_call=0)


def _failed(turn: Turn, why: str) -> None:
    state, timing = turn.state, turn.state.setup.timing
    ending = state.phase in (Phase.STOPPING, Phase.RELEASING)
    again = min(state.setup.retry, timing.gate_close) if ending else state.setup.retry
    turn.set(gate=Gate.UNKNOWN, gate_call=0, gate_retry=turn.now + again)
    if ending or turn.now >= state.phase_since + timing.validity:  # else a busy start is no reason to tell
        turn.do(Warn("gate_failed", f"the signing gate is not proven to be closed: {why}"))


# --- rules ---


def rule_gate(turn: Turn) -> None:
    """Prolong what the gate may sign with each confirmation; close it whenever nothing is to be signed."""
    state = turn.state
    if state.setup.timing.gate is GateMode.OFF:
        return
    if state.phase in ACTIVE and state.gate is Gate.OPEN and state.permit > state.gate_until:
        _permit(turn)
    if state.gate is Gate.CLOSING and turn.at(state.gate_by):
        _failed(turn, "no answer in time")
    if state.phase not in SHUT:
        return
    state = turn.state
    if state.gate in (Gate.UNKNOWN, Gate.OPEN) and turn.at(state.gate_retry):
        _close(turn)
    state = turn.state
    over = state.gate_until + state.setup.timing.slack
    if state.gate in (Gate.UNKNOWN, Gate.CLOSING) and state.gate_until and turn.at(over):
        _closed(turn)  # by its own clock it has let nothing go for so long that the last signature is out


def open_gate(turn: Turn) -> None:
    """Open the gate, right before the resume (R9)."""
    if turn.state.setup.timing.gate is not GateMode.OFF:
        turn.set(gate=Gate.OPEN, gate_call=0)
        _permit(turn)


def _permit(turn: Turn) -> None:
    until = turn.state.permit
    turn.set(gate_until=until)
    turn.do(OpenGate(turn.tenure.epoch, until))


def _close(turn: Turn) -> None:
    call = turn.number()
    within = turn.state.setup.timing.gate_close
    turn.set(gate=Gate.CLOSING, gate_call=call, gate_by=turn.now + within)
    turn.at(turn.now + within)
    turn.do(CloseGate(call, within, turn.now + within))


# --- what it means for the rest ---


def closed_if_required(state: State) -> bool:
    """Tell whether the gate has answered that it is closed, where no tenure may begin without."""
    return state.gate is Gate.CLOSED or not state.setup.timing.gated


def spared(state: State) -> bool:
    """Tell whether nodeos need not be ended: it signs nothing, now, or from V - G on by a gate that is required."""
    closing = state.gate is Gate.CLOSING and state.tenure is not None and state.tenure.gated
    return state.setup.timing.gated or state.shut or closing


def next_pause(turn: Turn) -> Ms:
    """Return when to try another pause: when the gate has failed at once, for then nodeos has to be ended in time."""
    state = turn.state
    retry = turn.now + state.setup.retry
    return min(retry, state.gate_by) if state.gate is Gate.CLOSING and state.phase is Phase.STOPPING else retry


def harmless(state: State) -> bool:
    """Tell whether a resume that may still act does no harm: it opens no gate, and who was paused is paused again."""
    return state.setup.timing.gated and state.gate is Gate.CLOSED


def answers(state: State) -> bool:
    """Tell whether it is worth asking nodeos for its head: not one that is gone, or gave no answer to a pause."""
    deaf = state.hung > 0 and state.power is Power.UNKNOWN and state.setup.timing.gate is not GateMode.OFF
    return state.process is not None and not deaf


def last_block_missed(turn: Turn) -> bool:
    """Wait for what may have been signed last where no head tells of it: nobody may sign for that slot again (R5, R9).

    A pause that was answered makes sure that the head, read after it, has that block. Without an answer it is not
    known, and its slot lies up to B after the closing.
    """
    state = turn.state
    if state.quiet or state.setup.timing.gate is GateMode.OFF or turn.tenure.head_known:
        return False
    return not turn.at(state.gate_since + state.setup.timing.block)
