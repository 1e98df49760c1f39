"""One agent making up its mind: its faults, its plan for the lead, the wishes it refuses, and so its standing.

What it knows stays in `state.Assessment`; what follows from it is asked in `ranking`, `plan`, `switchover`,
`first_blocks`.
"""

from __future__ import annotations

from typing import Any

from agent.core.election import hold_down, ranking
from agent.core.election.policy import Policy
from agent.core.health import checks
from agent.core.leadership.actions import Announce, Warn
from agent.core.leadership.events import Eligibility
from agent.core.leadership.state import Phase
from agent.core.leadership.timing import seconds
from agent.core.leadership.transitions import ACTIVE
from agent.core.model.copying import replace
from agent.core.model.operator import clock_text
from agent.core.model.records import SELDOM
from agent.core.model.store import Ms
from agent.core.node import first_blocks, level, switchover
from agent.core.node import plan as planning
from agent.core.node.stage import NodeStep
from agent.core.node.state import Node, RefuseWish, member_of, wall_of

FAULTS = ("resume_failed", "expiring")
"""Ends of a tenure that are this node's own faults, beside its health."""
NEVER_BEGAN = ("resume_failed", "file_failed")
"""Ends of a tenure that produced nothing, and at once: on nodes that share the fault they come again and again."""
TRIES = Policy(hold_down=3_000, hold_down_max=60_000)
"""After the second of these it waits so long, then twice as long … before it takes over, or begins, again."""
VAIN = 2
"""A node that led in vain is held down at once."""
ANSWER_FOR: Ms = 60_000
"""How long a member shows why it refused a wish."""


def judged(node: Node, now: Ms) -> Eligibility:
    """Return what health, the other members and the plan make of this node."""
    held = node.assessment.flaps_text if node.assessment.flaps.left(now) else ""
    holder = node.leadership.seen.last_holder
    found = ranking.eligibility(member_of(node, now), node.health, node.members, holder, held)
    plan, lacks = node.assessment.plan, level.behind(node, now)
    if found.eligible and node.assessment.resumes.left(now):
        found = replace(found, eligible=False, why="its last take-overs came to nothing: it waits before the next")
    elif found.eligible and lacks:
        found = replace(found, eligible=False, behind=True, why=lacks)
    thread = node.health.checks.get("main_thread")
    if thread is not None and thread.known and not thread.ok:
        found = replace(found, deaf=True)
    if plan is None or plan.at > now:
        return found
    return replace(found, handover=plan.why, cause=plan.cause, to=plan.to)


def look(step: NodeStep) -> None:
    """Look again at everything that a plan rests on, and plan."""
    mind, state = step.node.assessment, step.node.leadership
    step.set_assessment(unseen=first_blocks.unseen_from(step.node, step.now))
    _judge(step)
    if state.phase not in ACTIVE:
        insisted = frozenset[str]() if state.tenure is None else mind.insisted
        step.set_assessment(insisted=insisted, better="", plan=None)
        return
    step.set_assessment(insisted=mind.insisted & _wrong(step.node))
    _better(step)
    _refuse(step)
    plan = planning.plan(step.node, step.now)
    if (why := step.node.assessment.vain) and (plan is None or plan.cause == "begins_anew"):
        then = "nobody is there to hand over to" + (": it begins anew" if plan else "")
        step.do(Warn("in_vain", f"this node leads, but {why}; {then}"))
    step.set_assessment(plan=plan)


def wakes(node: Node, now: Ms) -> list[Ms]:
    """Return when to look again."""
    plan, tries = node.assessment.plan, node.assessment.resumes.until
    level_at = level.waits_until(node) or 0
    return [at for at in (tries, level_at, *([plan.at] if plan else ()), *first_blocks.looks_at(node, now)) if at > now]


