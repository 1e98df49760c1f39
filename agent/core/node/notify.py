"""What the state of one agent means for people: the facts that alerts rest on, and warnings said no more than needed.

What is worth telling stands in `rules`; here it is fed.
"""

from __future__ import annotations

from agent.core.alerts import rules
from agent.core.alerts.notice import Notice
from agent.core.health.finality import missing_votes
from agent.core.leadership.actions import Warn
from agent.core.leadership.events import RuntimeSaved
from agent.core.leadership.state import GateState, Phase
from agent.core.leadership.timing import PeersMode
from agent.core.model.copying import replace
from agent.core.model.records import SELDOM
from agent.core.model.slots import REPETITIONS, SLOT
from agent.core.model.store import Ms
from agent.core.node import can_lead
from agent.core.node.stage import NodeStep, recent
from agent.core.node.state import Node, NodeEvent, Notify
from agent.core.node.urgency import busy

FRESH: Ms = SELDOM + 3000
"""While etcd works, a view of the group is not older: this member reports as often, and sees it."""
TELL_AGAIN: Ms = 300_000
"""A warning of the same kind is not sent to people sooner."""
SETTLED: Ms = 15_000
"""After so long with etcd in sight every check was made and every member seen, so what is not so is over."""


def facts(node: Node, now: Ms, event: NodeEvent | None = None) -> rules.AlertInput:
    """Return what alerts rest on."""
    state, tenure = node.leadership, node.leadership.tenure
    info = node.health.info
    others = [member for member in node.members if member.node != state.identity.node]
    leads = state.leads
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
        left_to=node.leadership.left_to,
        etcd_down_since=node.etcd_down_since,
        etcd_error=node.etcd_error,
        unhealthy=tuple(each for each in node.health.failing if not _told_otherwise(node, each)),
        override="" if override is None else override.leader or "nobody may lead",
        silenced=override is not None and override.leader is None,
        maintenance=state.seen.maintenance,
        problems=node.reports.problems,
        standby_ready=ready,
        chain=info.chain_id if info else "",
        gap=tenure.gap if tenure else 0,
        saved=isinstance(event, RuntimeSaved) and event.ok,
        gate_open=state.gate in (GateState.UNKNOWN, GateState.CLOSING),
        settled=_settled(node, now),
        ahead=tuple(member.tells for member in others if not leads and _ahead(member.node, leader, mine)),
        fresh=now - node.view_at <= FRESH,
        unvoted=node.finality.excused,
        lacks_votes=bool(missing_votes(node.health.finality, state.identity.producer, info)),
        busy=busy(node, now) if leads else "",
        idle_key=_idle_key(node),
        idle_since=node.finality.idle,
        witnessed=bool(state.support.named),
        failsafe=state.identity.timing.peers is PeersMode.FAILSAFE,
        elsewhere=frozenset(key for member in others for key in member.told),
    )


def _idle_key(node: Node) -> str:
    """Return what keeps our finalizer key from voting, nothing while it is active or nothing is known."""
    found, settings, watch = node.health.finality, node.settings.finalizer, node.finality
    if watch.idle is None or found is None:
        return ""
    tried = f"{watch.tries} tries to change that" if settings.command else "finalizer.command is not set"
    return f"the active key of {settings.account} is {found.active_key(settings.account)}, not {settings.key}; {tried}"


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

    In a view that is old a heartbeat stands still whoever leads, and one that is left to others may, while these
    promise: then blocks of our producer tell that somebody leads, for one round of the schedule after each.
    """
    free = node.leadership.free_at()
    free = node.leadership.silent_at() if free is None else free
    if free is None or node.store_since is None:
        return None
    since = max(free, node.store_since)
    if (now - node.view_at > FRESH or not node.leadership.entitled) and node.own_block_at:
        schedule = node.health.schedule
        turns = len(schedule.producers) if schedule else 1
        since = max(since, node.own_block_at + turns * REPETITIONS * SLOT)
    return since if now >= since else None


def notify(step: NodeStep) -> None:
    """Tell people what was found in this step, and what lasts."""
    known = facts(step.node, step.now, step.event)
    notices: list[Notice] = []
    for action in step.heard:
        if isinstance(action, Warn):
            _warn(step, action, known, notices)
        else:
            _announced(step, rules.announced(action, known, step.now), notices)
    alerts, news = rules.news(step.node.alerts, known, step.now, step.slots_missed, step.outage)
    alerts, lasting = rules.lasting(alerts, known, step.now)
    step.set(alerts=alerts)
    step.do(*(Notify(notice) for notice in (*notices, *news, *lasting)))


def _announced(step: NodeStep, found: tuple[Notice, ...], notices: list[Notice]) -> None:
    """Handle the news of a transition; that of a failover waits for its cost."""
    for notice in found:
        alerts = step.node.alerts
        if notice.event == "failover":
            alerts = replace(alerts, news=notice, news_by=step.now + rules.COUNTED)
        else:
            notices.append(notice)
            alerts = rules.opened(alerts, notice, step.now)
        step.set(alerts=alerts)


def _warn(step: NodeStep, warn: Warn, known: rules.AlertInput, notices: list[Notice]) -> None:
    """Tell people of a warning, unless one of its kind was told a while ago."""
    if warn.key in rules.FOR_THE_LOG:
        return
    node, now = step.node, step.now
    notice = rules.warned(warn, known, now)
    before = notice.key in node.alerts.restored  # told by the process before: a reminder is due later
    if now >= node.alerted_at.get(warn.key, -TELL_AGAIN) + TELL_AGAIN:
        notices += [] if before else [notice]
        step.set(alerted_at={**recent(node.alerted_at, now - TELL_AGAIN), warn.key: now})
    elif notice.key not in node.alerts.notices:
        return
    step.set(alerts=rules.opened(node.alerts, notice, now))
