"""One agent as a whole: leadership, health, election and alerting, composed into one pure step.

`step(state, event, now)` is what the loop calls, and all that it calls. Nothing here decides about production: that
is `machine`; this module hands on what health and the other members mean for it, and what follows for people.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from operator import attrgetter

from agent.core.alerts import rules
from agent.core.alerts.notice import Notice
from agent.core.blocks import history
from agent.core.blocks.follow import BlocksRead
from agent.core.election import ranking
from agent.core.health import checks
from agent.core.leadership import events, machine
from agent.core.leadership.actions import Announce, Warn
from agent.core.leadership.state import Phase, Production, State
from agent.core.leadership.transitions import BEGINS
from agent.core.model.chain import ChainInfo
from agent.core.model.copying import replace
from agent.core.model.records import GroupView, Member
from agent.core.model.store import Ms
from agent.core.node import can_lead, eligibility, plan, ungoverned
from agent.core.node.hook_log import HookDone
from agent.core.node.hooks import hook
from agent.core.node.notify import tell
from agent.core.node.reconfigure import reconfigured
from agent.core.node.state import (
    READER,
    EtcdFault,
    EtcdSeen,
    LiveSettings,
    LookedBack,
    Node,
    NodeAction,
    NodeEvent,
    Publish,
    Reconfigured,
    RecordChange,
    member_of,
)
from agent.core.node.watch import watch

PUBLISH_EVERY: Ms = 2000
"""How often a member reports how it is when nothing changes."""
STALE: Ms = 5 * PUBLISH_EVERY
"""A report that did not change for so long, while others came, counts no more: nobody stands behind it."""
WATCH_EVERY: Ms = 1000
"""How often lasting alerts are looked at when nothing happens."""


_MOVES = frozenset({"head", "lib", "head_age_ms", "asked_ms", "own_ms", "own", "held_down_ms", "reasons"})
_LASTING = attrgetter(*(each.name for each in fields(Member) if each.name not in _MOVES))


def begin(profile: LiveSettings, setup_state: State, told: tuple[Notice, ...] = ()) -> Node:
    """Return the state of an agent that knows nothing yet, but for the alerts that it left open before."""
    return Node(profile, setup_state, checks.begin(profile.limits), alerts=rules.reopened(told))


def step(node: Node, event: NodeEvent, now: Ms) -> tuple[Node, tuple[NodeAction, ...]]:
    """Take one event at `now` (ms of CLOCK_BOOTTIME, never going back). Pure."""
    actions: list[NodeAction] = []
    if isinstance(event, EtcdSeen):
        node = _etcd(node, event, now, actions)
    elif isinstance(event, Reconfigured):
        node = _lead(reconfigured(node, event), events.Tick(), now, actions)
    elif isinstance(event, LookedBack):
        node = replace(node, past=event)
    elif isinstance(event, BlocksRead | HookDone):
        pass  # only `watch` and `hook` take these
    elif isinstance(event, checks.Probe):
        node = _probe(node, event, now, actions)
    else:
        node = _clear(node, now, actions)
        if isinstance(event, events.StoreSeen):
            since = node.store_since if node.store_since is not None else now
            node = replace(_heard(node, event.view, now), store_since=since)
            assert node.view is not None
            event = events.StoreSeen(node.view)
            node = _etcd(node, EtcdSeen(reader=True), now, actions)
            actions.extend(Warn("stranger", f"a member does not belong here: {why}") for why in node.strangers)
        node = _known(node, event, now)
        node = _lead(node, event, now, actions)
    node = _can_lead(node, now, actions)
    node = eligibility.look(_clear(node, now, actions), now, actions)
    judged = eligibility.judged(node, now)
    if judged != node.leadership.eligibility:
        node = _lead(node, judged, now, actions)
    node = watch(node, event, now, actions)
    node = ungoverned.tell(node, now, actions)
    node = hook(node, event, now, actions)
    node = tell(node, event, now, actions)
    node = _publish(node, now, actions)
    times = [node.published_at + PUBLISH_EVERY, now + WATCH_EVERY, *eligibility.wakes(node, now)]
    if node.leadership.wake is not None:
        times.append(node.leadership.wake)
    return replace(node, wake=min(times)), tuple(actions)


def _heard(node: Node, view: GroupView, now: Ms) -> Node:
    """Return the node with a view of the group, but for members whose reports stand still, by our own clock."""
    heard = {
        name: node.heard.get(name, (0, 0)) if node.heard.get(name, (0, 0))[0] == revision else (revision, now)
        for name, revision in view.reported.items()
    }
    fresh = tuple(each for each in view.members if now - heard.get(each.node, (0, now))[1] < STALE)
    return replace(node, view=replace(view, members=fresh), view_at=now, heard=heard)


def _clear(node: Node, now: Ms, actions: list[NodeAction]) -> Node:
    """Have leadership know whether the chain speaks against a heartbeat that nobody holds (R18, R20)."""
    state, found = node.leadership, ungoverned.judged(node, now)
    known = found == events.Ungoverned(state.clear_at, state.seen.newer)
    return node if known else _lead(node, found, now, actions)


def _etcd(node: Node, seen: EtcdSeen, now: Ms, actions: list[NodeAction]) -> Node:
    """Note whether etcd answers session and reader; for the log at once, for people when it lasts."""
    feed = READER if seen.reader else "session"
    faults = {name: fault for name, fault in node.etcd_faults.items() if name != feed}
    if seen.reader and not seen.error:
        node = replace(node, read_at=now)
    if seen.error:
        since = node.etcd_faults[feed].since if feed in node.etcd_faults else now
        faults[feed] = EtcdFault(since, seen.error)
        actions.append(Warn("etcd_down", f"etcd does not answer as it should: {seen.error}"))
    elif node.etcd_faults and not faults:
        actions.append(Warn("etcd_up", "etcd answers again"))
    words = "; ".join(sorted({fault.error for fault in faults.values()}))
    first = min((fault.since for fault in faults.values()), default=None)
    return replace(node, etcd_faults=faults, etcd_error=words, etcd_down_since=first)


def _known(node: Node, event: events.Event, now: Ms) -> Node:
    """Note what else tells whether this agent could lead."""
    match event:
        case events.RuntimeSaved(_, ok, why):
            return replace(node, health=replace(node.health, file="" if ok else why))
        case events.Started():
            return replace(node, read_at=now)
    return node


def _can_lead(node: Node, now: Ms, actions: list[NodeAction]) -> Node:
    since = node.lease_gone_since if node.lease_gone_since is not None else now
    node = replace(node, lease_gone_since=since if node.leadership.lease is None else None)
    found = can_lead.judged(node, now)
    if found is not node:
        actions.extend(_turned(node.health, found.health))
    return found


def _lead(node: Node, event: events.Event, now: Ms, actions: list[NodeAction]) -> Node:
    state, new = machine.step(node.leadership, event, now)
    actions.extend(new)
    producing = state.phase is Phase.LEADING and state.production is Production.PRODUCING
    since = (node.leading_since if node.leading_since is not None else now) if producing else None
    gated = state.process if state.tenure is not None and state.tenure.gated else node.gated_process
    node = replace(node, leadership=state, leading_since=since, gated_process=gated)
    for action in new:
        if isinstance(action, Announce) and action.key in BEGINS and state.tenure is not None:
            fields = history.record(state, node.entered, now)
            actions.append(RecordChange(action.epoch, fields))
            chain, own = node.watch.chain, node.watch.last_own
            node = replace(node, proof=history.proof(action.epoch, fields, node.health, chain, own, now))
        if isinstance(action, Announce) and action.key == "released":
            _ended(node, action.epoch, now, actions)
        if isinstance(action, Announce):
            node = replace(node, entered={**node.entered, action.target: now})
            node = eligibility.announced(node, action, now, actions)
        if isinstance(action, Warn) and action.key == "unpaused":
            node = replace(node, unpaused_at=now)
    return node


def _ended(node: Node, epoch: int, now: Ms, actions: list[NodeAction]) -> None:
    """Write into the record of our tenure how long its end took; nothing is written of it any more then."""
    known = node.hook_log
    if known.epoch == epoch and known.record is not None:
        actions.append(RecordChange(epoch, history.ended(known.record, node.entered, now)))


def _probe(node: Node, probe: checks.Probe, now: Ms, actions: list[NodeAction]) -> Node:
    me, old = node.leadership.identity.node, node.health
    others, pace = ranking.others(me, node.members), plan.pace(node, now)
    judged = replace(probe, error="") if isinstance(probe, checks.GateProbed) and not _signs_by_gate(node) else probe
    found = checks.take(old, judged, node.settings.limits, others, node.leading_since, now, pace, node.judgement.vain)
    actions.extend(_turned(old, found))
    node = replace(node, health=found)
    if old.ok and found.failing:
        node = eligibility.check_failed(node, now)
    match probe:
        case checks.ProcessProbed() if (probe.process or not probe.error) and probe.process != node.leadership.process:
            node = _lead(node, events.ProcessSeen(probe.process), now, actions)
        case checks.PausedProbed() if probe.paused is not None:
            node = _lead(node, events.PausedSeen(probe.asked, probe.paused), now, actions)
        case checks.GateProbed() if probe.signed is not None:
            node = _lead(node, events.GateSigned(probe.signed), now, actions)
        case checks.InfoProbed() if probe.info is not None:
            node = _own_block(node, old.info, probe.info, now)
        case checks.ScheduleProbed() if found.schedule != old.schedule:
            node = eligibility.rescheduled(node)
    return node


def _signs_by_gate(node: Node) -> bool:
    """Tell whether nodeos has no signature but through the gate: it is required, or this process was seen to use it."""
    state = node.leadership
    return state.identity.timing.gated or (state.process is not None and state.process == node.gated_process)


def _turned(old: checks.Health, new: checks.Health) -> Iterator[Warn]:
    """Yield a line for the log for each check that changed its mind."""
    for name, check in new.checks.items():
        if not check.known or (check.ok == old.checks[name].ok and old.checks[name].known):
            continue
        if not check.ok:
            yield Warn("check_fails", f"check {name} fails: {check.reason}")
        elif old.checks[name].known:
            yield Warn("check_passes", f"check {name} passes again")


def _own_block(node: Node, before: ChainInfo | None, info: ChainInfo, now: Ms) -> Node:
    """Note when a block of our producer is the head: a node of the group produces."""
    if info.head_producer != node.leadership.identity.producer or before is None or info.head_num <= before.head_num:
        return node
    return replace(node, own_block_at=now)


def _publish(node: Node, now: Ms, actions: list[NodeAction]) -> Node:
    if node.leadership.lease is None:
        return replace(node, published=None, published_at=now)
    member, last = member_of(node, now), node.published
    if last is not None and now < node.published_at + PUBLISH_EVERY and _level(last) == _level(member):
        return node
    actions.append(Publish(member))
    return replace(node, published=member, published_at=now)


def _level(member: Member) -> tuple[object, ...]:
    """Return a report without what changes all the time: with the next one that is early enough."""
    return (*_LASTING(member), member.held_down_ms > 0, _checks(member))


def _checks(member: Member) -> set[str]:
    """Return which checks fail; how badly changes all the time."""
    return {reason.partition(":")[0] for reason in member.reasons}
