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

from collections.abc import Iterator

from agent.core.leadership.actions import Announce, Warn
from agent.core.leadership.events import DelayResume
from agent.core.leadership.state import Phase
from agent.core.leadership.transitions import BEGINS
from agent.core.model.copying import replace
from agent.core.node.stage import NodeStep
from agent.core.node.state import HookDone, HookLog, RunHook

TEXT = 900
"""Characters that are kept of what became of the hooks of one change."""
_NEVER_LED = ("elected_late", "late_answer")


def hook(step: NodeStep) -> Iterator[DelayResume]:
    """Ask for the hooks that are due, and note what became of those before; yield until when a resume waits for one."""
    for action in tuple(step.heard):
        if isinstance(action, Announce):
            yield from _announced(step, action)
    if isinstance(step.event, HookDone):
        yield from _done(step, step.event)
    _ahead(step)


def _run(step: NodeStep, name: str, epoch: int, reason: str, *, demote: bool = False, to: str = "") -> bool:
    """Ask for a hook; False when there is none. `to`: who is to lead after a demotion, if the tenure does not say."""
    node = step.node
    if name not in node.settings.hooks:
        return False
    state, tenure = node.leadership, node.leadership.tenure
    me = state.identity.node
    to = to or (tenure.hand_to if tenure else None) or ""
    before = tenure.before if tenure else ""
    who, whom = (me, to) if demote else (before, me)
    step.do(RunHook(name, epoch, reason, who, whom, node.settings.hook_ms))
    return True


def _announced(step: NodeStep, action: Announce) -> Iterator[DelayResume]:
    epoch, log, tenure = action.epoch, step.node.hook_log, step.node.leadership.tenure
    if action.key == "elected":
        step.set(hook_log=HookLog(epoch))
        if _run(step, "before_promote", epoch, tenure.origin if tenure else action.reason):
            yield DelayResume(step.now + step.node.settings.hook_ms)
    elif action.key in BEGINS:
        _run(step, "after_promote", epoch, tenure.origin if tenure else action.reason)
    elif action.target == Phase.STOPPING.value and action.key not in _NEVER_LED:
        if log.ahead != epoch:
            _run(step, "before_demote", epoch, action.reason, demote=True)
        step.set(hook_log=replace(log, stopping=epoch))
    elif action.key == "proven" and log.stopping == epoch:
        _run(step, "after_demote", epoch, action.reason, demote=True)


def _ahead(step: NodeStep) -> None:
    """Run before_demote ahead of a planned handover, and take it back when the plan is."""
    state, plan, log = step.node.leadership, step.node.assessment.plan, step.node.hook_log
    if not state.leads or state.tenure is None:
        return
    epoch = state.tenure.epoch
    if plan is None and log.ahead == epoch:
        _run(step, "after_promote", epoch, "the planned handover was taken back")
        step.set(hook_log=replace(log, ahead=0))
    near = plan is not None and plan.at - step.node.settings.hook_ms <= step.now < plan.at
    if plan is None or not near or log.ahead == epoch:
        return
    if _run(step, "before_demote", epoch, plan.why or plan.text, demote=True, to=plan.to):
        step.set(hook_log=replace(log, ahead=epoch))


def _done(step: NodeStep, event: HookDone) -> Iterator[DelayResume]:
    """Handle the outcome of a hook: the resume goes on, a failure is told, the history says what it was."""
    words = f"{event.hook}: {event.result} in {event.took / 1000:.1f} s"
    words += f" ({event.detail})" if event.detail and event.result != "ok" else ""
    if event.result != "ok":
        step.do(Warn("hook_failed", f"the hook {words}"))
    tenure, log = step.node.leadership.tenure, step.node.hook_log
    if event.epoch == log.epoch:
        step.set(hook_log=replace(log, text="; ".join(filter(None, (log.text, words)))[:TEXT]))
        if log.record is not None:
            step.record(event.epoch, log.record)
    if event.hook == "before_promote" and tenure is not None and tenure.epoch == event.epoch:
        yield DelayResume(0)
