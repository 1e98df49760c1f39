"""What is shown of finality (Savanna): metrics, and the part of the status. Nothing is decided here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from agent.core.health.finality import BEHIND, OTHERS, OWN, vote_ages
from agent.core.node.state import Node
from agent.telemetry.families import Kit

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

REASONS = {"own_votes": OWN, "votes_of_others": OTHERS, "not_level": BEHIND}
"""Why nodeos pauses itself, as a label."""


class FinalityGauges(Kit):
    """Metrics of finality, from the loop's snapshot."""

    def of(self, node: Node) -> Iterator[Metric]:
        """Yield what is known; before Savanna that is only how far LIB lies behind."""
        found, info, settings = node.health.finality, node.health.info, node.settings.finalizer
        if info is not None:
            lag = max(0, info.head_num - info.lib_num)
            yield self._one("irreversible_lag_blocks", "Blocks between the last irreversible one and the head.", lag)
        why = {name: float(node.finality.cause == cause) for name, cause in REASONS.items()}
        yield self._by("self_paused", "1 while nodeos, which leads, has paused itself, by why.", "reason", why)
        if found is None or not found.known or info is None:
            return
        if settings.key:
            text = "1 while the BLS key of this node is its account's active one."
            yield self._one("finalizer_key_active", text, found.active_key(settings.account) == settings.key)
        own, others = _ages(node)
        votes = {name: age for name, age in {"own": own, "others": others}.items() if age is not None}
        text = "Seconds between the last block that was voted for and the head, for our account and all others."
        yield self._by("vote_age_seconds", text, "of", votes)


def _ages(node: Node) -> tuple[float | None, float | None]:
    """Return the ages of the last own and other vote in seconds, None where no vote is known."""
    found, info = node.health.finality, node.health.info
    if found is None or info is None:
        return None, None
    own, others = vote_ages(found, node.leadership.identity.producer, info.head_time)
    known = [age / 1000 if age is not None and age < info.head_time else None for age in (own, others)]
    return known[0], known[1]


def told(node: Node) -> dict[str, Any] | None:
    """Return the part of the status; None while nothing is known of finalizers."""
    found, info, settings = node.health.finality, node.health.info, node.settings.finalizer
    if found is None or not found.known or info is None:
        return None
    own, others = _ages(node)
    return {
        "active_key": found.active_key(settings.account),
        "our_key": settings.key,
        "own_vote_age_s": own,
        "others_vote_age_s": others,
        "lib_lag": info.head_num - info.lib_num,
        "self_paused": node.finality.excused,
    }
