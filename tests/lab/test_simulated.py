"""The simulated nodeos has the timing of a real one where it matters, and hides no double signature."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from agent.core.model.slots import slot_of
from tests.lab import evidence
from tests.lab.nodeos import Node, NodeSpec
from tests.lab.ports import Ports
from tests.lab.simulated_chain import SimulatedChain
from tests.lab.simulated_nodeos import SimulatedNodeos
from tests.lab.simulated_producer import wall_ms
from tests.lab.wait import until

FLIGHT_S = 0.5  # how long the block in flight may take after a pause (R4)


class Bench:
    """Simulated nodes on one chain."""

    def __init__(self, root: Path, closing: ExitStack) -> None:
        self.root = root
        self.file = root / "chain.sqlite"
        self.chain = SimulatedChain(self.file)
        self.ports = Ports()
        self._closing = closing
        closing.callback(self.chain.close)
        closing.callback(self.ports.close)

    def here(self, name: str, *, paused: bool = True, stale: bool = True) -> SimulatedNodeos:
        """Start one in this process."""
        node = SimulatedNodeos(self.chain, name, paused=paused, stale=stale)
        node.start()
        self._closing.callback(node.close)
        return node

    def child(self, name: str) -> Node:
        """Return one that will be a process of its own."""
        spec = NodeSpec(name, self.ports.take(), self.ports.take(), ("eosio",))
        node = Node(spec, self.root / name, None, self.file)
        self._closing.callback(node.close)
        return node

    def wait_blocks(self, count: int) -> None:
        """Wait until so many blocks were signed, from now on."""
        goal = len(self.chain.signatures()) + count
        until(lambda: len(self.chain.signatures()) >= goal, 10.0, f"{count} more blocks")


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """Yield a bench; all its nodes end with the test."""
    with ExitStack() as closing:
        yield Bench(tmp_path, closing)


def test_two_that_are_active_show(bench: Bench) -> None:
    """Two nodes that produce at once sign the same slots with different blocks, and one of each is canonical (P1)."""
    first, second = bench.here("a"), bench.here("b")
    bench.wait_blocks(0)
    first.blocks.resume()
    second.blocks.resume()
    bench.wait_blocks(4)
    doubles = bench.chain.doubles()
    assert doubles
    for pair in doubles.values():
        assert len({each.id for each in pair}) == len({each.node for each in pair}) == 2
        assert len({each.num for each in pair}) == 1


def test_pause_keeps_the_next_block_only(bench: Bench) -> None:
    """After a pause one more block is signed at most, within a slot, as a real one does up to Leap 4 (R4)."""
    node = bench.here("a", paused=False)
    bench.wait_blocks(1)
    node.blocks.pause()
    at, count = time.time(), len(bench.chain.signatures())
    time.sleep(2.5 * FLIGHT_S)  # nothing to poll for: that nothing comes is what is seen
    after = bench.chain.signatures()[count:]
    assert len(after) <= 1
    assert all(each.wall - at < FLIGHT_S + 0.1 for each in after)


def test_resume_waits_for_the_block_in_flight_or_doubles_it(bench: Bench) -> None:
    """Resuming B right after A's pause doubles the block in flight; after it is over nothing is doubled (R4)."""
    first, second = bench.here("a", paused=False), bench.here("b")
    bench.wait_blocks(2)
    first.blocks.pause()
    time.sleep(FLIGHT_S)
    second.blocks.resume()
    bench.wait_blocks(2)
    assert bench.chain.doubles() == {}
    second.blocks.pause()
    first.blocks.resume()
    bench.wait_blocks(2)
    assert len(bench.chain.doubles()) == 1


def test_nothing_is_produced_before_a_timely_block(bench: Bench) -> None:
    """Without enable-stale-production a resumed node produces nothing until it saw a block of now; then it does."""
    node = bench.here("a", paused=False, stale=False)
    time.sleep(1.2)  # nothing to poll for: that nothing comes is what is seen
    assert bench.chain.signatures() == []
    assert not node.blocks.paused
    other = bench.here("b", paused=False)
    bench.wait_blocks(2)
    other.blocks.pause()
    until(lambda: any(each.node == "a" for each in bench.chain.signatures()), 5.0, "a block of a")


def test_frozen_child_signs_its_open_block_when_it_thaws(bench: Bench) -> None:
    """What was open when the process froze is signed late when it thaws, beside what another signed meanwhile."""
    frozen, other = bench.child("a"), bench.here("b")
    frozen.launch("--enable-stale-production")
    bench.wait_blocks(1)
    until(lambda: 150 < wall_ms() % 500 < 300, 3.0, "the middle of a slot, where a block is open", interval=0.005)
    frozen.freeze()
    count = len(bench.chain.signatures())
    other.blocks.resume()
    bench.wait_blocks(4)
    frozen.thaw()

    def late() -> list[evidence.Signature]:
        return [each for each in bench.chain.signatures()[count:] if each.node == "a"]

    first = until(late, 5.0, "the stale block")[0]
    assert first.slot < slot_of(round(first.wall * 1000)) - 1
