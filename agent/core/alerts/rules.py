"""What is worth telling people, and when it is over. Pure: facts in, notices out; sending is somebody else's work.

Two kinds: things that happen are told once (`announced`); things that last are told when they begin, again when they
get worse, and resolved when they end (`lasting`, and `warned`, which the core found out at once). What concerns the
group is told once: by the leader, or while there is none (or it has no channel) by the first of the members by name,
unless another says that it has told it already. Who told a thing resolves it, whoever leads then, and also after a
restart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from agent.core.alerts.kinds import AWAY_AFTER, KINDS
from agent.core.alerts.notice import Notice, rank
from agent.core.leadership.actions import Announce, Warn
from agent.core.leadership.transitions import ASKED
from agent.core.model.copying import replace
from agent.core.model.store import Ms

PROBLEMS = 5
"""Values that cannot be read, told at the same time."""
COUNTED: Ms = 10_000
"""So long the news of a failover waits for the count of the slots that it cost; on a long schedule it goes without."""
FOR_THE_LOG = ("etcd_down", "etcd_up", "check_fails", "check_passes", "not_adopted", "observes")
"""Warnings that are no alerts: what lasts is told as `etcd_down` or `unhealthy`."""
_QUIET = ("goes_on", "late_answer", "elected_late")
"""Transitions that change nothing for anybody: the same leader goes on, or nobody has produced."""


@dataclass(frozen=True, slots=True)
class AlertInput:
    """What alerts rest on. `leaderless_since`, `etcd_down_since`: None while all is well.

    stopped    nodeos is proven not to produce
    before     who led before the tenure of this node, `origin` why that ended, `gap` how long nobody was confirmed
    silenced   an operator wants nobody to lead
    saved      the run-time file was just written
    gate_open  the signing gate may be open though this node does not lead
    settled    enough is known to tell that what an earlier process told is over
    ahead      from which severity on each member tells that comes before this one: the leader, then by name
    fresh      the members that are there are known
    busy       what shows that nodeos, which leads, works on something long
    unvoted    why nodeos, which leads, has paused itself; lacks_votes: votes are missing, whether or not it is paused
    idle_key   why its finalizer key does not vote, `idle_since`
    left_to    who alone may take over, if this node may not
    witnessed  peers confirm this leader; `failsafe`: for as long as etcd is away
    elsewhere  keys of what other members say that they have told
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
    chain: str = ""
    gap: Ms = 0
    saved: bool = False
    gate_open: bool = False
    settled: bool = True
    ahead: tuple[str, ...] = ()
    fresh: bool = True
    unvoted: str = ""
    lacks_votes: bool = False
    busy: str = ""
    left_to: tuple[str, ...] = ()
    idle_key: str = ""
    idle_since: Ms | None = None
    elsewhere: frozenset[str] = frozenset()
    witnessed: bool = False
    failsafe: bool = False


@dataclass(frozen=True, slots=True)
class Open:
    """The alerts that are open: key → notice. `since`: when a condition was first true, for those that wait.

    again     when a warning came last
    restored  keys that an earlier process told, and this one has not: they are not over before enough is known
    news      of a failover, until its cost is counted or `news_by`
    """

    notices: Mapping[str, Notice] = field(default_factory=dict)
    since: Mapping[str, Ms] = field(default_factory=dict)
    again: Mapping[str, Ms] = field(default_factory=dict)
    restored: frozenset[str] = frozenset()
    news: Notice | None = None
    news_by: Ms = 0


def reopened(notices: tuple[Notice, ...]) -> Open:
    """Return what an earlier process of this agent left open."""
    found = {notice.key: notice for notice in notices if notice.event in KINDS}
    times = {key: notice.since for key, notice in found.items()}
    return Open(found, times, times, restored=frozenset(found))


def announced(event: Announce, facts: AlertInput, now: Ms = 0) -> tuple[Notice, ...]:
    """Return what a transition is worth: a new leader, and a leader that stops."""
    if event.key in _QUIET or event.target not in ("leading", "stopping"):
        return ()
    fields = _fields(facts) | {"epoch": str(event.epoch), "transition": event.key}
    if event.target == "leading":
        after = f"after {facts.before}" if facts.before else "as the first"
        summary = f"{facts.node} leads {facts.group} now, {after}: {facts.origin}"
        fields |= {"from": facts.before, "to": facts.node, "reason": facts.origin}
        fields |= {"duration": duration(facts.gap)} if facts.before else {}
        return (_notice("failover", facts, str(event.epoch), summary, now, fields),)
    kind = "leader_leaves" if event.key in ASKED else "leader_in_vain" if event.key == "barren" else "leader_stops"
    fields |= {"from": facts.node, "reason": event.reason}
    return (_notice(kind, facts, str(event.epoch), f"{facts.node} stops producing: {event.reason}", now, fields),)


