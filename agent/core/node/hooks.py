"""When the operator's hooks are run, and what is told of them. Pure; `runtime.hooks` runs them.

    before_promote  at the take-over. The resume waits for its end, but never longer than the deadline
    after_promote   when nodeos has resumed
    before_demote   when the stop begins, and then beside it: no pause waits for a hook. Only before a handover that is
                    planned for a later moment it is run ahead, so that it can be over by then; should the plan be taken
                    back, after_promote is run again
    after_demote    when nodeos is proven stopped (R4)

A hook that fails, hangs or is killed changes nothing about who leads: it is told, and goes down in the history.
"""

from __future__ import annotations

from dataclasses import replace

from agent.core.leadership import machine
from agent.core.leadership.actions import Announce, Warn
from agent.core.leadership.events import DelayResume
from agent.core.leadership.state import Phase
from agent.core.leadership.transitions import BEGINS
from agent.core.model.archive import Fields
from agent.core.model.store import Ms
from agent.core.node.hook_log import HookDone, HookLog, RunHook
from agent.core.node.state import Node, NodeAction, NodeEvent, RecordChange

TEXT = 900
"""Characters that are kept of what became of the hooks of one change."""
_NEVER_LED = ("elected_late", "late_answer")


def hook(node: Node, event: NodeEvent, now: Ms, actions: list[NodeAction]) -> Node:
    """Ask for the hooks that are due, and take what became of those before."""
    for action in tuple(actions):
        if isinstance(action, Announce):
            node = _announced(node, action, now, actions)
    if isinstance(event, HookDone):
        node = _done(node, event, now, actions)
    return _record(_ahead(node, now, actions), actions)


def _run(
    node: Node, name: str, epoch: int, reason: str, actions: list[NodeAction], *, demote: bool = False, to: str = ""
) -> bool:
    """Ask for a hook; False when there is none. `to`: who is to lead after a demotion, if the tenure does not say."""
    if name not in node.settings.hooks:
        return False
    state, tenure = node.leadership, node.leadership.tenure
    me = state.identity.node
    to = to or (tenure.hand_to if tenure else None) or ""
    before = tenure.before if tenure else ""
    who, whom = (me, to) if demote else (before, me)
    actions.append(RunHook(name, epoch, reason, who, whom, node.settings.hook_ms))
    return True


def _announced(node: Node, action: Announce, now: Ms, actions: list[NodeAction]) -> Node:
    epoch, hooked = action.epoch, node.hook_log
    origin = node.leadership.tenure.origin if node.leadership.tenure else action.reason
    if action.key == "elected":
        node = replace(node, hook_log=HookLog(epoch))
        if _run(node, "before_promote", epoch, origin, actions):
            node = _hold(node, now + node.settings.hook_ms, now, actions)
    elif action.key in BEGINS:
        _run(node, "after_promote", epoch, origin, actions)
    elif action.target == Phase.STOPPING.value and action.key not in _NEVER_LED:
        if hooked.ahead != epoch:
            _run(node, "before_demote", epoch, action.reason, actions, demote=True)
        node = replace(node, hook_log=replace(hooked, stopping=epoch))
    elif action.key == "proven" and hooked.stopping == epoch:
        _run(node, "after_demote", epoch, action.reason, actions, demote=True)
    return node


def _hold(node: Node, until: Ms, now: Ms, actions: list[NodeAction]) -> Node:
    state, new = machine.step(node.leadership, DelayResume(until), now)
    actions.extend(new)
    return replace(node, leadership=state)


def _ahead(node: Node, now: Ms, actions: list[NodeAction]) -> Node:
    """Run before_demote ahead of a planned handover, and take it back when the plan is."""
    state, plan, hooked = node.leadership, node.judgement.plan, node.hook_log
    if state.phase is not Phase.LEADING or state.tenure is None:
        return node
    epoch = state.tenure.epoch
    if plan is None and hooked.ahead == epoch:
        _run(node, "after_promote", epoch, "the planned handover was taken back", actions)
        return replace(node, hook_log=replace(hooked, ahead=0))
    near = plan is not None and plan.at - node.settings.hook_ms <= now < plan.at
    if plan is None or not near or hooked.ahead == epoch:
        return node
    if not _run(node, "before_demote", epoch, plan.why or plan.text, actions, demote=True, to=plan.to):
        return node
    return replace(node, hook_log=replace(hooked, ahead=epoch))


def _done(node: Node, event: HookDone, now: Ms, actions: list[NodeAction]) -> Node:
    """Handle the outcome of a hook: the resume goes on, a failure is told, the history says what it was."""
    words = f"{event.hook}: {event.result} in {event.took / 1000:.1f} s"
    words += f" ({event.detail})" if event.detail and event.result != "ok" else ""
    if event.result != "ok":
        actions.append(Warn("hook_failed", f"the hook {words}"))
    tenure = node.leadership.tenure
    if event.hook == "before_promote" and tenure is not None and tenure.epoch == event.epoch:
        node = _hold(node, 0, now, actions)
    hooked = node.hook_log
    if event.epoch != hooked.epoch:
        return node
    hooked = replace(hooked, text="; ".join(filter(None, (hooked.text, words)))[:TEXT])
    if hooked.record is not None:
        actions.append(RecordChange(event.epoch, hooked.record))
    return replace(node, hook_log=hooked)


def _record(node: Node, actions: list[NodeAction]) -> Node:
    """Have each record of the change say what became of its hooks, and remember it for the next outcome."""
    hooked = node.hook_log
    for place, action in enumerate(actions):
        if isinstance(action, RecordChange) and action.epoch == hooked.epoch:
            fields: Fields = {**action.fields, "hooks": hooked.text} if hooked.text else action.fields
            hooked = replace(hooked, record=action.fields)
            actions[place] = RecordChange(action.epoch, fields)
    return node if hooked is node.hook_log else replace(node, hook_log=hooked)
