"""What is worth telling people, and when it is over. Pure: facts in, notices out; sending is somebody else's work.

Two kinds: things that happened are told once (`announced`, `warned`); things that last are told when they begin, again
when they get worse, and resolved when they end (`lasting`). Group-level ones are told by the leader, or by anybody
while there is none; who told one resolves it, whoever leads then.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from agent.core.actions import Announce, Warn
from agent.core.notice import Notice
from agent.core.store import Ms

NO_LEADER_AFTER: Ms = 30_000
ETCD_AFTER: Ms = 5_000
STANDBY_AFTER: Ms = 10_000
"""A standby that is missing or unhealthy for less is one that restarts."""
WORDS_AFTER: Ms = 3_600_000
"""An override or a maintenance that lasts an hour was perhaps forgotten."""
PROBLEMS = 5
"""Values that can not be read, told at the same time."""
SEVERITIES = ("info", "warning", "critical")

_WARNINGS = {
    "fence_failed": ("critical", "Stop nodeos by hand now; until then two nodes may produce."),
    "unpaused": ("critical", "Find out who resumed it; set pause-on-startup = true in config.ini."),
    "pause_failed": ("critical", "nodeos is being stopped; see why it did not answer, then start it with a replay."),
    "pause_refused": ("critical", "Load eosio::producer_api_plugin and let the agent reach it."),
    "file_failed": ("critical", "Make the run-time directory writable; this node does not lead without it."),
}
FOR_THE_LOG = ("etcd_down", "etcd_up", "check_fails", "check_passes")
"""Warnings that are no alerts: what lasts is told as `etcd_down` or `unhealthy`."""
_UNTIL_STOPPED = ("fence_failed", "pause_refused")
"""Warnings that hold until nodeos is proven stopped."""
_QUIET = ("goes_on", "late_answer", "elected_late")
"""Transitions that change nothing for anybody: the same leader goes on, or nobody has produced."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What alerts rest on. `leaderless_since`, `etcd_down_since`: None while all is well.

    stopped   nodeos is proven not to produce
    before    who led before the tenure of this node, and `origin` why that ended
    silenced  an operator wants nobody to lead
    """

    group: str
    node: str
    producer: str
    leads: bool
    stopped: bool
    leader: str
    before: str
    origin: str
    leaderless_since: Ms | None
    etcd_down_since: Ms | None
    etcd_error: str
    unhealthy: tuple[str, ...]
    override: str
    silenced: bool
    maintenance: str | None
    problems: tuple[str, ...]
    standby_ready: bool


@dataclass(frozen=True, slots=True)
class Open:
    """The alerts that are open: key → notice. `since`: when a condition was first true, for those that wait."""

    notices: Mapping[str, Notice] = field(default_factory=dict)
    since: Mapping[str, Ms] = field(default_factory=dict)


def announced(event: Announce, facts: Facts) -> tuple[Notice, ...]:
    """Return what a transition is worth: a new leader, and a leader that had to stop."""
    if event.key in _QUIET:
        return ()
    fields = _fields(facts) | {"epoch": str(event.epoch), "transition": event.key}
    if event.target == "leading":
        after = f"after {facts.before}" if facts.before else "as the first"
        summary = f"{facts.node} leads {facts.group} now, {after}: {facts.origin}"
        fields |= {"from": facts.before, "reason": facts.origin}
        return (Notice(f"leader/{facts.group}/{event.epoch}", "failover", "info", summary, fields=fields),)
    if event.target == "stopping":
        summary = f"{facts.node} stops producing: {event.reason}"
        fields |= {"reason": event.reason}
        return (Notice(f"stop/{facts.group}/{event.epoch}", "leader_stops", "warning", summary, fields=fields),)
    return ()


def _fields(facts: Facts) -> dict[str, str]:
    return {"group": facts.group, "node": facts.node, "producer": facts.producer, "leader": facts.leader}


def warned(event: Warn, facts: Facts) -> Notice:
    """Return what a warning of the core is worth: each names what to do."""
    severity, remedy = _WARNINGS.get(event.key, ("warning", ""))
    key = f"{event.key}/{facts.group}/{facts.node}"
    return Notice(key, event.key, severity, f"{facts.node}: {event.text}", fields=_fields(facts) | {"do": remedy})


def lasting(before: Open, facts: Facts, now: Ms) -> tuple[Open, tuple[Notice, ...]]:
    """Return what began, what got worse and what ended, given what is open."""
    alone = facts.leads or not facts.leader
    wanted = {
        key: notice for key, notice in before.notices.items() if notice.event in _UNTIL_STOPPED and not facts.stopped
    }
    since: dict[str, Ms] = {}
    for each in _conditions(facts):
        key = each.notice.key
        start = now if each.start is None else each.start
        since[key] = min(before.since.get(key, now), start)
        due = now - since[key] >= each.delay and (alone or not each.whole_group)
        if due or key in before.notices:
            wanted[key] = each.notice
    told = [notice for key, notice in wanted.items() if _worse(notice, before.notices.get(key))]
    over = [replace(notice, resolved=True) for key, notice in before.notices.items() if key not in wanted]
    kept = {key: _worst(notice, before.notices.get(key)) for key, notice in wanted.items()}
    return Open(kept, since), (*told, *over)


def opened(before: Open, notice: Notice) -> Open:
    """Keep a warning open that lasts, so that its end is told."""
    if notice.event not in _UNTIL_STOPPED:
        return before
    return replace(before, notices={**before.notices, notice.key: notice})


def _worse(notice: Notice, before: Notice | None) -> bool:
    return before is None or SEVERITIES.index(notice.severity) > SEVERITIES.index(before.severity)


def _worst(notice: Notice, before: Notice | None) -> Notice:
    """Return the notice as it is now, with the severity that was told: what got better is told when it is over."""
    return notice if before is None or _worse(notice, before) else replace(notice, severity=before.severity)


@dataclass(frozen=True, slots=True)
class _Condition:
    """Something that lasts: told once it has lasted `delay`, since `start` (None: since it was first seen)."""

    delay: Ms
    start: Ms | None
    notice: Notice
    whole_group: bool = False


def _conditions(facts: Facts) -> Iterator[_Condition]:
    """Yield what is true now."""
    group, here = facts.group, f"{facts.group}/{facts.node}"

    def notice(event: str, where: str, severity: str, summary: str, remedy: str) -> Notice:
        return Notice(f"{event}/{where}", event, severity, summary, fields=_fields(facts) | {"do": remedy})

    if facts.etcd_down_since is not None:
        text = f"{facts.node} has no answer from etcd, and can not lead without: {facts.etcd_error}"
        yield _Condition(ETCD_AFTER, facts.etcd_down_since, notice("etcd_down", here, "warning", text, "Look at etcd."))
    if facts.unhealthy:
        text = f"{facts.node} is unhealthy: " + "; ".join(facts.unhealthy)
        severity, delay = ("critical", 0) if facts.leads else ("warning", STANDBY_AFTER)
        yield _Condition(delay, None, notice("unhealthy", here, severity, text, "Mend what the reason names."))
    for delay, start, event, severity, text, remedy in _of_the_group(facts):
        yield _Condition(delay, start, notice(event, group, severity, text, remedy), whole_group=True)
    for problem in facts.problems[:PROBLEMS]:
        text = f"etcd has a value that can not be read: {problem}"
        found = notice(
            "unreadable", problem.partition(": ")[0], "warning", text, "Put a right value, or delete the key."
        )
        yield _Condition(0, None, found, whole_group=True)


def _of_the_group(facts: Facts) -> Iterator[tuple[Ms, Ms | None, str, str, str, str]]:
    """Yield (delay, start, event, severity, summary, remedy) of what is true of the group."""
    group, status = facts.group, "nodeos-failover status shows the members, and why none may lead."
    if facts.leaderless_since is not None and not facts.silenced:
        unsure = "" if facts.etcd_down_since is None else f", as far as {facts.node} can tell without etcd"
        text = f"nobody produces for {facts.producer} in {group}{unsure}"
        yield NO_LEADER_AFTER, facts.leaderless_since, "no_leader", "critical", text, status
    if facts.leads and not facts.standby_ready:
        yield STANDBY_AFTER, None, "no_standby", "warning", f"{group} has no healthy standby", status
    if facts.override:
        text = f"the override in {group} is on for an hour: {facts.override}"
        remedy = "etcdctl del the key override when it is not needed any more."
        yield WORDS_AFTER, None, "override_long", "warning", text, remedy
    if facts.maintenance is not None:
        text = f"the maintenance of {group} is on for an hour: {facts.maintenance or 'no reason given'}"
        remedy = "etcdctl del the key maintenance when it is over."
        yield WORDS_AFTER, None, "maintenance_long", "warning", text, remedy
