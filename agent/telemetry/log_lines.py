"""What the log tells of each step: the actions of the core, and what changed for people, as lines. Pure: no logging.

A whole failover reads as a story of about ten lines on each side: what follows from a line before is left to debug.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from agent.core.alerts.rules import FOR_THE_LOG, duration
from agent.core.leadership import actions as do
from agent.core.leadership.timing import seconds
from agent.core.model.operator import Override
from agent.core.model.records import Heartbeat
from agent.core.model.slots import SLOT
from agent.core.node.state import Node, NodeAction, Notify, RecordChange

_GOOD = ("etcd_up", "check_passes", "observes")
"""Words of the core that bring good news, or none at all."""
_SAID = (
    *("failover", "leader_leaves", "leader_stops", "etcd_down"),
    *("fence_failed", "unpaused", "pause_failed", "pause_refused", "file_failed", "stranger"),
)
"""Alerts whose reason the log has already."""


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of the log. `fields` stand behind the message, in both forms."""

    level: int
    message: str
    fields: dict[str, object] = field(default_factory=dict)


def lines(before: Node, after: Node, actions: Sequence[NodeAction]) -> Iterator[LogLine]:
    """Yield what one step is worth: what was seen first, then what is done about it."""
    yield from _seen(before, after)
    for action in actions:
        if line := _line(action, after):
            yield line


def _line(action: NodeAction, node: Node) -> LogLine | None:
    match action:
        case do.Announce(key, source, target, reason, epoch):
            fields = {"transition": key, "from": source, "to": target, "epoch": epoch}
            return LogLine(logging.INFO, f"{target}: {reason}", fields)
        case do.Warn(key, text):
            return LogLine(_level(key, text, node), text, {"warning": key})
        case do.FenceNodeos(term=term):
            how = f"by SIGTERM, after {seconds(term)} by SIGKILL" if term else "by SIGKILL"
            return LogLine(logging.WARNING, f"ending nodeos {how}")
        case do.Transact(request, kind):
            return LogLine(logging.DEBUG, f"etcd: {kind}", {"request": request})
        case RecordChange(fields=fields) if "release_ms" in fields:
            return None  # how a tenure ended; the transitions have said so
        case RecordChange(epoch, fields) if "window" in fields:
            return _window(epoch, dict(fields))
        case RecordChange(epoch, fields) if "slots_missed" in fields:
            return _cost(epoch, dict(fields))
        case Notify(notice) if notice.event not in _SAID:
            over = f" (over, after {notice.fields.get('duration', '?')})" if notice.resolved else ""
            level = logging.INFO if notice.resolved else logging.WARNING
            return LogLine(level, f"{notice.summary}{over}", {"alert": notice.key})
    return None


def _level(key: str, text: str, node: Node) -> int:
    """Return the level of a warning; checks that fail because the process is gone say nothing new."""
    if key not in FOR_THE_LOG:
        return logging.WARNING
    process = node.health.checks.get("process")
    if key == "check_fails" and process is not None and not process.ok and not text.startswith("check process "):
        return logging.DEBUG
    return logging.INFO if key in _GOOD else logging.WARNING


def _cost(epoch: int, fields: dict[str, str | int]) -> LogLine:
    count, outage = fields["slots_missed"], fields.get("outage_ms")
    words = f"blocks come: {count} {'slot' if count == 1 else 'slots'} missed"
    if isinstance(outage, int) and outage > SLOT:
        words += f", none of ours for {duration(outage)}"
    return LogLine(logging.INFO, words, {"epoch": epoch, "slots_missed": count})


def _window(epoch: int, fields: dict[str, str | int]) -> LogLine:
    signed, missed = fields["window_signed"], fields["window_missed"]
    words = f"the first whole window, by the chain of {fields['witness']}: {signed} signed, {missed} missed"
    return LogLine(logging.INFO, words, {"epoch": epoch, "window": fields["window"]})


def _seen(before: Node, after: Node) -> Iterator[LogLine]:
    """Yield what others did: operators' words, and the other leader's heartbeat."""
    old, new = before.leadership.seen, after.leadership.seen
    if new is old:
        return
    if new.override != old.override:
        yield LogLine(logging.WARNING, _override(new.override))
    if new.maintenance != old.maintenance:
        reason = new.maintenance or "no reason given"
        yield LogLine(
            logging.WARNING, f"maintenance: {reason}" if new.maintenance is not None else "maintenance is over"
        )
    if new.switchover is not None and new.switchover != old.switchover:
        by = f", asked by {new.switchover.by}" if new.switchover.by else ""
        yield LogLine(logging.INFO, f"a switchover to {new.switchover.to} is asked for{by}")
    named = new.leader.name if new.leader is not None and not new.leader.lease else None
    if new.leader is not None and named and new.leader != old.leader and not new.handed:
        yield LogLine(logging.INFO, f"somebody put {named} into the key leader")
    record = new.record
    known = old.record
    if record is not None and record.node != after.leadership.identity.node and _turn(record) != _turn(known):
        yield _other(record, known)


def _turn(record: Heartbeat | None) -> tuple[object, ...]:
    return (record.epoch, record.node, record.instance, record.released) if record else ()


def _other(record: Heartbeat, known: Heartbeat | None) -> LogLine:
    fields: dict[str, object] = {"leader": record.node, "epoch": record.epoch}
    if known is not None and not record.released and (known.epoch, known.node) == (record.epoch, record.node):
        return LogLine(logging.INFO, f"the agent of {record.node} has restarted, and goes on", fields)
    if record.released:
        return LogLine(
            logging.INFO, f"{record.node} has released the lead: {record.reason or 'no reason given'}", fields
        )
    return LogLine(logging.INFO, f"{record.node} has the lead", fields)


def _override(found: Override | None) -> str:
    if found is None:
        return "the override is over"
    about = ", ".join(part for part in (found.reason, found.by and f"by {found.by}") if part)
    who = f"only {found.leader} may lead" if found.leader else "nobody may produce"
    return f"override: {who}" + (f" ({about})" if about else "")
