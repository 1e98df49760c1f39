"""What our own chain says of who signs: beside an absent heartbeat (R18), or a release at first sight (R20)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.core.blocks import follow
from agent.core.leadership.events import Tick
from agent.core.leadership.state import Phase, State, StoreView
from agent.core.leadership.support import Pledge
from agent.core.leadership.timing import PeersMode
from agent.core.model.chain import Block, ChainInfo, Schedule
from agent.core.model.records import Heartbeat, HeartbeatKey
from agent.core.model.slots import SLOT, date
from agent.core.node import step as core
from agent.core.node.stage import NodeStep
from agent.core.node.state import LiveSettings, LookedBack, Node
from agent.core.node.ungoverned import ARRIVES, LEVEL, newer, tell, waits_for, waits_long
from tests.core.parts import CHAIN, LIMITS, PRODUCER, SCHEDULE, SETUP, info
from tests.simulation.story import ALONE, FOUR, Host, Story

ROUND = 24
"""Slots of the schedule: 12 of another producer, then 12 of ours."""
LAST = 1000 * ROUND + 15
"""The slot of the last block that the release names, in our window: 8 more of ours come after it."""


def node(
    head: int,
    *,
    own: int = LAST,
    num: int | None = LAST,
    after: int = ARRIVES,
    looked: bool = True,
    moved: int | None = None,
) -> Node:
    """Return an agent that has just seen a release, its chain at the slot `head`, asked `after` ms after that.

    The numbers of blocks are those of their slots. `own`: the newest slot with a block of ours before it started.
    `moved`: how long (ms) before it was asked the head moved, where not with its date.
    """
    block = Block(num, "id", date(num), PRODUCER) if num is not None else None
    record = Heartbeat(3, "bp-b", "other", 7, 6000, True, block, "shutdown")
    seen = StoreView(5, 5, heartbeat=HeartbeatKey(record, 5), at_first=True)
    found = core.begin(LiveSettings("lab", LIMITS), State(SETUP, seen=seen))
    chain = replace(info(head), head_time=date(head))
    at = 100 * ROUND * SLOT
    head_at = at - (after if moved is None else moved)
    health = replace(found.health, info=chain, info_at=at, info_wall=date(head) + after, head_at=head_at)
    health = replace(health, schedule=SCHEDULE, schedule_head=date(head))
    past = LookedBack(date(LAST - 3), date(own) if own else 0) if looked else None
    following = follow.head_seen(found.watch.chain, chain, None)
    return replace(found, health=health, past=past, watch=replace(found.watch, chain=following))


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
        (node(LAST, after=10 * ROUND * SLOT, moved=LEVEL), True),
        (node(LAST, after=10 * ROUND * SLOT, moved=LEVEL + 2 * ARRIVES), False),
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
        "our chain is behind, and may get newer ones",
        "our chain stands still",
    ],
)
def test_a_release_is_believed_when_our_chain_bears_it_out(found: Node, expected: bool) -> None:
    """P1, R20: only a slot of ours that passed without a block shows that nobody has signed since."""
    assert newer(found) is expected


def test_before_anything_is_known_and_without_a_place_in_the_schedule() -> None:
    """R20: what is not known is no sign; for a producer that is not scheduled nobody signs, once it is level (P2)."""
    known = node(LAST + 1)
    assert newer(replace(known, health=replace(known.health, info=None)))
    assert newer(replace(known, health=replace(known.health, schedule=None)))
    nobody = replace(SCHEDULE, producers=())
    assert not newer(replace(known, health=replace(known.health, schedule=nobody)))
    catching_up = replace(known.health, schedule=nobody, info_wall=known.health.info_wall + LEVEL + 1)
    assert newer(replace(known, health=catching_up))
    assert newer(replace(known, health=replace(known.health, schedule=nobody, schedule_head=date(LAST) - 7000)))


class CatchingUp:
    """A nodeos that was started from a snapshot: it takes so many of the chain's blocks each half second."""

    def __init__(self, host: Host, speed: int) -> None:
        self._story, self._nodeos, self._speed = host.story, host.nodeos, speed
        self._nodeos.unreached = True
        self._story.every(SLOT, self._more)

    @property
    def past(self) -> LookedBack:
        """What the agent finds when it looks back: the chain up to its own head."""
        head = self._nodeos.head
        blocks = [block for num, block in self._story.blocks.items() if num <= head.head_num]
        own = max((block.time for block in blocks if block.producer == PRODUCER), default=0)
        return LookedBack(head.head_time - ROUND * SLOT, own, head)

    def _more(self) -> None:
        story, nodeos = self._story, self._nodeos
        num = min(story.head.head_num, nodeos.head.head_num + self._speed)
        nodeos.unreached = num < story.head.head_num
        if nodeos.unreached:
            block = story.blocks[num]
            header = (block.id, block.time, block.producer)
            nodeos.head = ChainInfo(CHAIN, "v4.1.0", num, *header, num - 2, None)


