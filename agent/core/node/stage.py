"""One step of an agent under way: the node as it becomes, and what its stages ask for. No stage stands here.

A stage changes the node and asks for actions; it never sees what another has asked for. What a later one needs to hear
is kept apart: the transitions, the warnings, and the cost of a change.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent.core.alerts import rules
from agent.core.leadership.actions import Announce, Warn
from agent.core.model.archive import Fields
from agent.core.model.copying import replace
from agent.core.model.store import Ms
from agent.core.node.state import Node, NodeAction, NodeEvent, RecordChange

SAY_AGAIN: Ms = 10_000
"""A warning in the same words is not logged sooner again: some are found twice a second."""
LOG_AGAIN: Ms = 60_000
"""Nor are those for the log alone: about etcd, each thread and each endpoint has its own words."""


class NodeStep:
    """A step under way, at `now` (ms of CLOCK_BOOTTIME).

    before        the node as it was
    heard         the transitions of leadership and the warnings, in their order; those too that are not logged again
    slots_missed  what a change of leader cost, if it was counted in this step
    outage        and for how long no own block came
    slight        it has only prolonged what is there (see `glance`): no later stage looks at it
    """

    def __init__(self, node: Node, event: NodeEvent, now: Ms) -> None:
        self.before = self.node = node
        self.event = event
        self.now = now
        self.heard: list[Announce | Warn] = []
        self.slots_missed: int | None = None
        self.outage: Ms = 0
        self.slight = False
        self._actions: list[NodeAction] = []

    def set(self, **changes: Any) -> None:
        """Change fields of the node."""
        self.node = replace(self.node, **changes)

    def set_assessment(self, **changes: Any) -> None:
        """Change fields of what the agent has made up its mind about."""
        self.set(assessment=replace(self.node.assessment, **changes))

    def do(self, *actions: NodeAction) -> None:
        """Ask for actions, in this order. A warning that was logged a moment ago is not logged again."""
        for action in actions:
            if isinstance(action, Announce | Warn):
                self.heard.append(action)
            if not (isinstance(action, Warn) and self._just_logged(action)):
                self._actions.append(action)

    def _just_logged(self, warn: Warn) -> bool:
        again = LOG_AGAIN if warn.key in rules.FOR_THE_LOG else SAY_AGAIN
        logged = self.node.logged_at
        if self.now < logged.get(warn.text, -again) + again:
            return True
        self.set(logged_at={**recent(logged, self.now - LOG_AGAIN), warn.text: self.now})
        return False

    def record(self, epoch: int, fields: Fields) -> None:
        """Write the record of a change of leader, with what became of its hooks, and keep it for the next outcome."""
        log = self.node.hook_log
        if epoch == log.epoch:
            self.set(hook_log=replace(log, record=fields))
            fields = {**fields, "hooks": log.text} if log.text else fields
        missed = fields.get("slots_missed")
        if self.slots_missed is None and isinstance(missed, int):
            self.slots_missed = missed
            self.outage = int(fields.get("outage_ms", 0))
        self.do(RecordChange(epoch, fields))

    def actions(self) -> tuple[NodeAction, ...]:
        """Return what was asked for, once all stages are through."""
        return tuple(self._actions)


def recent(times: Mapping[str, Ms], after: Ms) -> dict[str, Ms]:
    """Return the times that are later than `after`."""
    return {key: at for key, at in times.items() if at > after}
