"""A step at a glance: most events of a quiet group say what was known, or only prolong what is there.

Beats and promises come five times a second, and nodeos is asked as often whether it still is as it was. Where such an
event has changed nothing that election, blocks, hooks or people rest on, the step ends with leadership. The rest is
looked at again with the next other event, and by `Node.due` at the latest, as it asked for itself: at least once a
second, which is as late as what is watched of blocks, or heard of the members' chains, may be. Pure.
"""

from __future__ import annotations

from agent.core.health import checks
from agent.core.leadership.actions import SaveRuntime, SendBeat, SendPromise
from agent.core.leadership.events import BeatReceived, LeaseKept, PromiseReceived, RuntimeSaved, Tick
from agent.core.leadership.state import Phase, State
from agent.core.model.copying import differing
from agent.core.node.stage import NodeStep
from agent.core.node.state import EtcdSeen, Node, NodeEvent

QUIET = (Phase.LEADING, Phase.STANDBY)
COMMON = (
    *(BeatReceived, PromiseReceived, Tick, LeaseKept, EtcdSeen),
    *(checks.ProcessProbed, checks.ScheduleProbed, checks.DiskProbed, checks.FileProbed),
)
"""Events that no later stage takes for themselves: it looks at what they have changed."""
SLIGHT = (SendBeat, SendPromise, SaveRuntime)
"""What may be asked for at a glance."""
_OF_STATE = {
    *("tenure", "pledge", "lease_kept", "beat_number", "numbers", "sights", "wake"),
    *("saving", "saving_what", "saved", "guard_stops_at", "guard_next"),
}
_OF_HEALTH = {"cpu", "works_at", "schedule_head"}
"""What only says until when something holds, what was sent for it, how far a chain is, or that the process works."""


def slight(step: NodeStep) -> bool:
    """Tell whether all that this step has done so far is to prolong what is there."""
    before, after = step.before, step.node
    if step.now >= before.due or before.leadership.phase not in QUIET or not _common(step.event, before):
        return False
    return (
        not step.heard
        and all(isinstance(each, SLIGHT) for each in step.actions())
        and differing(before, after) <= {"leadership", "health", "read_at", "reports"}
        and differing(before.health, after.health) <= _OF_HEALTH
        and _prolonged(before.leadership, after.leadership)
    )


def _common(event: NodeEvent, node: Node) -> bool:
    """Tell whether an event may be such a one.

    A file that is written again is news for people who were told that it cannot be, and the first answer by which
    nodeos is seen to produce for who judges later why it is paused (`votes`).
    """
    if isinstance(event, RuntimeSaved):
        return event.ok and all(each.event != "file_failed" for each in node.alerts.notices.values())
    if isinstance(event, checks.PausedProbed):
        return node.finality.unpaused or not node.leadership.leads
    return isinstance(event, COMMON)


def _prolonged(before: State, after: State) -> bool:
    """Tell whether a state is as it was, but for the time until which something holds."""
    if not differing(before, after) <= _OF_STATE:
        return False
    old, new = before.tenure, after.tenure
    if old is None or new is None:
        return old is new
    return differing(old, new) <= {"support", "valid_until"} and old.support.lists == new.support.lists
