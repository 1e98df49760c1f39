"""Reading get_finalizer_info: what is right, what is none, and texts of strangers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agent.core.model.finality import Finality, Finalizer
from agent.errors import NodeosAnswer
from agent.net.http import Answer
from agent.nodeos.finality import LONGEST, MOST, read_finality

AT = "2026-11-23T10:29:05.500"
POLICY = {"finalizers": [{"description": "eosio", "public_key": "PUB_BLS_a"}]}
VOTE = {"public_key": "PUB_BLS_a", "voted_for_block_timestamp": AT}


def read(active: Any = None, pending: Any = None, votes: Any = ()) -> Finality:
    """Read an answer."""
    value = {"active_finalizer_policy": active, "pending_finalizer_policy": pending, "last_tracked_votes": list(votes)}
    return read_finality(Answer(200, {}, json.dumps(value).encode()))


def test_policies_and_votes() -> None:
    """Keys by account, and the date of the block that each voted for; before Savanna there is nothing."""
    assert read() == Finality()
    found = read(POLICY, POLICY, [VOTE])
    assert (found.active, found.pending) == ((Finalizer("eosio", "PUB_BLS_a"),),) * 2
    assert found.last_vote("eosio") == 1_795_429_745_500
    assert found.last_other_vote("eosio") == 0


@pytest.mark.parametrize("bad", [{}, [], "x", {"finalizers": 1}, {"finalizers": [{}]}, {"finalizers": ["x"]}])
def test_what_is_no_policy_is_refused(bad: Any) -> None:
    """An answer in another form is no answer."""
    with pytest.raises(NodeosAnswer):
        read(bad)


@pytest.mark.parametrize("bad", [{}, 1, {**VOTE, "public_key": 7}, {**VOTE, "voted_for_block_timestamp": "soon"}])
def test_what_is_no_vote_is_refused(bad: Any) -> None:
    """The same of votes."""
    with pytest.raises(NodeosAnswer):
        read(POLICY, None, [bad])


def test_texts_of_strangers_are_bounded() -> None:
    """Anybody may register a key: neither long texts nor control characters get to people, nor endless lists."""
    odd = {"description": "\x1b[2J" + "x" * 9999, "public_key": "PUB_BLS_" + "y" * 9999}
    found = read({"finalizers": [odd] * 1000}, None, [VOTE] * 1000)
    assert len(found.active) == MOST
    assert len(found.active[0].account) == len(found.active[0].key) == LONGEST
    assert found.active[0].account.isprintable()
