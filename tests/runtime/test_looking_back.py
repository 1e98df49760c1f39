"""What an agent finds out before its first act: whether its nodeos signs already, and how far back it knows (R18)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.model.chain import ChainInfo, Header, Producer, Schedule
from agent.core.model.slots import REPETITIONS, date, producer_index, slot_of
from agent.core.node.state import LookedBack
from agent.errors import NodeosTimeout
from agent.runtime.joining import ASK_S, BEHIND, FRESH, LOOK_S, JoiningFindings, JoiningLook
from tests.support.memory_store import MemoryEtcd, MemoryStore
from tests.support.moved_time import MovedTime
from tests.support.recorder import Recorder

OURS = "p2"
BEGIN = 100_000 * 4 * REPETITIONS
"""The slot of block 1: the begin of a round, whatever the schedule."""


class Telling(Recorder):
    """A nodeos with blocks."""

    blocks: Sequence[Header] = ()

    def block(self, num: int, _timeout_s: float) -> Header:
        """Return one."""
        return self.blocks[num - 1]


@dataclass
class Chain:
    """A chain of `producers`, all of whose slots have a block but those that are `missing`, counted from BEGIN."""

    producers: int
    slots: int
    missing: frozenset[int] = frozenset()
    paused: bool = False

    def __post_init__(self) -> None:
        self.names = [OURS] if self.producers == 1 else [f"p{n}" for n in range(self.producers)]
        made = (BEGIN + n for n in range(self.slots) if n not in self.missing or n == 0)
        self.blocks = [
            Header(num, f"{num:08x}", date(slot), self.names[producer_index(slot, self.producers)])
            for num, slot in enumerate(made, 1)
        ]

    def look(self, age_ms: int = 100, producer: str = OURS) -> JoiningFindings:
        """Look back at it, so long after its newest block."""
        head = self.blocks[-1]
        info = ChainInfo("c" * 64, "v4.1.0", head.num, head.id, head.time, head.producer, 1, None)
        schedule = Schedule(1, tuple(Producer(name, ()) for name in self.names))
        self.nodeos = Telling({"info": info, "schedule": schedule, "paused": self.paused})
        self.nodeos.blocks = self.blocks
        return looking(self.nodeos).back(producer, head.time + age_ms)


def looking(nodeos: Recorder) -> JoiningLook:
    """Return a look at a group that is not asked anything."""
    return JoiningLook(MemoryStore(MemoryEtcd(lambda: 0)), nodeos, None, "bp-a", lambda _: None)  # type: ignore[arg-type] # as far as asked


@given(
    st.sampled_from([1, 3, 4, 21]),
    st.integers(3 * 21 * REPETITIONS, 5 * 21 * REPETITIONS),
    st.frozensets(st.integers(1, 5 * 21 * REPETITIONS), max_size=60),
    st.integers(0, 80),
)
def test_the_newest_own_block_is_found_among_all_slots_that_were_looked_at(
    producers: int, slots: int, missing: frozenset[int], tail: int
) -> None:
    """R18: no block of ours after `since` is overlooked, and at least the newest window of ours was looked at."""
    chain = Chain(producers, slots, missing | frozenset(range(slots - 2 * tail, slots - tail)))
    past = chain.look().past
    assert past is not None
    mine = [block.time for block in chain.blocks if block.producer == OURS]
    assert past.own == max((time for time in mine if time >= past.since), default=0)
    newest = next(
        slot
        for slot in range(slot_of(chain.blocks[-1].time), 0, -1)
        if chain.names[producer_index(slot, producers)] == OURS
    )
    assert past.since <= date(newest)
    assert past.own or slot_of(past.since) <= newest - REPETITIONS, "an empty window may just begin: one more"


@pytest.mark.parametrize(
    ("producers", "paused", "age_ms", "claims"),
    [
        (1, False, FRESH - 1, True),
        (1, False, FRESH, False),
        (1, True, 100, False),
        (4, False, 10 * FRESH, True),
        (4, False, BEHIND, False),
        (4, True, 100, False),
    ],
)
def test_who_signs_already_claims_it(producers: int, paused: bool, age_ms: int, claims: bool) -> None:
    """R19: not paused, with a block in the newest window; alone in the schedule, that block is fresh, too."""
    assert Chain(producers, 200, paused=paused).look(age_ms).claims is claims


def test_a_window_without_a_block_is_no_claim() -> None:
    """R19: of four producers ours has signed nothing for two windows: nodeos does not sign, paused or not."""
    ours = frozenset(n for n in range(200) if producer_index(BEGIN + n, 4) == 2)
    found = Chain(4, 200, ours).look()
    assert not found.claims
    assert found.past is not None
    assert found.past.own == 0


def test_a_producer_that_is_not_scheduled_has_no_past() -> None:
    """Nothing can have been signed, and nothing more is asked."""
    chain = Chain(4, 200)
    assert chain.look(producer="nobody") == JoiningFindings()
    assert chain.nodeos.names == ["info", "schedule"]


def test_a_nodeos_that_is_silent_tells_nothing(moved: MovedTime) -> None:
    """R18: each question has ASK_S, all have LOOK_S together; what is not told in that time is not known."""
    nodeos = Recorder({"info": NodeosTimeout("silent")})
    assert looking(nodeos).back(OURS, 0) == JoiningFindings()
    slow = Recorder({"info": ChainInfo("c", "v", 9, "f", date(BEGIN), OURS, 1, None)}, moved, round(1000 * LOOK_S))
    assert looking(slow).back(OURS, 0) == JoiningFindings()
    assert (slow.names, slow.spans) == (["info"], [ASK_S])
    assert JoiningFindings() == JoiningFindings(claims=False, past=None)
    assert LookedBack(5).own == 0
