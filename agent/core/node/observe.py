"""What an agent would do that only observes: the rules of leadership, asked of a state that nothing was started in.

`mode = "observe"` gives leadership no `Started`: so no rule of it acts, whatever is seen (`machine.step`). What it
would do with nodeos and the lead is asked here of the same rules, as of a node that stands by, or that begins beside a
nodeos which signs.
"""

from __future__ import annotations

from agent.core.leadership import adoption, campaign
from agent.core.leadership.actions import Warn
from agent.core.leadership.state import Phase, Production, State
from agent.core.leadership.timing import GateMode
from agent.core.model.copying import replace
from agent.core.model.store import Ms
from agent.core.node import ungoverned
from agent.core.node.stage import NodeStep
from agent.core.node.state import Node, WouldDo


def observe(step: NodeStep) -> None:
    """Note what this agent would do, and say so when it changes."""
    if not step.node.settings.observes:
        return
    what, why = would(step.node, step.now)
    before = step.node.would
    if before is None or (before.what, before.why) != (what, why):
        step.set(would=WouldDo(what, why, step.now))
        step.do(Warn("observes", f"observes only; it would {_text(what)}: {why}"))


def _text(what: str) -> str:
    return {"lead": "take the lead", "pause": "pause nodeos", "stand_by": "stand by"}[what]


def would(node: Node, now: Ms) -> tuple[str, str]:
    """Return what this agent would do now (`lead`, `pause` or `stand_by`), and why."""
    state = node.leadership
    if not state.seen.known or node.nodeos_paused is None:
        return "stand_by", "etcd and nodeos have yet to answer"
    if not node.nodeos_paused:
        against = _against_adoption(node, now)
        why = against or "nodeos signs already, and nobody has led: it would go on without a pause"
        return ("pause" if against else "lead"), why
    return _of_standby(replace(state, phase=Phase.STANDBY, production=Production.STOPPED, lease=state.lease or 1), now)


def _against_adoption(node: Node, now: Ms) -> str:
    """Return why a nodeos that produces would not be left alone (R19); empty when it would."""
    state = node.leadership
    if state.identity.timing.gate is not GateMode.OFF:
        return "it produces, and a signing gate is configured"
    if not ungoverned.clear_at(node, now) and ungoverned.nobody_led(node):
        return "it may produce, and yet its chain has no block of ours lately"
    against = adoption.against(replace(state, phase=Phase.STARTING))
    return f"it produces, and {against}" if against else ""


def _of_standby(state: State, now: Ms) -> tuple[str, str]:
    """Return what the state of a node that stands by leads to."""
    seen, eligibility = state.seen, state.eligibility
    when = campaign.campaign_at(state)
    if when is not None and when <= now:
        return "lead", campaign.why_free(state)
    record = seen.record
    if seen.override is not None and seen.override.leader != state.identity.node:
        return "stand_by", f"an override says that {seen.override.leader or 'nobody'} shall lead"
    if record is not None and not record.released and when is not None:
        return "stand_by", f"{record.node} holds the lead"
    if not eligibility.eligible:
        return "stand_by", f"it may not lead: {eligibility.why}"
    return "stand_by", "the seat is not free to it yet" if when is not None else "maintenance, or nodeos is not there"
