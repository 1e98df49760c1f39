"""Real chains: who produces, what a standing chain does, and every fault of a node, on nodes that are real."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from tests.lab import evidence
from tests.lab.binaries import find_nodeos
from tests.lab.chain import Chain
from tests.lab.errors import LabError
from tests.lab.lab import Lab
from tests.lab.nodeos import ApiError, Node, NodeSpec
from tests.lab.ports import Ports
from tests.lab.schedule import active
from tests.lab.wait import until
from tests.lab.wallet import Wallet

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
def test_one_node_signs_and_all_follow(chain: Chain) -> None:
    """Only the active node signs, in each slot; the others and the observer have its blocks."""
    first, second = chain.nodes.values()
    begun, head = time.time(), chain.observer.head
    chain.observer.wait_blocks(4)
    assert (first.paused, second.paused) == (False, True)
    assert {each.node for each in chain.signed() if each.wall > begun} == {first.name}
    assert evidence.slots_missed(chain.observer, head) == 0
    second.wait_level(chain.observer)


@pytest.mark.real
def test_load_puts_transactions_into_blocks(chain: Chain) -> None:
    """What the load pushes is in the blocks; it can be stopped, and started again."""
    load = chain.load
    assert load is not None
    for _ in range(2):
        sent, head = load.sent, chain.observer.head
        until(lambda: load.sent > sent, 10.0, f"a transaction ({load.error})")  # noqa: B023 - asked at once
        chain.observer.wait_blocks(2)
        blocks = [chain.observer.call("/v1/chain/get_block", {"block_num_or_id": head + i}) for i in range(3)]
        assert any(block["transactions"] for block in blocks)
        load.stop()
        sent = load.sent
        chain.observer.wait_blocks(2)
        assert load.sent == sent
        load.start()


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
def test_a_frozen_node_does_not_answer_and_goes_on(chain: Chain) -> None:
    """A frozen node accepts connections and never answers; after a thaw it catches up."""
    node = chain.nodes["bp-b"]
    node.freeze()
    begun = time.monotonic()
    with pytest.raises(ApiError):
        node.info(limit=0.3)
    assert time.monotonic() - begun < 1
    node.thaw()
    node.wait_level(chain.observer)


@pytest.mark.real
def test_a_node_is_cut_off_from_its_peers(chain: Chain) -> None:
    """A node that is cut off gets no blocks while the others do, and catches up when it is healed."""
    node = chain.nodes["bp-b"]
    chain.cut(node.name)
    head = node.head
    chain.observer.wait_blocks(4)
    assert node.head <= head + 1
    chain.heal(node.name)
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


@pytest.mark.real
def test_deep_directories_do_not_matter(tmp_path: Path) -> None:
    """Node and wallet start in a directory whose path is longer than a Unix socket's may be."""
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    with closing(Ports()) as ports:
        node = Node(NodeSpec("observer", ports.take(), ports.take()), deep / "node", find_nodeos())
        with closing(node), closing(Wallet(deep / "wallet", ports.take(), find_nodeos())) as wallet:
            node.launch()
            wallet.start()
            assert "Wallets" in wallet.cleos("wallet", "list", node=node)


def test_chains_that_cannot_be_are_refused(tmp_path: Path) -> None:
    """A number of nodes or producers that is not offered is an error that says what is."""
    with closing(Ports()) as ports:
        for count, producers in ((0, 1), (6, 1), (2, 2)):
            with pytest.raises(LabError, match="1 to 5"):
                Chain(tmp_path, ports, count, producers=producers)


def test_a_call_has_a_total_deadline(tmp_path: Path) -> None:
    """A server that sends a byte now and then is given up after the limit, counted from the start of the call."""

    def dribble(listener: socket.socket) -> None:
        with suppress(OSError):
            peer, _ = listener.accept()
            with peer:
                while True:
                    peer.sendall(b"H")
                    time.sleep(0.05)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=dribble, args=(listener,), daemon=True).start()
        node = Node(NodeSpec("x", listener.getsockname()[1], 0), tmp_path, None)
        begun = time.monotonic()
        with pytest.raises(ApiError):
            node.info(limit=0.4)
        assert time.monotonic() - begun < 2
