"""One agent as a whole: leadership, health, election and alerting, composed into one pure step.

`step(state, event, now)` is what the loop calls, and all that it calls. Nothing here decides about production: that
is `leadership`; this module hands on what health and the other members mean for it, and what follows for people.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from agent.core import alerting, election, events, health, leadership
from agent.core.actions import Action, Announce, Warn
from agent.core.chain import ChainInfo
from agent.core.notice import Notice
from agent.core.records import GroupView, Member
from agent.core.slots import missed
from agent.core.state import Phase, Power, State
from agent.core.store import Ms

PUBLISH_EVERY: Ms = 2000
"""How often a member reports how it is when nothing changes."""
WATCH_EVERY: Ms = 1000
"""How often lasting alerts are looked at when nothing happens."""


@dataclass(frozen=True, slots=True)
class EtcdSeen:
    """etcd did not answer, or did to something else than a read of the group: `error` says why not."""

    error: str = ""


@dataclass(frozen=True, slots=True)
class Publish:
    """Write how this member is, on its session lease."""

    member: Member


@dataclass(frozen=True, slots=True)
class Tell:
    """Send a notice to the alert channels."""

    notice: Notice


@dataclass(frozen=True, slots=True)
class RecordChange:
    """Write `history/<epoch>`: who leads since then, and why. Fields that are not known yet are left out."""

    epoch: int
    fields: Mapping[str, str | int]


NodeEvent = events.Event | health.Probe | EtcdSeen
NodeAction = Action | Publish | Tell | RecordChange


@dataclass(frozen=True, slots=True)
class Profile:
    """What does not change about this agent, beside the setup of its leadership."""

    group: str
    limits: health.Limits
    priority: int = 100
    drained: bool = False
    version: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True)
class Node:
    """The state of one agent. `proof`: a new tenure's epoch and the head it began at, until its first block is seen."""

    profile: Profile
    leadership: State
    health: health.Health
    view: GroupView | None = None
    published: Member | None = None
    published_at: Ms = 0
    alerts: alerting.Open = field(default_factory=alerting.Open)
    etcd_down_since: Ms | None = None
    leading_since: Ms | None = None
    proof: tuple[int, ChainInfo] | None = None
    history: Mapping[str, str | int] = field(default_factory=dict)
    wake: Ms = 0


def begin(profile: Profile, setup_state: State) -> Node:
    """Return the state of an agent that knows nothing yet."""
    return Node(profile, setup_state, health.begin(profile.limits))


def step(node: Node, event: NodeEvent, now: Ms) -> tuple[Node, tuple[NodeAction, ...]]:
    """Take one event at `now` (ms of CLOCK_BOOTTIME, never going back). Pure."""
    actions: list[NodeAction] = []
    if isinstance(event, EtcdSeen):
        since = None if not event.error else node.etcd_down_since if node.etcd_down_since is not None else now
        node = replace(node, etcd_down_since=since)
    elif isinstance(event, health.Probe):
        node = _probe(node, event, now, actions)
    else:
        if isinstance(event, events.StoreSeen):
            node = replace(node, view=event.view, etcd_down_since=None)
        node = _lead(node, event, now, actions)
    standing = election.standing(member_of(node), node.health, _members(node), node.leadership.seen.last_holder)
    if standing != node.leadership.standing:
        node = _lead(node, standing, now, actions)
    node = _tell(node, now, actions)
    node = _publish(node, now, actions)
    times = [node.published_at + PUBLISH_EVERY, now + WATCH_EVERY]
    if node.leadership.wake is not None:
        times.append(node.leadership.wake)
    return replace(node, wake=min(times)), tuple(actions)


def _members(node: Node) -> tuple[Member, ...]:
    return node.view.members if node.view else ()


def _lead(node: Node, event: events.Event, now: Ms, actions: list[NodeAction]) -> Node:
    state, new = leadership.step(node.leadership, event, now)
    actions.extend(new)
    producing = state.phase is Phase.LEADING and state.power is Power.PRODUCING
    since = (node.leading_since if node.leading_since is not None else now) if producing else None
    node = replace(node, leadership=state, leading_since=since)
    for action in new:
        if isinstance(action, Announce) and action.target == Phase.LEADING.value and state.tenure:
            node = _begin_history(node, action, actions)
    return node