@pytest.mark.parametrize(
    ("turns", "after"),
    [(None, 90), (FOUR, 90), (FOUR, 99), (FOUR, 105)],
    ids=["alone", "in it", "after it", "before it"],
)
@pytest.mark.parametrize("speed", [5, 20, 50, 200])
def test_a_chain_that_is_behind_tells_of_nobody_that_does_not_sign(
    turns: Schedule | None, after: int, speed: int
) -> None:
    """P1, R18: a nodeos without an agent signs; ours catches up, past blocks that nobody reads. Then P2."""
    story = Story("bp-a", turns=turns)
    (host,) = story.hosts
    story.rogue = host.nodeos.unreached = True
    story.go(after)
    host.start(CatchingUp(host, speed).past)
    for _ in range(160):
        story.go(0.5)
        assert not host.leads
    assert not host.nodeos.unreached
    assert any("its chain is behind" in member.plan for _, member in host.published())
    story.rogue = False
    story.until(lambda: host.leads, 60.0)


WITHOUT_US = replace(FOUR, producers=tuple(each for each in FOUR.producers if each.name != PRODUCER))


@pytest.mark.parametrize("turns", [None, FOUR], ids=["alone", "one of four"])
@pytest.mark.parametrize("before", [WITHOUT_US, ALONE], ids=["voted in since", "alone before"])
@pytest.mark.parametrize("speed", [5, 20, 200])
def test_a_schedule_counts_only_for_the_head_that_it_is_of(
    turns: Schedule | None, before: Schedule, speed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P1, R18: a nodeos that catches up tells a schedule of days ago, in which we had other turns or none."""
    story = Story("bp-a", turns=turns)
    (host,) = story.hosts
    nodeos, now = host.nodeos, host.nodeos.schedule
    monkeypatch.setattr(nodeos, "schedule", lambda within: before if nodeos.unreached else now(within))
    story.rogue = nodeos.unreached = True
    story.go(90)
    host.start(CatchingUp(host, speed).past)
    for _ in range(160):
        story.go(0.5)
        assert not host.leads
    assert not nodeos.unreached
    story.rogue = False
    story.until(lambda: host.leads, 60.0)


@pytest.mark.parametrize("turns", [None, FOUR], ids=["alone", "one of four"])
def test_a_chain_that_stands_still_waits_for_nobody(turns: Schedule | None) -> None:
    """P2, R18: where nobody signs at all, our producer does after one own window."""
    story = Story("bp-a", turns=turns)
    (host,) = story.hosts
    story.stalled = host.nodeos.unreached = True
    story.go(60)
    host.start()
    story.until(lambda: host.leads, 8.0 if turns is None else 34.0)


def test_what_is_waited_for_is_told_in_the_same_words_for_each_block() -> None:
    """R18: a second producer makes two blocks a second; other words each time would be logged each time."""
    found = node(LAST + 1, own=LAST + 1, num=None)
    state = replace(found.leadership, phase=Phase.STANDBY, seen=StoreView(5, 5), clear_at=10**9)
    at = found.health.info_at
    waiting = replace(found, leadership=state, store_since=at - 60_000)
    later = replace(waiting, past=LookedBack(date(LAST - 3), date(LAST + 5)))
    assert waits_for(waiting, at)
    assert waits_for(waiting, at) == waits_for(later, at + 4 * SLOT)


@pytest.mark.parametrize(
    ("released", "since", "barred", "told"),
    [
        (True, 1000, 0, "it has not seen the heartbeat change"),
        (False, 20_000, 0, "it has not seen the heartbeat change"),
        (False, 1000, 0, ""),
        (False, 1000, 9000, ""),
        (None, 1000, 9000, "its etcd lost its data"),
        (None, 1000, 0, ""),
    ],
    ids=["a release", "stands still", "may live", "lives in the new store", "a new store", "nobody ever led"],
)
def test_a_wait_by_time_alone_is_told_until_it_ends(released: bool | None, since: int, barred: int, told: str) -> None:
    """R20: a standby says that a forgotten confirmation may count, until when, and nothing while a leader may live."""
    found = node(LAST + 1)
    at = found.health.info_at
    record = None if released is None else Heartbeat(3, "bp-b", "other", 7, 2000, released)
    key = HeartbeatKey(record, 5) if record else None
    seen = StoreView(
        5, 5, heartbeat=key, heartbeat_since=at - since, at_first=True, barred_until=barred and at + barred
    )
    timing = replace(SETUP.timing, peers=PeersMode.LEASE)
    state = State(replace(SETUP, timing=timing), phase=Phase.STANDBY, seen=seen)
    waiting = replace(found, leadership=state, store_since=at - since)
    text, left = waits_long(waiting, at)
    assert text.startswith(told)
    assert bool(text) is bool(told)
    free = state.free_by_store()
    assert free is not None
    assert left == (free - at if told else 0)
    step = NodeStep(waiting, Tick(), at)
    tell(step)
    assert (text in step.node.assessment.answer) or not text


def test_a_leader_that_beats_is_not_waited_out() -> None:
    """R14, R20: while etcd is away its heartbeat stands still, and our promise holds: nothing is told of the store."""
    at = node(LAST + 1).health.info_at
    held = HeartbeatKey(Heartbeat(3, "bp-b", "other", 7, 2000), 5)
    seen = StoreView(5, 5, heartbeat=held, heartbeat_since=at - 20_000, at_first=True)
    setup = replace(SETUP, timing=replace(SETUP.timing, peers=PeersMode.LEASE))
    state = State(setup, phase=Phase.STANDBY, seen=seen, pledge=Pledge(until=at + 1900, heard=at - 100))
    assert waits_long(replace(node(LAST + 1), leadership=state), at) == ("", 0)
    assert waits_long(replace(node(LAST + 1), leadership=state), at + 1900)[0]
