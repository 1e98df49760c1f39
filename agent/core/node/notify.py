"""What the state of one agent means for people: the facts that alerts rest on, and warnings said no more than needed.

What is worth telling stands in `rules`; here it is fed.
"""

from __future__ import annotations

from collections.abc import Mapping

from agent.core.alerts import rules
from agent.core.alerts.notice import Notice
from agent.core.leadership.actions import Announce, Warn
from agent.core.leadership.events import RuntimeSaved
from agent.core.leadership.state import GateState, Phase
from agent.core.model.copying import replace
from agent.core.model.slots import REPETITIONS, SLOT
from agent.core.model.store import Ms
from agent.core.node import can_lead
from agent.core.node.state import Node, NodeAction, NodeEvent, Notify, RecordChange

FRESH: Ms = 5_000
"""While etcd works, a view of the group is not older: some member reports every 2 s."""
SAY_AGAIN: Ms = 10_000
"""A warning in the same words is not repeated sooner: some are found twice a second."""
LOG_AGAIN: Ms = 60_000
"""Nor are those for the log alone: about etcd, each thread and each endpoint has its own words."""
TELL_AGAIN: Ms = 300_000
"""A warning of the same kind is not sent to people sooner."""
SETTLED: Ms = 15_000
"""After so long with etcd in sight every check was made and every member seen, so what is not so is over."""


def facts(node: Node, now: Ms, event: NodeEvent | None = None) -> rules.AlertInput:
    """Return what alerts rest on."""
    state, tenure = node.leadership, node.leadership.tenure
    info = node.health.info
    others = [member for member in node.members if member.node != state.identity.node]
    leads = state.phase is Phase.LEADING
    leaderless = None if leads else _leaderless(node, now)
    mine = state.identity.node
    leader = mine if leads else "" if leaderless is not None else state.seen.last_holder or ""
    override = state.seen.override
    ready = any(member.healthy and not member.drained for member in others)
    return rules.AlertInput(
        group=node.settings.group,
        node=mine,
        producer=state.identity.producer,
        leads=leads,
        stopped=state.proven,
        leader=leader,
        before=tenure.before if tenure else "",
        origin=tenure.origin if tenure else "",
        leaderless_since=leaderless,
        etcd_down_since=node.etcd_down_since,
        etcd_error=node.etcd_error,
        unhealthy=tuple(each for each in node.health.failing if not _told_otherwise(node, each)),
        override="" if override is None else override.leader or "nobody may lead",
        silenced=override is not None and override.leader is None,
        maintenance=state.seen.maintenance,
        problems=node.view.problems if node.view else (),
        standby_ready=ready,
        chain=info.chain_id if info else "",
        gap=tenure.gap if tenure else 0,
        saved=isinstance(event, RuntimeSaved) and event.ok,
        gate_open=state.gate in (GateState.UNKNOWN, GateState.CLOSING),
        settled=_settled(node, now),
        ahead=tuple(member.tells for member in others if not leads and _ahead(member.node, leader, mine)),
        fresh=now - node.view_at <= FRESH,
        elsewhere=frozenset(key for member in others for key in member.told),
    )


def _told_otherwise(node: Node, reason: str) -> bool:
    """Tell whether a failing check only says what the alert `etcd_down` says better."""
    return node.etcd_down_since is not None and reason.startswith(f"{can_lead.NAME}:")


def _ahead(other: str, leader: str, mine: str) -> bool:
    """Tell whether another member comes before this one in telling what concerns the group."""
    return other == leader or (mine != leader and other < mine)


def _settled(node: Node, now: Ms) -> bool:
    since = node.store_since
    return since is not None and now - since >= SETTLED and node.leadership.phase is not Phase.STARTING


def _leaderless(node: Node, now: Ms) -> Ms | None:
    """Return since when nobody leads, None if a node does or nothing is known.

    In a view that is old a heartbeat stands still whoever leads: then blocks of our producer tell that somebody does,
    for one round of the schedule after each.
    """
    free = node.leadership.free_at()
    if free is None or node.store_since is None:
        return None
    since = max(free, node.store_since)
    if now - node.view_at > FRESH and node.own_block_at:
        schedule = node.health.schedule
        turns = len(schedule.producers) if schedule else 1
        since = max(since, node.own_block_at + turns * REPETITIONS * SLOT)
    return since if now >= since else None


def tell(node: Node, event: NodeEvent, now: Ms, actions: list[NodeAction]) -> Node:
    """Add to `actions` what is to be told, and take away the warnings that were given just before."""
    known = facts(node, now, event)
    notices: list[Notice] = []
    for action in tuple(actions):
        if isinstance(action, Announce):
            node = _announced(node, rules.announced(action, known, now), now, notices)
        elif isinstance(action, Warn):
            node = _warn(node, action, known, now, actions, notices)
    alerts, news = rules.news(node.alerts, known, now, _slots(actions))
    alerts, lasting = rules.lasting(alerts, known, now)
    actions.extend(Notify(notice) for notice in (*notices, *news, *lasting))
    return replace(node, alerts=alerts)


def _announced(node: Node, found: tuple[Notice, ...], now: Ms, notices: list[Notice]) -> Node:
    """Handle the news of a transition; that of a failover waits for its cost."""
    for notice in found:
        alerts = node.alerts
        if notice.event == "failover":
            alerts = replace(alerts, news=notice, news_by=now + rules.COUNTED)
        else:
            notices.append(notice)
            alerts = rules.opened(alerts, notice, now)
        node = replace(node, alerts=alerts)
    return node


def _slots(actions: list[NodeAction]) -> int | None:
    """Return the slots that the change of leader cost, if they were counted just now."""
    found = [action.fields.get("slots_missed") for action in actions if isinstance(action, RecordChange)]
    return next((count for count in found if isinstance(count, int)), None)


def _warn(
    node: Node, warn: Warn, known: rules.AlertInput, now: Ms, actions: list[NodeAction], notices: list[Notice]
) -> Node:
    """Give a warning out, unless it was given just before."""
    again = LOG_AGAIN if warn.key in rules.FOR_THE_LOG else SAY_AGAIN
    if now < node.logged_at.get(warn.text, -again) + again:
        actions.remove(warn)
    else:
        node = replace(node, logged_at={**_recent(node.logged_at, now - LOG_AGAIN), warn.text: now})
    if warn.key in rules.FOR_THE_LOG:
        return node
    notice = rules.warned(warn, known, now)
    before = notice.key in node.alerts.restored  # told by the process before: a reminder is due later
    if now >= node.alerted_at.get(warn.key, -TELL_AGAIN) + TELL_AGAIN:
        notices += [] if before else [notice]
        node = replace(node, alerted_at={**_recent(node.alerted_at, now - TELL_AGAIN), warn.key: now})
    elif notice.key not in node.alerts.notices:
        return node
    return replace(node, alerts=rules.opened(node.alerts, notice, now))


def _recent(times: Mapping[str, Ms], after: Ms) -> dict[str, Ms]:
    return {key: at for key, at in times.items() if at > after}
