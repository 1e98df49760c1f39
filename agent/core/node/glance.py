"""A step at a glance: most events of a quiet group only prolong what is there, beats and promises five times a second.

Such an event changes nothing that health, election, blocks, hooks or people rest on, so only leadership takes it. The
rest is looked at again with the next other event, and by `Node.due` at the latest, as it asked for itself: at least
once a second, which is as late as what is watched of blocks may be. As soon as leadership does anything else with it,
the whole step is made instead. Pure.
"""

from __future__ import annotations

from typing import TypeGuard

from agent.core.leadership import machine
from agent.core.leadership.actions import Action, SaveRuntime, SendBeat, SendPromise
from agent.core.leadership.events import BeatReceived, PromiseReceived, RuntimeSaved, Tick
from agent.core.leadership.state import Phase, State, Tenure
from agent.core.model.copying import replace
from agent.core.model.store import Ms
from agent.core.node.state import Node, NodeEvent

QUIET = (Phase.LEADING, Phase.STANDBY)
SLIGHT = (SendBeat, SendPromise, SaveRuntime)
"""What may be asked for at a glance."""


def glance(node: Node, event: NodeEvent, now: Ms) -> tuple[Node, tuple[Action, ...]] | None:
    """Return the node and the actions as the whole step would; None when that has to be made."""
    before = node.leadership
    if now >= node.due or before.phase not in QUIET or not _slight(event, node):
        return None
    after, actions = machine.step(before, event, now)
    if not all(isinstance(each, SLIGHT) for each in actions) or _but_for_time(after, before) != before:
        return None
    wake = node.due if after.wake is None else min(node.due, after.wake)
    return replace(node, leadership=after, wake=wake), actions


def _slight(event: NodeEvent, node: Node) -> TypeGuard[BeatReceived | PromiseReceived | RuntimeSaved | Tick]:
    """Tell whether an event may be such a one; the first file that is written again is also news for people."""
    if isinstance(event, RuntimeSaved):
        return event.ok and not node.health.file and not node.alerts.notices
    return isinstance(event, BeatReceived | PromiseReceived | Tick)


def _but_for_time(after: State, before: State) -> State:
    """Return a state with all that says only until when something holds, and what was sent for it, as it was before."""
    return replace(
        after,
        tenure=_tenure(after.tenure, before.tenure),
        pledge=before.pledge,
        beat_number=before.beat_number,
        numbers=before.numbers,
        saving=before.saving,
        saving_what=before.saving_what,
        saved=before.saved,
        guard_stops_at=before.guard_stops_at,
        guard_next=before.guard_next,
        wake=before.wake,
    )


def _tenure(after: Tenure | None, before: Tenure | None) -> Tenure | None:
    if after is None or before is None or after.support.lists != before.support.lists:
        return after
    return replace(after, support=before.support, valid_until=before.valid_until)
