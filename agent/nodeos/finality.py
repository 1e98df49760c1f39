"""Reading `get_finalizer_info`, strictly. Bytes in, data or NodeosAnswer out."""

from __future__ import annotations

from typing import Any

from agent.core.model.finality import Finality, Finalizer
from agent.net.http import Answer
from agent.nodeos.answers import a_field, a_time, parsed

MOST = 256
"""Finalizers of a policy, and votes, that are read: a chain has some twenty to a hundred."""


def read_finality(answer: Answer) -> Finality:
    """Read the policies and the last votes; before Savanna both policies are null."""
    value = parsed(answer)
    votes = a_field(value, "last_tracked_votes", list)[:MOST]
    voted = {
        a_field(each, "public_key", str): a_time(a_field(each, "voted_for_block_timestamp", str)) for each in votes
    }
    return Finality(_policy(value, "active_finalizer_policy"), _policy(value, "pending_finalizer_policy"), voted)


def _policy(value: Any, name: str) -> tuple[Finalizer, ...]:
    if value.get(name) is None:
        return ()
    found = a_field(a_field(value, name, dict), "finalizers", list)[:MOST]
    return tuple(Finalizer(a_field(each, "description", str), a_field(each, "public_key", str)) for each in found)
