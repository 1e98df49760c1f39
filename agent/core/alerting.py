"""What is worth telling people, and when it is over. Pure: facts in, notices out; sending is somebody else's work.

Two kinds: things that happened are told once (`announced`, `warned`); things that last are told when they begin and
resolved when they end (`lasting`). Group-level ones are told by the leader, or by anybody while there is none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from agent.core.actions import Announce, Warn
from agent.core.notice import Notice
from agent.core.store import Ms

NO_LEADER_AFTER: Ms = 30_000
ETCD_AFTER: Ms = 5_000
WORDS_AFTER: Ms = 3_600_000
"""An override or a maintenance that lasts an hour was perhaps forgotten."""

_WARNINGS = {
    "fence_failed": ("critical", "Stop nodeos by hand now; until then two nodes may produce."),
    "unpaused": ("critical", "Find out who resumed it; set pause-on-startup = true in config.ini."),
    "pause_failed": ("critical", "nodeos is being stopped; see why it did not answer, then start it with a replay."),
    "pause_refused": ("critical", "Load eosio::producer_api_plugin and let the agent reach it."),
    "file_failed": ("critical", "Make the run-time directory writable; this node does not lead without it."),
}


@dataclass(frozen=True, slots=True)
class Facts:
    """What lasting alerts rest on. `leaderless_since`, `etcd_down_since`: None while all is well."""

    group: str
    node: str
    producer: str
    leads: bool
    leader: str
    leaderless_since: Ms | None
    etcd_down_since: Ms | None
    unhealthy: tuple[str, ...]
    override: str
    maintenance: str
    problems: tuple[str, ...]
    standby_ready: bool


@dataclass(frozen=True, slots=True)
class Open:
    """The alerts that are open: key → notice. `since`: when a condition was first true, for those that wait."""

    notices: Mapping[str, Notice] = field(default_factory=dict)
    since: Mapping[str, Ms] = field(default_factory=dict)


def announced(event: Announce, facts: Facts) -> tuple[Notice, ...]:
    """Return what a transition is worth: a new leader, and a leader that had to stop."""
    if event.target == "leading":
        summary = f"{facts.node} leads {facts.group} now: {event.reason}"
        return (_notice(facts, f"leader/{facts.group}/{event.epoch}", "failover", "info", summary, event),)
    if event.target == "stopping" and event.key not in ("late_answer", "elected_late"):
        summary = f"{facts.node} stops producing: {event.reason}"
        return (_notice(facts, f"stop/{facts.group}/{event.epoch}", "leader_stops", "warning", summary, event),)
    return ()


def _notice(facts: Facts, key: str, event: str, severity: str, summary: str, why: Announce) -> Notice:
    fields = _fields(facts) | {"epoch": str(why.epoch), "reason": why.reason, "transition": why.key}
    return Notice(key, event, severity, summary, fields=fields)


def _fields(facts: Facts) -> dict[str, str]:
    return {"group": facts.group, "node": facts.node, "producer": facts.producer, "leader": facts.leader}


def warned(event: Warn, facts: Facts) -> Notice:
    """Return what a warning of the core is worth: each names what to do."""
    severity, remedy = _WARNINGS.get(event.key, ("warning", ""))
    key = f"{event.key}/{facts.group}/{facts.node}"
    return Notice(key, event.key, severity, f"{facts.node}: {event.text}", fields=_fields(facts) | {"do": remedy})


def lasting(before: Open, facts: Facts, now: Ms) -> tuple[Open, tuple[Notice, ...]]:
    """Return what began and what ended, given what is open."""
    wanted: dict[str, Notice] = {}
    since: dict[str, Ms] = {}
    for delay, start, notice in _conditions(facts):
        began = since[notice.key] = min(before.since.get(notice.key, now), start if start is not None else now)
        if now - began >= delay or notice.key in before.notices:
            wanted[notice.key] = notice
    told = [notice for key, notice in wanted.items() if key not in before.notices]
    over = [replace(notice, resolved=True) for key, notice in before.notices.items() if key not in wanted]
    return Open(wanted, since), (*told, *over)


def _conditions(facts: Facts) -> Iterable[tuple[Ms, Ms | None, Notice]]:
    group, node = facts.group, facts.node
    fields = _fields(facts)
    alone = facts.leads or not facts.leader

    def notice(event: str, where: str, severity: str, summary: str, do: str) -> Notice:
        return Notice(f"{event}/{where}", event, severity, summary, fields=fields | {"do": do})

    if facts.leaderless_since is not None:
        text = f"nobody produces for {facts.producer} in {group}"
        do = "nodeos-failover status shows why no node may lead."
        yield NO_LEADER_AFTER, facts.leaderless_since, notice("no_leader", group, "critical", text, do)
    if facts.etcd_down_since is not None:
        text = f"{node} can not reach etcd; it can not lead without"
        yield (
            ETCD_AFTER,
            facts.etcd_down_since,
            notice("etcd_down", f"{group}/{node}", "warning", text, "Look at etcd."),
        )
    if facts.unhealthy:
        text = f"{node} is unhealthy: " + "; ".join(facts.unhealthy)
        severity = "critical" if facts.leads else "warning"
        yield 0, None, notice("unhealthy", f"{group}/{node}", severity, text, "Mend what the reason names.")
    if alone and facts.leads and not facts.standby_ready:
        text = f"{group} has no healthy standby"
        yield 10_000, None, notice("no_standby", group, "warning", text, "nodeos-failover status shows the members.")
    if alone and facts.override:
        text = f"the override in {group} is on for an hour: {facts.override}"
        do = "etcdctl del the key override when it is not needed any more."
        yield WORDS_AFTER, None, notice("override_long", group, "warning", text, do)
    if alone and facts.maintenance:
        text = f"the maintenance of {group} is on for an hour: {facts.maintenance}"
        do = "etcdctl del the key maintenance when it is over."
        yield WORDS_AFTER, None, notice("maintenance_long", group, "warning", text, do)
    for problem in facts.problems[:5]:
        key = problem.partition(":")[0]
        yield (
            0,
            None,
            notice(
                "unreadable",
                key,
                "warning",
                f"etcd has a value that can not be read: {problem}",
                "Put a right value, or delete the key.",
            ),
        )
