"""What operators and the CLI say by keys of a group, read strictly: override, switchover, drain. Nothing else.

`leader` and `maintenance` are words too, but plain text: see `records`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

from agent.core.model.fields import RecordError, Rule, a_name, an_object, record, shown, text
from agent.core.model.store import Ms

NOBODY = "none"
"""The word of an operator for: nobody may lead."""
NOW, GAP = "now", "gap"
"""The words for when: at once; or between two windows of our producer, so that no slot is lost."""
LAST: Ms = 253_402_300_799_000
"""The last second of the year 9999: later moments cannot be written."""


@dataclass(frozen=True, slots=True)
class Override:
    """An operator's override: `leader` may lead and nobody else; None: nobody may."""

    leader: str | None
    reason: str = ""
    by: str = ""


@dataclass(frozen=True, slots=True)
class Switchover:
    """A wish, asked once, of the leader that hears it: hand over to `to`, empty for whoever is best.

    `when` is `now`, `gap`, or a moment in RFC 3339: the first gap from then on. With `force` the leader does not
    refuse a node that is unhealthy, lagging, drained or held down.
    """

    to: str
    when: str = field(default=GAP, metadata=Rule(limit=40))
    by: str = ""
    reason: str = ""
    force: bool = False


@dataclass(frozen=True, slots=True)
class Drain:
    """An operator's word that a node shall not lead, until the key goes."""

    reason: str = ""
    by: str = ""


def moment(when: str) -> Ms | None:
    """Return the moment that `when` names (ms since 1970), None for `now` and `gap`; RecordError for all else."""
    if when in (NOW, GAP):
        return None
    try:
        found = datetime.fromisoformat(when)
        if found.tzinfo is None:
            raise ValueError("no offset")  # noqa: TRY301 - one place reports
        wall = round(found.timestamp() * 1000)
        if not 0 <= wall <= LAST:
            raise ValueError("not from 1970 to 9999 in UTC")  # noqa: TRY301 - one place reports
    except (ValueError, OverflowError) as error:
        raise RecordError("when: expected now, gap, or a moment with its offset like 2026-01-31T03:00:00Z") from error
    return wall


def clock_text(wall: Ms) -> str:
    """Return a moment (ms since 1970) as people read it, to the second, in UTC; at most the bounds 1970 and 9999."""
    return datetime.fromtimestamp(min(max(wall, 0), LAST) // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def read_override(raw: bytes) -> Override:
    """Read an override: a node's name, `none`, or JSON {leader, reason, by}."""
    typed = raw.decode(errors="replace").strip()
    if not typed.startswith("{"):
        return Override(None if typed == NOBODY else a_name(typed, "override"))
    value = an_object(raw, "override")
    leader = text(value, "leader")
    who = None if leader == NOBODY else a_name(leader, "leader")
    return Override(who, text(value, "reason", ""), text(value, "by", ""))


def read_switchover(raw: bytes) -> Switchover:
    """Read a switchover wish: JSON {to, when, by, reason, force}; all but `to` may be left out."""
    found = record(Switchover, an_object(raw, "switchover"))
    moment(found.when)
    if found.to:
        a_name(found.to, "to")
    return found


def read_drain(raw: bytes) -> Drain:
    """Read why a node is drained: free text, or JSON {reason, by}. Whatever stands there, the node is drained."""
    typed = raw.decode(errors="replace").strip()
    if typed.startswith("{"):
        try:
            return record(Drain, an_object(raw, "drain"))
        except RecordError:
            pass  # free text may begin with a brace
    return Drain(shown(typed))
