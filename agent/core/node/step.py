"""One agent as a whole: leadership, health, election and alerting, composed into one pure step.

`step(state, event, now)` is what the loop calls, and all that it calls: a fold of stages. Nothing here decides about
production: that is `machine`; this module hands on what health and the other members mean for it, and what follows for
people.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields
from operator import attrgetter

from agent.core.alerts import rules
from agent.core.alerts.notice import Notice
from agent.core.blocks import history
from agent.core.blocks.follow import BlocksRead
from agent.core.election import ranking
from agent.core.health import checks
from agent.core.leadership import events, machine
from agent.core.leadership.actions import Announce, Exit, Warn
from agent.core.leadership.state import State
from agent.core.leadership.transitions import BEGINS
from agent.core.model.chain import ChainInfo
from agent.core.model.copying import replace
from agent.core.model.records import SELDOM, GroupView, Member
from agent.core.model.store import Ms
from agent.core.node import can_lead, eligibility, finalizer, sights, ungoverned, urgency, votes
from agent.core.node.glance import slight
from agent.core.node.hooks import hook
from agent.core.node.notify import notify
from agent.core.node.observe import observe
from agent.core.node.reconfigure import reconfigured
from agent.core.node.stage import NodeStep
from agent.core.node.state import (
    READER,
    EtcdFault,
    EtcdSeen,
    GroupReports,
    HookDone,
    LiveSettings,
    LookedBack,
    Node,
    NodeAction,
    NodeEvent,
    Publish,
    Reconfigured,
    member_of,
)
from agent.core.node.watch import watch

STALE: Ms = 2 * SELDOM
"""A report that stands still for so long, while others come, counts no more: nobody stands behind it."""
WATCH_EVERY: Ms = 1000
"""How often lasting alerts are looked at when nothing happens."""


_MOVES = frozenset({"head", "lib", "head_age_ms", "asked_ms", "own_ms", "own", "held_down_ms", "reasons", "every_ms"})
_LASTING = attrgetter(*(each.name for each in fields(Member) if each.name not in _MOVES))


def begin(profile: LiveSettings, setup_state: State, told: tuple[Notice, ...] = ()) -> Node:
    """Return the state of an agent that knows nothing yet, but for the alerts that it left open before."""
    return Node(profile, setup_state, checks.begin(profile.limits), alerts=rules.reopened(told))


def step(node: Node, event: NodeEvent, now: Ms) -> tuple[Node, tuple[NodeAction, ...]]:
    """Handle one event at `now` (ms of CLOCK_BOOTTIME, never going back). Pure."""
    under_way = NodeStep(node, event, now)
    _lead(under_way)
    for stage in () if under_way.slight else _STAGES:
        stage(under_way)
    node = under_way.node
    due = node.due if under_way.slight else _due(node, now)
    wake = due if node.leadership.wake is None else min(due, node.leadership.wake)
    node = replace(node, due=due, wake=wake)
    return node, sights.telling(node, under_way.actions())


def _due(node: Node, now: Ms) -> Ms:
    """Return when to make a whole step again at the latest."""
    return min(sights.due(node, now), now + WATCH_EVERY, *eligibility.wakes(node, now), *finalizer.wakes(node, now))


# --- leadership, and what it rests on ---


def _lead(step: NodeStep) -> None:
    """Have leadership take each fact in turn: the one place that steps it. What follows from its transitions is noted.

    Each fact is looked for in the node as the facts before it have left it.
    """
    for fact in _facts(step):
        before = step.node.leadership.sights
        state, actions = machine.step(step.node.leadership, fact, step.now)
        gated = state.process if state.tenure is not None and state.tenure.gated else step.node.gated_process
        step.set(leadership=state, gated_process=gated)
        if state.sights is not before:
            _freshen(step)
        step.do(*actions)
        for action in actions:
            if isinstance(action, Announce):
                _announced(step, action)
            elif isinstance(action, Warn) and action.key == "unpaused":
                step.set(unpaused_at=step.now)


def _announced(step: NodeStep, action: Announce) -> None:
    """Note a transition: when it was, what the history says of it, what it makes of faults and wishes."""
    node = step.node
    if action.key in BEGINS and node.leadership.tenure is not None:
        fields = history.record(node.leadership, node.entered, step.now)
        chain, own = node.watch.chain, node.watch.last_own
        step.set(proof=history.proof(action.epoch, fields, node.health, chain, own, step.now))
        step.record(action.epoch, fields)
    log = step.node.hook_log
    if action.key == "released" and log.epoch == action.epoch and log.record is not None:
        step.record(action.epoch, history.ended(log.record, node.entered, step.now))  # the last word of our tenure
    step.set(entered={**node.entered, action.target: step.now})
    eligibility.announced(step, action)


def _facts(step: NodeStep) -> Iterator[events.Event]:
    """Yield what the event means for leadership, and then what chain, health, election and hooks make of it.

    That is left out where the event has only prolonged what is there.
    """
    yield from _of_chain(step)  # before leadership looks at a heartbeat, whatever the event is: a moment may have come
    yield from _noted(step, step.event)
    step.slight = slight(step)
    if step.slight:
        return
    _can_lead(step)
    finalizer.look(step)
    yield from _of_chain(step)
    eligibility.look(step)
    judged = eligibility.judged(step.node, step.now)
    if judged != step.node.leadership.eligibility:
        yield judged
    yield from hook(step)


def _of_chain(step: NodeStep) -> Iterator[events.Event]:
    """Yield whether the chain speaks against a heartbeat that nobody holds (R18, R20), if that changed."""
    state, found = step.node.leadership, ungoverned.judged(step.node, step.now)
    if found != events.Ungoverned(state.clear_at, state.seen.newer):
        yield found


def _noted(step: NodeStep, event: NodeEvent) -> Iterator[events.Event]:
    """Note the event; yield what leadership has to take of it."""
    match event:
        case EtcdSeen():
            _etcd(step, event)
        case Reconfigured():
            step.node = reconfigured(step.node, event)
            yield events.Tick()
        case LookedBack():
            step.set(past=event)
        case events.Shutdown() if step.node.settings.observes:
            step.do(Exit())  # nothing was begun
        case BlocksRead() | HookDone():
            pass  # only `watch`, `hook` and `finalizer` take these
        case _ if isinstance(event, checks.Probe):
            yield from _probe(step, event)
        case _:
            yield _known(step, event)


def _known(step: NodeStep, event: events.Event) -> events.Event:
    """Note what else tells whether this agent could lead; return the event as leadership takes it."""
    node = step.node
    match event:
        case events.StoreSeen(view):
            view = _heard(step, view)
            _etcd(step, EtcdSeen(reader=True))
            step.do(*(Warn("stranger", f"a member does not belong here: {why}") for why in step.node.strangers))
            return events.StoreSeen(view)
        case events.RuntimeSaved(_, ok, why):
            step.set(health=replace(node.health, file="" if ok else why))
        case events.Started():
            step.set(read_at=step.now)
    return event


def _heard(step: NodeStep, view: GroupView) -> GroupView:
    """Note who reports what, and return the view without the members whose reports stand still, by our own clock."""
    node, now = step.node, step.now
    back = now - node.view_at >= SELDOM  # it is we who read nothing meanwhile
    known = {} if back else node.heard
    heard = {
        name: known.get(name, (0, 0)) if known.get(name, (0, 0))[0] == revision else (revision, now)
        for name, revision in view.reported.items()
    }
    fresh = tuple(each for each in view.members if now - heard.get(each.node, (0, now))[1] < STALE)
    members = tuple(replace(each, drained=each.drained or each.node in view.drains) for each in fresh)
    reports = GroupReports(members, view.problems, view.drains, view.switchover_revision, view.ledger)
    since = node.store_since if node.store_since is not None else now
    back_at = now if back and node.view_at else node.back_at
    step.set(reports=reports, view_at=now, back_at=back_at, heard=heard, store_since=since)
    _freshen(step)
    return replace(view, members=fresh)


def _freshen(step: NodeStep) -> None:
    """Bring what is reported of the members to what they have told since."""
    node = step.node
    members = sights.fresher(node.reports.members, node.leadership.sights, node.heard)
    step.set(reports=replace(node.reports, members=members))


def _etcd(step: NodeStep, seen: EtcdSeen) -> None:
    """Note whether etcd answers session and reader; for the log at once, for people when it lasts."""
    known = step.node.etcd_faults
    feed = READER if seen.reader else "session"
    faults = {name: fault for name, fault in known.items() if name != feed}
    if seen.reader and not seen.error:
        step.set(read_at=step.now)
    if seen.error:
        faults[feed] = EtcdFault(known[feed].since if feed in known else step.now, seen.error)
        step.do(Warn("etcd_down", f"etcd does not answer as it should: {seen.error}"))
    elif known and not faults:
        step.do(Warn("etcd_up", "etcd answers again"))
    step.set(etcd_faults=faults)


def _can_lead(step: NodeStep) -> None:
    since = step.node.lease_gone_since if step.node.lease_gone_since is not None else step.now
    step.set(lease_gone_since=since if step.node.leadership.lease is None else None)
    _healthy(step, can_lead.judged(step.node, step.now))


def _healthy(step: NodeStep, found: checks.Health) -> None:
    """Note how this node is, with a line for the log for each check that changed its result."""
    old = step.node.health
    if found is not old:
        step.do(*_turned(old, found))
        step.set(health=found)


def _probe(step: NodeStep, probe: checks.Probe) -> Iterator[events.Event]:
    node, now, old = step.node, step.now, step.node.health
    others, pace = ranking.others(node.leadership.identity.node, node.members), urgency.pace(node, probe, now)
    judged = replace(probe, error="") if isinstance(probe, checks.GateProbed) and not _signs_by_gate(node) else probe
    limits, since, vain = node.settings.limits, node.leading_since, node.assessment.vain
    if isinstance(probe, checks.PausedProbed):
        step.set(finality=votes.answered(node, probe, now))
    _healthy(step, checks.take(old, judged, limits, others, since, now, pace, vain, step.node.finality.excused))
    found = step.node.health
    if old.ok and found.failing:
        step.node = eligibility.check_failed(step.node, now)
    match probe:
        case checks.ProcessProbed() if (probe.process or not probe.error) and probe.process != node.leadership.process:
            yield events.ProcessSeen(probe.process)
        case checks.PausedProbed() if probe.paused is not None:
            step.set(nodeos_paused=probe.paused)
            yield events.PausedSeen(probe.asked, probe.paused)
        case checks.GateProbed() if probe.signed is not None:
            yield events.GateSigned(probe.signed)
        case checks.InfoProbed() if probe.info is not None and _own_block(node, old.info, probe.info):
            step.set(own_block_at=now)
        case checks.ScheduleProbed() if found.schedule != old.schedule:
            step.node = eligibility.rescheduled(step.node)


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


def _own_block(node: Node, before: ChainInfo | None, info: ChainInfo) -> bool:
    """Tell whether a new head is a block of our producer: a node of the group produces."""
    ours = info.head_producer == node.leadership.identity.producer
    return ours and before is not None and info.head_num > before.head_num


# --- what is reported ---


def _publish(step: NodeStep) -> None:
    node, now = step.node, step.now
    if node.leadership.lease is None:
        step.set(published=None, published_at=now)
        return
    member, last = replace(member_of(node, now), every_ms=sights.pace(node, now)), node.published
    if last is None or now >= sights.due(node, now) or _level(last) != _level(member):
        step.do(Publish(member))
        step.set(published=member, published_at=now)


def _level(member: Member) -> tuple[object, ...]:
    """Return a report without what changes all the time: with the next one that is early enough."""
    return (*_LASTING(member), member.held_down_ms > 0, set(map(checks.check_of, member.reasons)))


_STAGES: tuple[Callable[[NodeStep], None], ...] = (watch, ungoverned.tell, observe, notify, _publish)