def warned(event: Warn, facts: AlertInput, now: Ms = 0) -> Notice:
    """Return what a warning of the core is worth: each names what to do."""
    return _notice(event.key, facts, facts.node, f"{facts.node}: {event.text}", now, _fields(facts))


def duration(span: Ms) -> str:
    """Write a span for people: `0.4 s`, `12 s`, `3 min 5 s`, `2 h 10 min`."""
    whole = span // 1000
    if whole < 10:
        return f"{span / 1000:.1f} s"
    if whole < 60:
        return f"{whole} s"
    return f"{whole // 60} min {whole % 60} s" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60} min"


def _fields(facts: AlertInput) -> dict[str, str]:
    return {
        "chain": facts.chain,
        "group": facts.group,
        "producer": facts.producer,
        "node": facts.node,
        "leader": facts.leader,
    }


def _notice(event: str, facts: AlertInput, what: str, summary: str, now: Ms, fields: Mapping[str, str]) -> Notice:
    kind = KINDS[event]
    fields = {**fields, "do": kind.do}
    key = kind.key(facts.group, what)
    return Notice(key, event, kind.severity, summary, fields=fields, lasts=bool(kind.over), since=now)


def lasting(before: Open, facts: AlertInput, now: Ms) -> tuple[Open, tuple[Notice, ...]]:
    """Return what began, what got worse and what ended, given what is open."""
    wanted = {key: notice for key, notice in before.notices.items() if _holds(key, before, facts, now)}
    since: dict[str, Ms] = {}
    for each in _conditions(facts, now):
        key = each.notice.key
        start = now if each.start is None else each.start
        since[key] = min(before.since.get(key, now), start)
        due = now - since[key] >= each.delay and _ours(each.notice, facts)
        if due or key in before.notices:
            wanted[key] = replace(each.notice, since=since[key])
    told = [notice for key, notice in wanted.items() if _worse(notice, before.notices.get(key))]
    over = [_ended(notice, now) for key, notice in before.notices.items() if key not in wanted]
    kept = {key: _worst(notice, before.notices.get(key)) for key, notice in wanted.items()}
    again = {key: at for key, at in before.again.items() if key in kept}
    restored = before.restored & kept.keys()
    return replace(before, notices=kept, since=since, again=again, restored=restored), (*told, *over)


def opened(before: Open, notice: Notice, now: Ms = 0) -> Open:
    """Keep a warning open that lasts, so that its end is told."""
    if not notice.lasts:
        return before
    known = before.notices.get(notice.key, notice)
    notices, again = {**before.notices, notice.key: known}, {**before.again, notice.key: now}
    return replace(before, notices=notices, again=again, restored=before.restored - {notice.key})


def news(
    before: Open, facts: AlertInput, now: Ms, slots: int | None, outage: Ms = 0
) -> tuple[Open, tuple[Notice, ...]]:
    """Return the news of a failover once its cost is counted (`slots`), or cannot be waited for any longer.

    `outage`: how long no own block came in time; told where it is longer than nobody led.
    """
    waiting = before.news
    if waiting is None or (slots is None and facts.leads and now < before.news_by):
        return before, ()
    counted = {} if slots is None else {"slots_missed": str(slots)}
    counted |= {"duration": duration(outage)} if outage > facts.gap else {}
    return replace(before, news=None), (replace(waiting, fields={**waiting.fields, **counted}),)


_HOLDS: Mapping[str, Callable[[AlertInput], bool]] = {
    **dict.fromkeys(
        ("leader_stops", "leader_in_vain"), lambda facts: not facts.leads and facts.leader in ("", facts.node)
    ),
    **dict.fromkeys(
        ("stray_block", "stranger", "hook_failed", "store_forgot", "finalizer_key_here"), lambda _facts: False
    ),
    "votes_missing": lambda facts: facts.lacks_votes and facts.leader in ("", facts.node),
    "file_failed": lambda facts: not facts.saved,
    "gate_failed": lambda facts: facts.gate_open,
    **dict.fromkeys(("fence_failed", "pause_refused", "unpaused", "pause_failed"), lambda facts: not facts.stopped),
}
"""Alerts that open by a transition, a warning, or less than what they hold by; and until when they hold."""


