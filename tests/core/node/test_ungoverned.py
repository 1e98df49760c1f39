"""What our own chain says of a release that stood there at first sight (R20)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.core.blocks.schedule import date
from agent.core.leadership.state import State, StoreView
from agent.core.model.chain import Block
from agent.core.model.records import Heartbeat, HeartbeatKey
from agent.core.node import step as core
from agent.core.node.state import LiveSettings, LookedBack, Node
from agent.core.node.ungoverned import ARRIVES, newer
from tests.core.parts import LIMITS, PRODUCER, SCHEDULE, SETUP, info

ROUND = 24
"""Slots of the schedule: 12 of another producer, then 12 of ours."""
LAST = 1000 * ROUND + 15
"""The slot of the last block that the release names, in our window: 8 more of ours come after it."""


def node(head: int, *, own: int = LAST, num: int | None = LAST, after: int = ARRIVES, looked: bool = True) -> Node:
    """Return an agent that has just seen a release, its chain at the slot `head`, asked `after` ms after that.

    The numbers of blocks are those of their slots. `own`: the newest slot with a block of ours before it started.
    """
    block = Block(num, "id", date(num), PRODUCER) if num is not None else None
    record = Heartbeat(3, "bp-b", "other", 7, 6000, True, block, "shutdown")
    seen = StoreView(5, 5, heartbeat=HeartbeatKey(record, 5), at_first=True)
    found = core.begin(LiveSettings("lab", LIMITS), State(SETUP, seen=seen))
    chain = replace(info(head), head_time=date(head))
    health = replace(found.health, info=chain, info_wall=date(head) + after, schedule=SCHEDULE)
    past = LookedBack(date(LAST - 3), date(own) if own else 0) if looked else None
    return replace(found, health=health, past=past)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (node(LAST + 1), False),
        (node(LAST + 1, after=ARRIVES - 1), True),
        (node(LAST + 8, own=LAST + 2), True),
        (node(LAST - 1, own=LAST - 1, after=5 * ARRIVES), True),
        (node(LAST + 8, looked=False), True),
        (node(LAST + 8 + 2 * ROUND, own=0, num=None), False),
        (node(LAST + 8, num=None), True),
        (node(LAST + 8, own=0, num=LAST + 8, after=2 * ARRIVES), True),
        (node(LAST + 8 + ROUND, own=LAST + 8, num=LAST + 8, after=2 * ARRIVES), False),
    ],
    ids=[
        "a slot of ours has passed without a block",
        "its block may be on the way",
        "a block of ours came after it",
        "our chain has not got so far",
        "nobody looked what came before",
        "it names no block, and nobody signed",
        "it names no block, and one of ours is there",
        "we had no slot since",
        "we had one in the next round",
    ],
)
def test_a_release_is_believed_when_our_chain_bears_it_out(found: Node, expected: bool) -> None:
    """P1, R20: only a slot of ours that passed without a block shows that nobody has signed since."""
    assert newer(found) is expected


def test_before_anything_is_known_and_without_a_place_in_the_schedule() -> None:
    """R20: what is not known is no sign; for a producer that is not scheduled nobody signs (P2)."""
    known = node(LAST + 1)
    assert newer(replace(known, health=replace(known.health, info=None)))
    assert newer(replace(known, health=replace(known.health, schedule=None)))
    assert not newer(replace(known, health=replace(known.health, schedule=replace(SCHEDULE, producers=()))))
