"""What is shown of finality (Savanna), in metrics and on the status page. Nothing is decided here."""

from __future__ import annotations

from typing import Any

from agent.core.health.finality import BEHIND, OTHERS, OWN, vote_ages
from agent.core.node.state import Node

REASONS = {"own_votes": OWN, "votes_of_others": OTHERS, "not_level": BEHIND}
"""Why nodeos pauses itself, as a label."""


def vote_ages_s(node: Node) -> tuple[float | None, float | None]:
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
    own, others = vote_ages_s(node)
    return {
        "active_key": found.active_key(settings.account),
        "our_key": settings.key,
        "own_vote_age_s": own,
        "others_vote_age_s": others,
        "lib_lag": info.head_num - info.lib_num,
        "self_paused": node.finality.excused,
    }