def _holds(key: str, before: Open, facts: AlertInput, now: Ms) -> bool:
    """Tell whether what was told goes on, as far as no condition says so by itself."""
    event = before.notices[key].event
    if key in before.restored and not facts.settled:
        return True
    held = KINDS[event].hold
    return (event in _HOLDS and _HOLDS[event](facts)) or (held > 0 and now < before.again.get(key, 0) + held)


def _ours(notice: Notice, facts: AlertInput) -> bool:
    """Tell whether it is for this node to tell: what concerns the group is told by one who has a channel for it."""
    if not KINDS[notice.event].whole_group:
        return True
    if notice.key in facts.elsewhere:
        return False
    if not facts.fresh:
        return facts.leads or not facts.leader
    return not any(level and rank(level) <= rank(notice.severity) for level in facts.ahead)


def _ended(notice: Notice, now: Ms) -> Notice:
    lasted = {"duration": duration(max(0, now - notice.since))}
    return replace(notice, resolved=True, fields={**notice.fields, **lasted})


def _worse(notice: Notice, before: Notice | None) -> bool:
    return before is None or rank(notice.severity) > rank(before.severity)


def _worst(notice: Notice, before: Notice | None) -> Notice:
    """Return the notice as it is now, with the severity that was told: what got better is told when it is over."""
    return notice if before is None or _worse(notice, before) else replace(notice, severity=before.severity)


@dataclass(frozen=True, slots=True)
class _Condition:
    """Something that lasts: told once it has lasted `delay`, since `start` (None: since it was first seen)."""

    delay: Ms
    start: Ms | None
    notice: Notice


def _conditions(facts: AlertInput, now: Ms) -> Iterator[_Condition]:
    """Yield what is true now."""

    def found(event: str, what: str, text: str, start: Ms | None = None) -> _Condition:
        notice = _notice(event, facts, what, text, 0, _fields(facts))
        return _Condition(KINDS[event].after, start, notice)

    if facts.etcd_down_since is not None:
        means = "obeys no operator while it leads" if facts.leads else "cannot lead without"
        text = f"{facts.node} has no answer from etcd, and {means}: {facts.etcd_error}"
        yield found("etcd_down", facts.node, text, facts.etcd_down_since)
    if facts.etcd_down_since is not None and facts.leads and facts.witnessed:
        until = "for as long as they promise" if facts.failsafe else "until its lease may have ended; then it stops"
        text = f"{facts.node} leads by the promises of its peers alone, {until}: {facts.etcd_error}"
        away = found("etcd_away", facts.node, text, facts.etcd_down_since)
        long = facts.failsafe and now - facts.etcd_down_since >= AWAY_AFTER
        yield away if long else replace(away, notice=replace(away.notice, severity="warning"))
    if facts.unhealthy:
        sick = found("unhealthy", facts.node, f"{facts.node} is unhealthy: " + "; ".join(facts.unhealthy))
        of_standby = replace(sick, notice=replace(sick.notice, severity="warning"))
        yield replace(sick, delay=0) if facts.leads else of_standby
    if facts.unvoted:
        yield found("votes_missing", facts.node, f"{facts.node} leads and signs nothing: {facts.unvoted}")
    if facts.busy:
        yield found("main_thread_busy", facts.node, f"nodeos of {facts.node}, which leads, is busy: {facts.busy}")
    if facts.idle_key:
        yield found("finalizer_key_not_active", facts.node, f"{facts.node} leads: {facts.idle_key}", facts.idle_since)
    for event, text, start in _of_the_group(facts):
        yield found(event, facts.group, text, start)
    for problem in facts.problems[:PROBLEMS]:
        where = problem.partition(": ")[0]
        yield found("unreadable", where, f"etcd has a value that cannot be read: {problem}")


def _of_the_group(facts: AlertInput) -> Iterator[tuple[str, str, Ms | None]]:
    """Yield (event, summary, start) of what is true of the group."""
    group = facts.group
    if facts.leaderless_since is not None and not facts.silenced:
        unsure = "" if facts.etcd_down_since is None else f", as far as {facts.node} can tell without etcd"
        left = f"; only {' and '.join(facts.left_to)} may take over: if they are gone for good and produce nothing, "
        remedy = f"{left}delete the key heartbeat" if facts.left_to else ""
        yield "no_leader", f"nobody produces for {facts.producer} in {group}{unsure}{remedy}", facts.leaderless_since
    if facts.leads and not facts.standby_ready:
        yield "no_standby", f"{group} has no healthy standby", None
    if facts.override:
        yield "override_long", f"the override in {group} is on for an hour: {facts.override}", None
    if facts.maintenance is not None:
        reason = facts.maintenance or "no reason given"
        yield "maintenance_long", f"the maintenance of {group} is on for an hour: {reason}", None
