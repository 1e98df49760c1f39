"""Real chains: who produces, what a standing chain does, and every fault of a node, on nodes that are real."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import evidence
from tests.lab.chain import Chain
from tests.lab.errors import LabError
from tests.lab.lab import Lab
from tests.lab.nodeos import Node
from tests.lab.schedule import active
from tests.lab.wait import until

STOOD = 1.2  # seconds that a chain must have stood: more than two slots
SILENT = 1.2  # seconds that a node is given to do what it must not: more than two slots


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    """Start one chain for this module."""
    with Lab(tmp_path_factory.mktemp("lab")) as lab:
        yield lab.chain(2, cuttable=True)


@pytest.fixture
def chain(shared: Chain) -> Iterator[Chain]:
    """Yield the chain with bp-a producing and bp-b following; in the end no slot was signed twice."""
    shared.observer.wait_blocks(1)
    yield shared
    first, second = shared.nodes.values()
    for node in (second, first):
        node.thaw()
        if not node.running:
            node.restart()
    second.pause()
    if first.paused:
        stand(shared)
        first.resume()  # which goes on by itself: every test with a stand ends with a proof that bp-a does so too
    shared.observer.wait_blocks(1)
    assert shared.doubles() == {}


def head_age(node: Node) -> float:
    """Return how many seconds ago the head block was due."""
    info = node.info()
    return time.time() - evidence.headers(node, info["head_block_num"], info["head_block_num"])[0].time / 1000


def stand(chain: Chain) -> None:
    """Pause all, and wait until the chain has stood for a while."""
    for node in chain.nodes.values():
        node.pause()
    until(lambda: head_age(chain.observer) > STOOD, 10.0, "a chain that stands")


@pytest.mark.real
def test_a_standing_chain_goes_on(chain: Chain) -> None:
    """When all were paused for a while, the node that is resumed makes blocks at once, and the gap is counted."""
    node = chain.nodes["bp-b"]
    stand(chain)
    head, begun = chain.observer.head, time.time()
    node.resume()
    chain.observer.wait_blocks(2)
    block = evidence.first_after(chain.signed(), node.name, begun)
    assert block is not None
    assert block.wall - begun < 2
    assert evidence.slots_missed(chain.observer, head) >= 1


@pytest.mark.real
def test_a_node_started_while_the_chain_stands_needs_a_block_first(chain: Chain) -> None:
    """It answers ok to a resume and produces nothing, until a node that was not makes a block, or it is revived."""
    first, second = chain.nodes.values()
    stand(chain)
    second.restart()
    head = chain.observer.head
    second.resume()
    assert not second.paused
    time.sleep(SILENT)  # what must not happen is given the time in which it would
    assert chain.observer.head == head
    second.pause()
    first.resume()
    second.wait_head(head + 2)
    stand(chain)
    second.resume()
    chain.observer.wait_blocks(1)
    stand(chain)
    first.restart()
    chain.revive(first)
    assert first.paused
    first.resume()
    chain.observer.wait_blocks(1)


@pytest.mark.real
def test_a_killed_node_replays(chain: Chain) -> None:
    """After SIGKILL a plain start fails, with nodeos's own words; `restart` replays, stays paused and catches up."""
    node = chain.nodes["bp-b"]
    node.kill()
    with pytest.raises(LabError, match=r"ended with 2:(.|\n)*dirty"):
        node.launch()
    node.restart()
    assert node.paused
    node.wait_level(chain.observer)


@pytest.mark.real
def test_a_schedule_of_several_producers(tmp_path: Path) -> None:
    """With three producers the others sign their turns, the node that is resumed signs its own, the standby never."""
    with Lab(tmp_path) as lab:
        chain = lab.chain(2, producers=3, load=False)
        assert chain.others is not None
        assert active(chain.observer) == ["othera", "otherb", "shared"]
        begun = time.time()
        until(lambda: evidence.first_after(chain.signed(), "bp-a", begun), 25.0, "the turn of bp-a", interval=0.2)
        signed = [each for each in chain.signed() if each.wall > begun]
        assert {each.producer for each in signed if each.node == "bp-a"} == {"shared"}
        assert {each.producer for each in signed if each.node == "others"} <= {"eosio", "othera", "otherb"}
        assert "bp-b" not in {each.node for each in signed}
        assert chain.doubles() == {}
