"""The last act of an agent that cannot go on: nodeos is stopped before anything else, without the loop and its lanes.

It is for defects alone: what the core decides is carried out by `effects`. Should this fail too, the guard acts at the
moment that the run-time file names.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from agent.core.leadership import actions as do
from agent.core.leadership.events import Call
from agent.core.leadership.production import grace
from agent.core.leadership.state import State
from agent.core.model.backoff import doubled
from agent.core.model.store import Ms
from agent.errors import FailoverError
from agent.ports import Clock, Fence, Nodeos, SigningGate
from agent.runtime import calls

log = logging.getLogger(__name__)


def halt(state: State, nodeos: Nodeos, fence: Fence, gate: SigningGate | None, clock: Clock) -> None:
    """Stop nodeos as far as `state` does not know it to be stopped (R3, R4): close the gate, pause, else end it.

    Takes P for each of gate and pause at most, and for the end of the process its grace and K. Never raises.
    """
    if state.proven:
        return
    timing, begun = state.identity.timing, clock.boot()
    if gate is not None:
        _tried("close the gate", lambda: gate.close(timing.gate_close / 1000))
    paused = _tried("pause nodeos", lambda: _paused(nodeos, begun, timing.pause, clock))
    if paused and not state.resume_open:  # else the resume may act after the pause
        log.critical("nodeos is paused")
        return
    term = grace(state, clock.boot())
    ending = do.FenceNodeos(0, term, term + timing.kill)
    if _tried("end nodeos", lambda: calls.fence(fence, ending).gone):
        log.critical("nodeos is ended, for a pause was not proven")


def _paused(nodeos: Nodeos, begun: Ms, within: Ms, clock: Clock) -> bool:
    """Pause until it is seen to be so, or its time is over; a definite no is asked again."""
    while (left := begun + within - clock.boot()) > 0:
        answer = calls.pause(nodeos, do.PauseNodeos(0, left), clock)
        if answer.result is Call.OK:
            return True
        if answer.result is Call.TIMEOUT:
            return False
        time.sleep(min(doubled(clock.boot() - begun), left) / 1000)
    return False


def _tried(what: str, act: Callable[[], object]) -> bool:
    """Do one thing, whatever comes of it; tell whether it was done."""
    try:
        return bool(act())
    except FailoverError as error:
        log.critical("the last act, to %s, failed: %s", what, error)
    except Exception:
        log.critical("the last act, to %s, failed", what, exc_info=True)
    return False
