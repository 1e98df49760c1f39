"""The simulated Spring: votes, the pause for want of them, turns that run ahead, and a main thread that is busy."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from agent.core.model.slots import EPOCH, SLOT
from agent.nodeos.client import HttpNodeos
from tests.lab import simulated_finality as finality
from tests.lab.simulated_chain import SimulatedChain
from tests.lab.simulated_finality import Finalizer
from tests.lab.simulated_nodeos import SimulatedNodeos
from tests.lab.simulated_producer import Savanna
from tests.lab.simulated_votes import VoteTracker
from tests.lab.wait import until

LIMIT_S = 5.0
SHORT_MS = 1500
"""A vote time-out that a test has time for; nodeos has 6 s."""
OURS, OTHERS = "eosio", "other"


@pytest.fixture
def chain(tmp_path: Path) -> Iterator[SimulatedChain]:
    """Yield a chain whose finalizers are ours, with the key A, and three others; any three of four are enough."""
    chain = SimulatedChain(tmp_path / "chain.sqlite")
    finality.propose(chain, Finalizer(OURS, "PUB_BLS_A"), *(Finalizer(each, f"PUB_BLS_{each}") for each in "cde"))
    yield chain
    chain.close()


@pytest.fixture
def spring(chain: SimulatedChain) -> Iterator[Callable[..., SimulatedNodeos]]:
    """Yield a maker of nodes that are started; they end with the test."""
    with ExitStack() as closing:

        def make(name: str, key: str = "", *, producer: str | None = None, **more: object) -> SimulatedNodeos:
            savanna = Savanna((key,) if key else (), SHORT_MS, int(str(more.pop("offset", 0))))
            node = SimulatedNodeos(chain, name, producer, shape="spring-1.3", savanna=savanna, **more)  # type: ignore[arg-type] # its own
            node.start()
            closing.callback(node.close)
            return node

        yield make


def the_others(spring: Callable[..., SimulatedNodeos]) -> None:
    """Start the other finalizers."""
    for each in "cde":
        spring(each, f"PUB_BLS_{each}")


def test_votes_make_blocks_irreversible(chain: SimulatedChain, spring: Callable[..., SimulatedNodeos]) -> None:
    """With all votes LIB follows the head by a few blocks."""
    the_others(spring)
    node = spring("bp-a", "PUB_BLS_A", producer=OURS, paused=False)
    until(
        lambda: chain.head().num - chain.irreversible().num <= 4 and chain.head().num > 8, 10.0, "a LIB near the head"
    )
    found = HttpNodeos(node.url).info(LIMIT_S)
    assert 0 < found.head_num - found.lib_num <= 5


def test_a_producer_whose_key_does_not_vote_pauses_itself(
    chain: SimulatedChain, spring: Callable[..., SimulatedNodeos]
) -> None:
    """It signs until the time-out, then `paused` is true though nobody paused it; its own key made active mends it."""
    the_others(spring)
    node = spring("bp-b", "PUB_BLS_B", producer=OURS, paused=False)
    nodeos = HttpNodeos(node.url)
    until(lambda: nodeos.paused(LIMIT_S), 10.0, "the pause by votes")
    assert node.blocks.explicitly_paused is False
    quiet = chain.head().num
    time.sleep(0.8)
    assert chain.head().num - quiet <= 1
    nodeos.resume(LIMIT_S)
    assert nodeos.paused(LIMIT_S) is False, "a resume begins the time-out anew"
    finality.activate(chain, OURS, "PUB_BLS_B")
    until(lambda: (finality.policies(chain)[0] or _none()).finalizers[0].public_key == "PUB_BLS_B", 10.0, "the policy")
    time.sleep(2 * SHORT_MS / 1000)
    assert nodeos.paused(LIMIT_S) is False


def _none() -> finality.Policy:
    return finality.Policy(0, 0, (Finalizer("", ""),))


def test_a_node_that_is_behind_is_paused_at_once(spring: Callable[..., SimulatedNodeos]) -> None:
    """A resume before it is level does not last; one more once it is does."""
    the_others(spring)
    node = spring("bp-a", "PUB_BLS_A", producer=OURS, paused=True)
    node.blocks.behind(4.0)
    nodeos = HttpNodeos(node.url)
    nodeos.resume(LIMIT_S)
    until(lambda: nodeos.paused(LIMIT_S), 3.0, "the pause of a node that is behind")
    until(lambda: _resumed(nodeos), 15.0, "a resume that lasts")


def _resumed(nodeos: HttpNodeos) -> bool:
    nodeos.resume(LIMIT_S)
    return not nodeos.paused(LIMIT_S)


def test_a_busy_main_thread_answers_get_info_alone(spring: Callable[..., SimulatedNodeos]) -> None:
    """While it works on something long, get_info answers, and `paused` only after it."""
    node = spring("bp-a", "PUB_BLS_A", producer=OURS)
    nodeos = HttpNodeos(node.url)
    node.blocks.busy(1.0)
    begun = time.monotonic()
    assert nodeos.info(LIMIT_S).head_num >= 1
    assert time.monotonic() - begun < 0.9
    nodeos.paused(LIMIT_S)
    assert time.monotonic() - begun >= 0.9


def test_pause_at_block_stops_the_node_and_stays_unpaused(
    chain: SimulatedChain, spring: Callable[..., SimulatedNodeos]
) -> None:
    """Nothing is signed nor taken after the block, `paused` is false; a resume ends it."""
    the_others(spring)
    node = spring("bp-a", "PUB_BLS_A", producer=OURS, paused=False)
    until(lambda: chain.head().num > 2, 5.0, "blocks")
    last = chain.head().num + 2
    node.blocks.pause_at(last)
    until(lambda: chain.head().num >= last, 5.0, "the block")
    time.sleep(0.7)
    nodeos = HttpNodeos(node.url)
    assert (chain.head().num, nodeos.info(LIMIT_S).head_num, nodeos.paused(LIMIT_S)) == (last, last, False)
    nodeos.resume(LIMIT_S)
    until(lambda: chain.head().num > last, 5.0, "a block after the resume")


def test_a_turn_runs_ahead_by_its_offset() -> None:
    """The 12 blocks of a turn follow each other faster, the last is signed so much ahead; the first opens as ever."""
    rhythm = Savanna(offset=1200)
    first = 12 * 1000
    assert rhythm.begins(first) == EPOCH + (first - 1) * SLOT
    assert rhythm.ends(first + 11) == EPOCH + (first + 11) * SLOT - 1200
    for slot in range(first, first + 11):
        assert rhythm.ends(slot) == rhythm.begins(slot + 1)
    assert rhythm.slot(rhythm.begins(first) - 1) == first


def test_the_vote_timeout_begins_with_the_first_block_after_the_last_vote() -> None:
    """Spring's rule: blocks within a second of a vote do not count, a vote ends the pause, a time-out of 0 is none."""
    policy, ours = {"A": OURS, "C": OTHERS}, VoteTracker(OURS, 6000)
    ours.look(policy, {"A": 100_000, "C": 100_000}, 100_500)
    assert not ours.paused(200_000), "no block after the votes"
    ours.look(policy, {"A": 100_000, "C": 103_000}, 103_000)
    assert not ours.paused(109_000)
    assert ours.paused(109_001)
    ours.look(policy, {"A": 108_000, "C": 108_000}, None)
    assert not ours.paused(120_000)
    assert not VoteTracker(None, 6000).paused(10**9)
