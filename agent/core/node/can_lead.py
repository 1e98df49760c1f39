"""Whether this agent could lead if it had to, whatever nodeos is like: what is tried, not what is believed.

A standby with a sound nodeos that reads nothing of the group, cannot write its run-time file, has no lease or is stuck
in a phase takes over from nobody, and a handover to it loses slots. So this is a check like the others: such a
node reports that it is unhealthy, and does not campaign. A leader keeps the lead as long as its confirmations succeed,
for to hand it over would be no better for the blocks; people are told.
"""

from __future__ import annotations

from agent.core.health.checks import Health
from agent.core.health.hysteresis import CheckState
from agent.core.leadership.state import Phase, State
from agent.core.leadership.timing import seconds
from agent.core.model.copying import replace
from agent.core.model.store import Ms
from agent.core.node.state import READER, Node

NAME = "can_lead"
SILENT: Ms = 10_000
"""The reader of the group gives a sign every 6 s at least; one that gives none for so long hangs."""
PASSING = (Phase.CAMPAIGNING, Phase.STOPPING, Phase.RELEASING)
"""Phases that lead to another one soon. (A start that does not end has alerts of its own.)"""


def judged(node: Node, now: Ms) -> Health:
    """Return the health with the check as it is now. Every bound is a span, so it needs no results in a row."""
    old = node.health.checks.get(NAME)
    if old is None:
        return node.health
    why = why_not(node, now)
    if not why and not old.known and (node.store_since is None or node.leadership.lease is None):
        return node.health  # it began a moment ago
    if old.known and old.ok is not bool(why) and old.reason == why:
        return node.health
    check = CheckState(not why, why, known=True, failures=old.failures + (bool(why) and old.ok))
    return replace(node.health, checks={**node.health.checks, NAME: check})


def why_not(node: Node, now: Ms) -> str:
    """Return what keeps this agent from leading; nothing if nothing does, or not for long enough."""
    most = node.settings.limits.can_lead
    unread = node.etcd_faults.get(READER)
    if unread is not None and now - unread.since >= most:
        return f"it cannot read the group in etcd: {unread.error}"
    if unread is None and node.read_at is not None and now - node.read_at >= SILENT:
        return f"it has not read the group for {seconds(SILENT)} or more: the thread that does hangs"
    if node.lease_gone_since is not None and now - node.lease_gone_since >= most:
        return f"it has had no lease in etcd for {seconds(most)} or more"
    if node.health.file:
        return f"it cannot write its run-time file: {node.health.file}"
    return _stuck(node.leadership, most, now)


def _stuck(state: State, most: Ms, now: Ms) -> str:
    bound = state.identity.timing.validity + state.identity.timing.margin + most
    if state.phase not in PASSING or now - state.phase_since < bound:
        return ""
    return f"it is stuck in the phase {state.phase.value}, for {seconds(bound)} or more"
