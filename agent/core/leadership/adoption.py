"""Adoption (R19): installing an agent beside a nodeos which produces already shall cost no slot.

Why this makes no second signer. Of two agents that claim, the transaction of R8 lets one through, and the other pauses
its nodeos. Nobody else produces under a heartbeat that is held. Should our nodeos not be the one that signs (it is
unpaused, but another without an agent has the key too), then there was a second signer before, and this one adds none:
the agent beside that nodeos, once it starts, finds the heartbeat held and pauses it, and a leader whose slots stay
empty hands over (`first_blocks`).

It produces when the heartbeat comes to stand, so the guard knows of it before the take-over is sent: should this agent
freeze or die in between, it stops nodeos in time for whoever waits for that heartbeat (R3, R8).

In any doubt (a heartbeat, another name in the seat, a word of operators, a gate, etcd or the lease not there within two
requests) nodeos is paused, as ever. Until then it is what it was before the agent came: not governed.
"""

from __future__ import annotations

from agent.core.leadership.actions import Warn
from agent.core.leadership.campaign import prepare
from agent.core.leadership.state import Phase, Production, State
from agent.core.leadership.step import Step
from agent.core.leadership.timing import GateMode
from agent.core.model.chain import ProcessId

ORIGIN = "nodeos was producing already"


def claim(step: Step, process: ProcessId | None) -> None:
    """Leave a nodeos that produces unpaused until it is decided whether it is adopted; at most for two requests."""
    timing = step.state.identity.timing
    if process is not None and process.pid and timing.gate is GateMode.OFF:
        step.set_production(Production.FOUND, step.now + 2 * timing.request)


def rule_adopt(step: Step) -> None:
    """Take the lead with a nodeos that produces already, or pause it (R19)."""
    state = step.state
    if state.production is not Production.FOUND:
        if state.tenure is None and state.saved and state.quiet:
            step.save("")  # of a take-over that came to nothing
        return
    why = against(state)
    if not why and not step.at(state.production_until):
        if state.phase is Phase.STARTING and state.seen.known and state.lease is not None:
            prepare(step, ORIGIN)
            step.set_tenure(valid_until=step.now + state.identity.timing.validity)
            step.go("adopt")
            step.save("held")
        elif state.phase is Phase.ELECTED and state.saved == "held":
            step.set_production(Production.PRODUCING)
            step.go("adopted")
            step.save("held")
        return
    step.set_production(Production.UNKNOWN)
    step.do(Warn("not_adopted", f"nodeos produces, and is paused now: {why or 'etcd was not there in time'}"))


def against(state: State) -> str:
    """Return what speaks against an adoption, as far as the store is known; empty while nothing does."""
    seen = state.seen
    if state.leaving:
        return "the agent is asked to end"
    if state.phase in (Phase.CAMPAIGNING, Phase.ELECTED):
        return ""  # the transaction rests on what was seen before
    if state.phase is not Phase.STARTING:
        return "the lead went to another"
    if seen.heartbeat is not None:
        return f"{seen.last_holder or 'somebody'} has led before"
    if seen.leader is not None and not state.nominated:
        return f"the seat names {seen.leader.name or 'no node'}"
    if seen.maintenance is not None:
        return "there is maintenance"
    if seen.override is not None and seen.override.leader != state.identity.node:
        return "an override says so"
    return ""
