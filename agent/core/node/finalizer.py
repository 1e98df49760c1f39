"""The finalizer key (Savanna): the BLS key of the node that leads is made the active one of the account. Pure.

Each host votes with a key of its own, and one of them is active on chain. When the host with the active key is lost,
blocks get no more votes of ours, and nodeos pauses itself. So a leader whose key is not the active one has a command
run that makes it so (actfinkey, setfinalizer), again and again, until `get_finalizer_info` shows it. That begins when
nodeos has resumed, and runs beside everything: no resume, no pause and no release waits for it.
"""

from __future__ import annotations

from agent.core.leadership.actions import Warn
from agent.core.model.copying import replace
from agent.core.model.store import Ms
from agent.core.node.stage import NodeStep
from agent.core.node.state import FINALIZER, FinalityWatch, HookDone, Node, RunHook

FIRST: Ms = 3000
"""Until the command is run again: what was pushed is in a block within a second, and the policy pending."""
LONGEST: Ms = 60_000
"""The longest pause between two tries."""


def look(step: NodeStep) -> None:
    """Note which key is active, and ask for the command when it is due; say it when nodeos has paused itself."""
    event, node, now = step.event, step.node, step.now
    watch, state = node.finality, node.leadership
    if isinstance(event, HookDone) and event.hook == FINALIZER:
        watch = replace(watch, running=False, again=now + min(LONGEST, FIRST << max(0, watch.tries - 1)))
    if not state.leads or state.tenure is None:
        step.set(finality=FinalityWatch(running=watch.running, again=watch.again))
        _warn(step)
        return
    if watch.epoch != state.tenure.epoch:
        watch = FinalityWatch(state.tenure.epoch, running=watch.running)
    idle = _idle(node, watch, now)
    watch = replace(watch, idle=idle, tries=watch.tries if idle is not None else 0)
    if watch.excused and not step.before.finality.excused:
        step.do(Warn("check_fails", f"{watch.excused}; this node keeps the lead"))
    step.set(finality=watch)
    _run(step)


def _idle(node: Node, watch: FinalityWatch, now: Ms) -> Ms | None:
    """Return since when another key than ours is active; an account that is in no policy has no key to activate."""
    settings, found = node.settings.finalizer, node.health.finality
    active = found.active_key(settings.account) if found is not None else ""
    if not settings.key or not active or active == settings.key:
        return None
    return watch.idle if watch.idle is not None else now


def _run(step: NodeStep) -> None:
    node, watch = step.node, step.node.finality
    settings, found = node.settings.finalizer, node.health.finality
    if watch.idle is None or not settings.command or watch.running or step.now < watch.again or found is None:
        return
    if found.coming(settings.account, settings.key):
        return
    reason = f"{found.active_key(settings.account)} is the active key"
    step.do(RunHook(FINALIZER, watch.epoch, reason, "", node.leadership.identity.node, settings.within))
    step.set(finality=replace(watch, running=True, tries=watch.tries + 1))


def _warn(step: NodeStep) -> None:
    """Warn before work on a host that votes for a leader elsewhere: without its votes that leader is paused in 6 s."""
    settings, found, state = step.node.settings.finalizer, step.node.health.finality, step.node.leadership
    planned = state.seen.maintenance is not None or state.identity.node in step.node.reports.drains
    if planned and settings.key and found is not None and found.active_key(settings.account) == settings.key:
        text = "the active finalizer key is on this node, which does not lead: stopped, it would pause the leader"
        step.do(Warn("finalizer_key_here", f"{text}; make the leader's key the active one before"))


def wakes(node: Node, now: Ms) -> tuple[Ms, ...]:
    """Return when a command is due."""
    watch = node.finality
    return (watch.again,) if watch.idle is not None and watch.again > now else ()
