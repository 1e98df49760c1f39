"""What became of a change of leader that was asked for, judged by look after look. Pure."""

from __future__ import annotations

from agent.cli.look import Look
from agent.core.model.fields import shown
from agent.core.model.keys import Keys
from agent.core.model.records import GroupView, read_group
from agent.core.model.store import Snapshot
from agent.group.past import record_at

HOLDS = ("leading",)
SETTLES = 15
"""Looks for which the old leader may still lead after the wish is gone, until it counts as refused."""


class Result:
    """Follows one change from the look before it; `to` is who was asked for, empty: anybody.

    `asked_at` is the revision at which the wish was put.
    """

    def __init__(self, names: Keys, before: Look, to: str, asked_at: int) -> None:
        self._names = names
        record = before.view.record
        self._old = (record.node, record.epoch) if record and not record.released else None
        self._epoch = record.epoch if record else 0
        self._to = to
        self._asked_at = asked_at
        self._gone = 0
        self.failed = False
        self.state = "asked for"
        self.epoch: int | None = None

    def judge(self, snapshot: Snapshot) -> str | None:
        """Return how it ended, once it has; `failed` tells whether well."""
        if (refused := self._refused(snapshot)) is not None:
            self.failed = True
            return refused
        view = read_group(self._names, snapshot)
        record = view.record
        if record is None or record.released:
            self.state = "nobody leads" if record is None else f"{record.node} has released the lead"
            return None
        if self._old is not None and (record.node, record.epoch) == self._old:
            return self._same(view, record.node)
        if record.epoch <= self._epoch:
            self.state = f"{record.node} holds epoch {record.epoch}, an old one"
            return None
        self.state = f"{record.node} holds epoch {record.epoch}, and does not produce yet"
        if _role(view, record.node) not in HOLDS:
            return None
        self.epoch = record.epoch
        if self._to and record.node != self._to:
            self.failed = True
            return f"{record.node} leads (epoch {record.epoch}), not {self._to}"
        return f"{record.node} leads (epoch {record.epoch})"

    def _refused(self, snapshot: Snapshot) -> str | None:
        """Return the leader's answer, if it refused just this wish."""
        answer = record_at(snapshot, self._names.answer)
        if answer.get("revision") != self._asked_at:
            return None
        return shown(f"{answer.get('node', 'the leader')} refuses: {answer.get('refused', 'no reason given')}")

    def _same(self, view: GroupView, node: str) -> str | None:
        """Judge while the old leader holds the heartbeat: it waits for its gap, stops, or has refused."""
        if view.switchover is not None:
            self.state = f"{node} still leads, the wish stands ({view.switchover.when})"
            return None
        role = _role(view, node)
        self.state = f"{node} is {role or 'silent'}"
        self._gone = self._gone + 1 if role in HOLDS else 0
        if self._gone < SETTLES or (view.leader is not None and view.leader.name != node):
            return None
        self.failed = True
        return f"{node} still leads, and nothing asks it to hand over any more"

    def cost(self, snapshot: Snapshot) -> str | None:
        """Return what the change cost, once the new leader has counted it."""
        if self.epoch is None:
            return None
        record = record_at(snapshot, self._names.history(self.epoch))
        missed = record.get("slots_missed")
        if not isinstance(missed, int):
            return None
        without, outage = (record.get(name) for name in ("leaderless_ms", "outage_ms"))
        spans = f", {without / 1000:.1f} s without a leader" if isinstance(without, int) else ""
        spans += f", {outage / 1000:.1f} s without a block of ours" if isinstance(outage, int) and outage else ""
        return f"slots missed: {missed}{spans}"


def _role(view: GroupView, node: str) -> str:
    return next((each.role for each in view.members if each.node == node), "")
