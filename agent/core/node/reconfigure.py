"""Taking settings that may change while the agent runs. Nothing that safety rests on is among them.

Who holds the lead goes on holding it: the tenure, the phase and what is known of nodeos are left alone, and a check
that was not made before is not held against anybody until it has been made.
"""

from __future__ import annotations

from agent.core.health import checks
from agent.core.health.hysteresis import CheckState
from agent.core.leadership.timing import Timing
from agent.core.model.copying import replace
from agent.core.node.state import Node, Reconfigured

LIVE = ("rank_step", "nomination", "fair_chance", "catch_up", "election")
"""The spans that no promise rests on: they only order who campaigns when. `election` is but compared with others."""


class FixedSpanError(ValueError):
    """A span that cannot change while the agent runs."""


def reconfigured(node: Node, event: Reconfigured) -> Node:
    """Return the node under its new settings; FixedSpanError when another span would change."""
    identity = node.leadership.identity
    if with_live(identity.timing, event.timing) != event.timing:
        raise FixedSpanError("a span that a confirmation was promised with cannot change while the agent runs (R1)")
    state = replace(node.leadership, identity=replace(identity, timing=event.timing))
    return replace(node, settings=event.settings, leadership=state, health=_under(node.health, event.settings.limits))


def with_live(old: Timing, new: Timing) -> Timing:
    """Return `old` with the spans of `new` that may change at run time."""
    return replace(old, **{name: getattr(new, name) for name in LIVE})


def _under(found: checks.Health, limits: checks.Limits) -> checks.Health:
    """Keep what is known of each check that is still made; a new one passes until it was made."""
    new = CheckState(ok=True, reason="not checked yet")
    return replace(found, checks={name: found.checks.get(name, new) for name in limits.thresholds})
