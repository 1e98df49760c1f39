"""Votes, and why a nodeos that should produce is paused: by hand, or by itself for want of votes. Pure.

Spring answers `paused` for both. It pauses itself when for 6 s (`production-pause-vote-timeout-ms`) blocks came, but no
vote for our own account, or none of anybody else; a vote ends that, and a resume only begins the time anew. So a resume
that is sent again and again runs the head away from the last irreversible block: what nodeos guards against.
"""

from __future__ import annotations

from dataclasses import dataclass

from agent.core.model.chain import ChainInfo
from agent.core.model.finality import Finality
from agent.core.model.store import Ms

LATE: Ms = 4500
"""A vote that is so much older than the head is missing: votes come into the next block or the one after it.

nodeos pauses itself when the head is some seven seconds beyond the last vote, so this is no pause by hand.
"""
RUN_AWAY = 8
"""The head is so many blocks beyond LIB at least when everybody's votes are missing; else it is three (Savanna)."""
OWN, OTHERS, BEHIND = "own votes", "votes of others", "not level"
"""Why nodeos pauses itself."""


@dataclass(frozen=True, slots=True)
class FinalityProbed:
    """nodeos was asked for finalizers and votes; `missing`: it knows no such question (before Spring)."""

    found: Finality | None
    error: str = ""
    missing: bool = False


def vote_ages(found: Finality, account: str, head_time: Ms) -> tuple[Ms | None, Ms | None]:
    """Return how much older than the head the last vote is, of an account and of all others; None: not in the policy.

    Where no vote is known at all the age is that of the whole chain.
    """
    mine = {each.key for each in (*found.active, *found.pending) if each.account == account}
    others = {each.key for each in (*found.active, *found.pending) if each.account != account}
    return _age(found, mine, head_time), _age(found, others, head_time)


def _age(found: Finality, keys: set[str], head_time: Ms) -> Ms | None:
    return head_time - max((at for key, at in found.voted.items() if key in keys), default=0) if keys else None


def missing_votes(found: Finality | None, account: str, info: ChainInfo | None) -> str:
    """Return whose votes are missing so that nodeos pauses itself: OWN, OTHERS, or nothing."""
    if found is None or not found.known or info is None:
        return ""
    mine, others = vote_ages(found, account, info.head_time)
    if others is not None and others > LATE and info.head_num - info.lib_num >= RUN_AWAY:
        return OTHERS
    return OWN if mine is not None and mine > LATE else ""