def _begin_history(node: Node, action: Announce, actions: list[NodeAction]) -> Node:
    tenure = node.leadership.tenure
    assert tenure is not None
    if action.key == "goes_on":
        return node
    fields: dict[str, str | int] = {
        "epoch": tenure.epoch,
        "node": node.leadership.setup.node,
        "from": tenure.before,
        "reason": tenure.origin,
        "leaderless_ms": tenure.gap,
    }
    actions.append(RecordChange(tenure.epoch, fields))
    info = node.health.info
    return replace(node, history=fields, proof=(tenure.epoch, info) if info else None)


def _probe(node: Node, probe: health.Probe, now: Ms, actions: list[NodeAction]) -> Node:
    me = node.leadership.setup.node
    found = health.take(
        node.health, probe, node.profile.limits, election.others(me, _members(node)), node.leading_since, now
    )
    node = replace(node, health=found)
    match probe:
        case health.ProcessProbed() if not probe.error and probe.process != node.leadership.process:
            node = _lead(node, events.ProcessSeen(probe.process), now, actions)
        case health.PausedProbed() if probe.paused is not None:
            node = _lead(node, events.PausedSeen(probe.asked, probe.paused), now, actions)
        case health.InfoProbed() if probe.info is not None and node.proof is not None:
            node = _prove(node, probe.info, actions)
    return node


def _prove(node: Node, info: ChainInfo, actions: list[NodeAction]) -> Node:
    """Read from the first own block of a tenure how many slots the change cost."""
    assert node.proof is not None
    epoch, before = node.proof
    if info.head_num <= before.head_num or info.head_producer != node.leadership.setup.producer:
        return node
    count = missed(before.head_num, before.head_time, info.head_num, info.head_time)
    fields = dict(node.history) | {"first_block": info.head_num, "slots_missed": count}
    actions.append(RecordChange(epoch, fields))
    return replace(node, history=fields, proof=None)


def member_of(node: Node) -> Member:
    """Return how this member is, as it is published."""
    state, info, profile = node.leadership, node.health.info, node.profile
    ready = state.phase is not Phase.STARTING and state.lease is not None
    return Member(
        node=state.setup.node,
        instance=state.setup.instance,
        role=state.phase.value,
        healthy=ready and node.health.ok,
        able=node.health.able,
        reasons=node.health.reasons,
        head=info.head_num if info else 0,
        lib=info.lib_num if info else 0,
        head_age_ms=node.health.info_wall - info.head_time if info else 0,
        priority=profile.priority,
        drained=profile.drained,
        version=profile.version,
        nodeos=info.server_version if info else "",
        url=profile.url,
    )


def _publish(node: Node, now: Ms, actions: list[NodeAction]) -> Node:
    if node.leadership.lease is None:
        return replace(node, published=None, published_at=now)
    member, last = member_of(node), node.published
    if last is not None and now < node.published_at + PUBLISH_EVERY:
        level = replace(last, head=member.head, lib=member.lib, head_age_ms=member.head_age_ms, reasons=member.reasons)
        if level == member and len(last.reasons) == len(member.reasons):
            return node
    actions.append(Publish(member))
    return replace(node, published=member, published_at=now)


# --- telling people ---


def facts(node: Node, now: Ms) -> alerting.Facts:
    """Return what alerts rest on."""
    state, view = node.leadership, node.view
    free = state.free_at()
    leads = state.phase is Phase.LEADING
    leaderless = free if free is not None and now >= free and not leads else None
    holder = state.seen.last_holder or ""
    override = state.seen.override
    mine = state.setup.node
    ready = any(member.healthy and not member.drained and member.node != mine for member in _members(node))
    return alerting.Facts(
        group=node.profile.group,
        node=mine,
        producer=state.setup.producer,
        leads=leads,
        leader=mine if leads else "" if leaderless is not None else holder,
        leaderless_since=leaderless,
        etcd_down_since=node.etcd_down_since,
        unhealthy=node.health.reasons if all(check.known for check in node.health.checks.values()) else (),
        override="" if override is None else override.leader or "nobody may lead",
        maintenance=state.seen.maintenance or "",
        problems=view.problems if view else (),
        standby_ready=ready,
    )


def _tell(node: Node, now: Ms, actions: list[NodeAction]) -> Node:
    known = facts(node, now)
    notices: list[Notice] = []
    for action in actions:
        if isinstance(action, Announce):
            notices.extend(alerting.announced(action, known))
        elif isinstance(action, Warn):
            notices.append(alerting.warned(action, known))
    alerts, lasting = alerting.lasting(node.alerts, known, now)
    actions.extend(Tell(notice) for notice in (*notices, *lasting))
    return replace(node, alerts=alerts)
