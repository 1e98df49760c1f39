"""The searches by name: which worlds, which faults, how many. Nothing is searched here."""

from __future__ import annotations

from dataclasses import replace

from agent.core.timing import Timing
from tests.proof.engine import Budget, Engine
from tests.proof.search import Found, search
from tests.support.host import Rules

TICKS = Timing(
    validity=10,
    renew=1,
    pause=1,
    block=1,
    kill=1,
    slack=1,
    request=2,
    nomination=5,
    rank_step=1,
    fair_chance=3,
    catch_up=1,
    election=1,
    lease_ttl=11,
)
"""The spans in ticks: E 10, A 3, R 1, so that a leader has seven ticks to confirm."""


def engine(
    budget: Budget,
    *,
    names: tuple[str, ...] = ("a", "b"),
    guard: bool = True,
    eager: bool = True,
    timing: dict[str, int] | None = None,
) -> Engine:
    """Return an engine over nodes that rank alike."""
    spans = replace(TICKS, **(timing or {}))
    return Engine(Rules(spans, dict.fromkeys(names, 0), guard=guard, eager=eager), budget)


def hunt(
    only: tuple[str, ...],
    total: int,
    *,
    calm: bool = True,
    guard: bool = True,
    eager: bool = True,
    timing: dict[str, int] | None = None,
    limit: int = 200_000,
) -> Found:
    """Search with a few kinds of faults alone."""
    found = engine(Budget(total, only=only), guard=guard, eager=eager, timing=timing)
    return search(found, limit, found.calm() if calm else found.ready())