def announced(step: NodeStep, event: Announce) -> None:
    """Handle a transition: a fault of ours, a beginning, and what it makes of a wish that stands."""
    node, now = step.node, step.now
    state, mind = node.leadership, node.assessment
    wish = state.seen.switchover
    if event.key in FAULTS:
        step.node = failed(node, now)
    if event.key in NEVER_BEGAN:
        step.set_assessment(resumes=hold_down.failed(mind.resumes, now, TRIES))
    if event.key == "begins_anew":
        weight = 1 if mind.anew.times else VAIN
        policy = TRIES if node.finality.excused else node.settings.policy
        step.set_assessment(anew=hold_down.failed(mind.anew, now, policy, weight))
    if event.key == "campaign" and state.nominated and not state.kept:
        step.set_assessment(insisted=_wrong(node))
    if event.key == "elected":
        step.set(health=checks.producing(node.health))  # what was found of the tenure before is over
    void = event.target == Phase.STOPPING.value and event.key != "switchover"
    void = void or (event.key == "campaign" and wish is not None and wish.to not in ("", state.identity.node))
    if wish is not None and void:
        text = f"the wish to hand over to {wish.to or 'whoever is best'} is void: {event.reason}"
        step.do(Warn("switchover_void", text))


def rescheduled(node: Node) -> Node:
    """Judge from now on only: which of the slots before were ours is not known under another schedule."""
    return _with(node, unseen=None)


def check_failed(node: Node, now: Ms) -> Node:
    """Handle a check that fails on a node that was healthy."""
    vain = node.leading_since is not None and planning.soon(node, now) and planning.silent(node)
    return failed(node, now, VAIN if vain else 1)


def failed(node: Node, now: Ms, weight: int = 1) -> Node:
    """Take a fault of this node; one that comes again and again holds it down."""
    policy = node.settings.policy
    flaps = hold_down.failed(node.assessment.flaps, now, policy, weight)
    wall = wall_of(node, now)
    until = f" until {clock_text(wall + flaps.until - now)}" if wall is not None else ""
    text = f"held down{until}: {len(flaps.times)} faults within {seconds(policy.hold_down_window)}"
    return _with(node, flaps=flaps, flaps_text=text)


def _with(node: Node, **changes: Any) -> Node:
    return replace(node, assessment=replace(node.assessment, **changes))


def _wrong(node: Node) -> frozenset[str]:
    """Return what speaks against this node as leader."""
    gone = {"drained"} if node.drained else set()
    return frozenset({checks.check_of(reason) for reason in node.health.failing} | gone)


def _judge(step: NodeStep) -> None:
    """Have the check `producing` follow what the chain shows."""
    before, why = step.node.assessment.vain, first_blocks.barren(step.node, step.now)
    if bool(why) == bool(before):
        return
    if why:
        step.do(Warn("check_fails", f"check producing fails: {why}"))
        step.set(health=checks.producing(step.node.health, why))
        step.node = failed(step.node, step.now, VAIN)
    step.set_assessment(vain=why)


def _better(step: NodeStep) -> None:
    """Note since when the best node of better priority is well, where failback is wanted."""
    node = step.node
    mine = node.settings.priority
    found = [each for each in planning.others_of(node) if each.priority < mine and not each.held_down_ms]
    wanted = node.settings.policy.failback and node.leadership.leads
    best = min(found, key=lambda each: (each.priority, each.node)).node if found and wanted else ""
    if best != node.assessment.better:
        step.set_assessment(better=best, better_since=step.now)


def _cut_off(node: Node, now: Ms) -> bool:
    """Tell whether etcd is away, or was until a moment ago: what members have reported is of before."""
    return planning.unheard(node, now) or now >= node.view_at + SELDOM or now < node.back_at + SELDOM


def _refuse(step: NodeStep) -> None:
    """Refuse a wish that cannot be granted: it goes, and why is told."""
    node, now = step.node, step.now
    wish, revision = node.leadership.seen.switchover, node.reports.switchover_revision
    if not node.leadership.leads or wish is None or _cut_off(node, now):
        return
    found = switchover.wished(node, planning.there(node, now), now)
    if found is None or not found.refused:
        return
    answer = f"refuses to hand over to {wish.to or 'whoever is best'}: {found.refused}"
    fields: dict[str, str | int] = {"node": node.leadership.identity.node, "revision": revision, "to": wish.to}
    step.do(RefuseWish(revision, fields | {"by": wish.by, "refused": found.refused}))
    step.do(Warn("switchover_refused", f"{node.leadership.identity.node} {answer}"))
    step.set_assessment(refused=revision, answer=answer, answer_until=now + ANSWER_FOR)
