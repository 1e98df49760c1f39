"""Who may lead next, and what stands against a node, as an operator's command judges it. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from agent.cli.look import Look
from agent.core.health.checks import NEAR
from agent.core.model.records import Member
from agent.errors import RefusedError
from agent.group.view import drain_reason

LAG = 3 * NEAR
"""Blocks behind the furthest head from which on a node counts as lagging: reports are up to 2 s (4 blocks) apart, and
health itself fails a node that is 3 s (6 blocks) behind."""


@dataclass(frozen=True, slots=True)
class Hindrance:
    """What stands against a node as the next leader; `risk` is what `force` takes on, empty: it cannot be forced."""

    why: str
    risk: str = ""


def hindrances(found: Look, to: str) -> list[Hindrance]:
    """Return what stands against `to` taking over."""
    view, node = found.view, next((each for each in found.view.members if each.node == to), None)
    named = ", ".join(sorted(each.node for each in view.members)) or "none"
    if node is None:
        return [Hindrance(f"{to} is not among the members ({named}): start its agent, or name another node")]
    against = []
    if not node.healthy:
        why = "; ".join(node.reasons) or f"its agent is {node.role or 'not ready'}"
        risk = f"{to} may miss slots, or not produce at all: then the group is without blocks until it hands back"
        against.append(Hindrance(f"{to} is unhealthy: {why}", risk))
    ahead = max((each.head for each in view.members), default=0) - node.head
    if ahead > LAG:
        risk = f"{to} misses slots until it has caught up, and may sign on an old head"
        against.append(Hindrance(f"{to} lags {ahead} blocks behind", risk))
    if to in view.drains or node.drained:
        why = drain_reason(view.drains[to]) if to in view.drains else "nofailover in its configuration"
        against.append(
            Hindrance(f"{to} is drained ({why})", f"somebody took {to} out on purpose, and may be at work on it")
        )
    if node.held_down_ms:
        risk = f"{to} failed again and again, and may do so once more"
        against.append(Hindrance(f"{to} is held down for {node.held_down_ms / 1000:.0f} s more", risk))
    return against


def best(found: Look, leader: str | None) -> str:
    """Return who should lead next, as the election would rank it; RefusedError when nobody may."""
    fit = [each for each in found.view.members if each.node != leader and not hindrances(found, each.node)]
    if not fit:
        rest = [each.node for each in found.view.members if each.node != leader]
        why = [each.why for node in rest for each in hindrances(found, node)] or ["there is no other member"]
        raise RefusedError(f"no node can take over: {'; '.join(why)}. Mend one, or name it with --to and --force")
    ahead = max(each.head for each in fit)
    return min(fit, key=lambda each: _order(each, ahead)).node


def _order(member: Member, ahead: int) -> tuple[int, int, str]:
    return (member.priority, max(0, ahead - member.head - NEAR), member.node)
