"""Reading `get_finalizer_info`, strictly. Bytes in, data or NodeosAnswer out."""

from __future__ import annotations

from typing import Any

from agent.core.model.fields import shown
from agent.core.model.finality import Finality, Finalizer
from agent.net.http import Answer
from agent.nodeos.answers import a_field, a_time, parsed

MOST = 256
"""Finalizers of a policy, and votes, that are read: a chain has some twenty to a hundred."""
LONGEST = 250
"""Characters of a key or a description that are kept: anybody may register one, and people are shown them."""


def read_finality(answer: Answer) -> Finality:
    """Read the policies and the last votes; before Savanna both policies are null."""
    value = parsed(answer)
    votes = a_field(value, "last_tracked_votes", list)[:MOST]
    voted = {_text(each, "public_key"): a_time(a_field(each, "voted_for_block_timestamp", str)) for each in votes}
    return Finality(_policy(value, "active_finalizer_policy"), _policy(value, "pending_finalizer_policy"), voted)


def _policy(value: Any, name: str) -> tuple[Finalizer, ...]:
    if value.get(name) is None:
        return ()
    found = a_field(a_field(value, name, dict), "finalizers", list)[:MOST]
    return tuple(Finalizer(_text(each, "description"), _text(each, "public_key")) for each in found)


def _text(value: Any, name: str) -> str:
    return shown(a_field(value, name, str), LONGEST)
