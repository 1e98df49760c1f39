"""One contract for a real nodeos and the simulated one.

Whatever is proved with the simulated one rests on this file.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from agent.core.model.chain import ChainInfo
from agent.core.model.slots import slot_of
from agent.errors import NodeosAnswer, NodeosTimeout, NodeosUnreachable
from agent.guard.stop import Means
from agent.host.deadline import NoAnswer, NotSent
from agent.net import http
from agent.net.endpoint import parse_endpoint
from agent.nodeos.client import HttpNodeos
from agent.nodeos.fence import ProcessFence
from agent.nodeos.finder import FencePlan
from tests.lab.binaries import NodeosBinaries, find_nodeos
from tests.lab.errors import LabUnavailable
from tests.lab.nodeos import HOST, PUBLIC_KEY, Node, NodeSpec
from tests.lab.ports import Ports
from tests.lab.wait import until
from tests.support.nodeos_calls import CALLS, LIMIT_S, SHORT_S, in_time


@dataclass
class Pair:
    """A producing node and an observer that are peers, as child processes of one kind."""

    kind: str
    root: Path
    ports: Ports = field(default_factory=Ports)
    nodes: list[Node] = field(default_factory=list)

    def node(self, name: str, **more: object) -> Node:
        """Return a node that is not started yet."""
        spec = NodeSpec(name, self.ports.take(), self.ports.take(), **more)  # type: ignore[arg-type] # NodeSpec's own
        if self.kind == "real":
            node = Node(spec, self.root / name, _binaries())
        else:
            whose = self.root if spec.producers or spec.peers else self.root / name  # without peers: a chain of its own
            node = Node(spec, self.root / name, None, whose / "chain.sqlite")
        self.nodes.append(node)
        return node

    def close(self) -> None:
        """End all nodes."""
        for node in self.nodes:
            node.close()
        self.ports.close()


def _binaries() -> NodeosBinaries:
    try:
        return find_nodeos()
    except LabUnavailable as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module", params=["simulated", pytest.param("real", marks=pytest.mark.real)])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Run a producing node and an observer of one kind for this module; each test leaves the first one producing."""
    pair = Pair(request.param, tmp_path_factory.mktemp(request.param))
    try:
        first = pair.node("bp-a", producers=("eosio",))
        first.launch("--enable-stale-production")
        first.wait_head(3)
        observer = pair.node("observer", peers=(first.spec.p2p,))
        observer.launch()
        yield pair
    finally:
        pair.close()


@pytest.fixture
def nodeos(pair: Pair) -> HttpNodeos:
    """Return a client of the producing node, which produces."""
    nodeos = HttpNodeos(pair.nodes[0].http_url)
    nodeos.resume(LIMIT_S)
    return nodeos


@pytest.fixture
def lonely(pair: Pair) -> Iterator[Callable[..., Node]]:
    """Yield a maker of observers that a test may do anything to; they end with it."""
    with ExitStack() as closing:

        def make(**more: object) -> Node:
            node = pair.node(f"lonely-{time.monotonic_ns()}", **more)
            closing.callback(node.close)
            return node

        yield make


def test_pause_resume_paused(nodeos: HttpNodeos) -> None:
    """Pause and resume are told apart by paused, at once, and may be repeated."""
    assert nodeos.paused(LIMIT_S) is False
    for _ in range(2):
        nodeos.pause(LIMIT_S)
        assert nodeos.paused(LIMIT_S) is True
    for _ in range(2):
        nodeos.resume(LIMIT_S)
        assert nodeos.paused(LIMIT_S) is False


def test_pause_stops_and_resume_starts_blocks(nodeos: HttpNodeos) -> None:
    """After a pause at most one more block comes, within a slot; after a resume the head moves again (R4, R9)."""
    nodeos.pause(LIMIT_S)
    before = nodeos.info(LIMIT_S).head_num
    time.sleep(0.6)  # the block in flight; nothing to poll for, since it may never come
    quiet = nodeos.info(LIMIT_S).head_num
    assert quiet - before <= 1
    time.sleep(0.6)
    assert nodeos.info(LIMIT_S).head_num == quiet
    nodeos.resume(LIMIT_S)
    until(lambda: nodeos.info(LIMIT_S).head_num > quiet, 3.0, "a block after the resume")


def test_info(nodeos: HttpNodeos, pair: Pair) -> None:
    """The head is of now and by our producer; LIB lies below; chain id and version are there."""
    info = until(lambda: _timely(nodeos), 3.0, "a timely head")
    assert (len(info.chain_id), len(info.head_id)) == (64, 64)
    assert info.head_producer == "eosio"
    assert int(info.head_id[:8], 16) == info.head_num > info.lib_num > 0
    assert info.server_version
    assert ("SIMULATED" in info.server_version) == (pair.kind == "simulated")
    assert info.lib_time is not None
    assert info.lib_time <= info.head_time


def _timely(nodeos: HttpNodeos) -> ChainInfo | None:
    info = nodeos.info(LIMIT_S)
    return info if abs(slot_of(time.time_ns() // 1_000_000) - slot_of(info.head_time)) <= 2 else None


def test_block_is_the_head_that_was_told(nodeos: HttpNodeos) -> None:
    """The header of the head has the number, id, time and producer that get_info told."""
    info = nodeos.info(LIMIT_S)
    block = nodeos.block(info.head_num, LIMIT_S)
    assert (block.num, block.id, block.time, block.producer) == (
        info.head_num,
        info.head_id,
        info.head_time,
        info.head_producer,
    )
    assert block.previous == nodeos.block(info.head_num - 1, LIMIT_S).id


def test_block_that_is_not_there(nodeos: HttpNodeos) -> None:
    """A block of the future is a definite no, with nodeos's own code."""
    with pytest.raises(NodeosAnswer, match="Could not find block") as caught:
        nodeos.block(2_000_000_000, LIMIT_S)
    assert (caught.value.status, caught.value.code) == (400, 3100002)


def test_schedule(nodeos: HttpNodeos) -> None:
    """The active schedule names the producer and the key that signs for it."""
    (producer,) = nodeos.schedule(LIMIT_S).producers
    assert (producer.name, producer.keys) == ("eosio", (PUBLIC_KEY,))


def test_peers_shake_hands(nodeos: HttpNodeos, pair: Pair) -> None:
    """Two nodes that are peers each count one connection with a finished handshake."""
    observer = HttpNodeos(pair.nodes[1].http_url)
    until(lambda: nodeos.peers(LIMIT_S).connected == 1, 10.0, "a peer of the producing node")
    until(lambda: observer.peers(LIMIT_S).connected == 1, 10.0, "a peer of the observer")


def test_unix_socket(pair: Pair) -> None:
    """Everything works over the Unix socket as it does over TCP."""
    nodeos = HttpNodeos("http://127.0.0.1:1", producer_url=f"unix://{pair.nodes[0].socket}")
    nodeos.pause(LIMIT_S)
    assert nodeos.paused(LIMIT_S)
    nodeos.resume(LIMIT_S)
    assert HttpNodeos(f"unix://{pair.nodes[0].socket}").info(LIMIT_S).head_num > 1
    with pytest.raises(NodeosUnreachable):
        nodeos.info(LIMIT_S)  # the producer's listener is another one than the chain's


def test_tiny_client(nodeos: HttpNodeos, pair: Pair) -> None:
    """The guard's own client gets the same answers, over TCP and over the Unix socket."""
    node = pair.nodes[0]
    for url in (node.http_url, f"unix://{node.socket}"):
        endpoint = parse_endpoint(url)
        assert http.call(endpoint, "/v1/producer/pause", LIMIT_S)[::2] == (201, b'{"result":"ok"}')
        assert http.call(endpoint, "/v1/producer/paused", LIMIT_S)[::2] == (201, b"true")
        nodeos.resume(LIMIT_S)
        assert http.call(endpoint, "/v1/producer/paused", LIMIT_S)[::2] == (201, b"false")
        assert http.call(endpoint, "/v1/producer/nothing", LIMIT_S).status == 404


def test_host_header_that_is_not_accepted(pair: Pair) -> None:
    """A name that nodeos does not take for itself is refused, and the remedy is named."""
    with pytest.raises(NodeosAnswer, match="http-validate-host") as caught:
        HttpNodeos(f"http://localhost:{pair.nodes[0].spec.http}").info(LIMIT_S)
    assert caught.value.status == 400


def test_without_producer_api(lonely: Callable[..., Node]) -> None:
    """Without producer_api_plugin its calls are a definite no, and the remedy names the plugin; the rest works."""
    node = lonely(plugins=("producer_plugin", "chain_api_plugin"))
    node.launch()
    nodeos = HttpNodeos(node.http_url)
    assert nodeos.info(LIMIT_S).head_num >= 1
    for name in ("pause", "resume", "paused"):
        with pytest.raises(NodeosAnswer, match="plugin = eosio::producer_api_plugin") as caught:
            CALLS[name](nodeos, LIMIT_S)
        assert caught.value.status == 404
    with pytest.raises(NodeosAnswer, match="eosio::net_api_plugin"):
        nodeos.peers(LIMIT_S)


def test_it_is_known_as_a_process(pair: Pair) -> None:
    """By its program it is known where it listens, and behind a forwarder by the lock of its database."""
    node = pair.nodes[0]
    plans = [FencePlan(url, executable=node.executable) for url in (node.http_url, f"unix://{node.socket}")]
    with socket.create_server((HOST, 0)) as forwarder:  # this process, which is none
        if pair.kind == "real":
            url = f"http://{HOST}:{forwarder.getsockname()[1]}"
            plans.append(FencePlan(url, executable=node.executable, data_dir=str(node.data_dir)))
        for plan in plans:
            held = ProcessFence(plan).find()
            assert held is not None
            held.close()
            assert held.id.pid == node.pid


def test_listeners_by_category(lonely: Callable[..., Node], pair: Pair) -> None:
    """From Leap 5 on pause and resume may have a listener of their own, which does not know `paused`: all works."""
    if pair.kind != "real":
        pytest.skip("the simulated nodeos has no categories")
    node = lonely()
    producer = f"http://127.0.0.1:{pair.ports.take()}"
    _by_category(node, producer)
    node.launch()
    nodeos = HttpNodeos(node.http_url, producer_url=producer)
    for call in CALLS.values():
        call(nodeos, LIMIT_S)
    nodeos.pause(LIMIT_S)
    assert nodeos.paused(LIMIT_S) is True
    assert http.call(parse_endpoint(producer), "/v1/producer/paused", LIMIT_S).status == 404
    with pytest.raises(NodeosAnswer, match="producer_api_plugin"):
        HttpNodeos(node.http_url).pause(LIMIT_S)
    nodeos.resume(LIMIT_S)
    assert _means(node.http_url, producer).paused(), "the guard would kill a nodeos that it has paused"
    assert not _means(producer, producer).paused()


def _means(url: str, producer: str) -> Means:
    """Return how a guard would stop nodeos."""
    return Means(parse_endpoint(producer), FencePlan(url), LIMIT_S, LIMIT_S, LIMIT_S, LIMIT_S, LIMIT_S)


def _by_category(node: Node, producer: str) -> None:
    """Give producer_rw a listener of its own, and let everything else stay where it is."""
    for option in ("--unix-socket-path", "--http-server-address"):
        at = node.command.index(option)
        del node.command[at : at + 2]
    node.command += ["--http-server-address", "http-category-address"]
    for category in ("chain_ro", "net_ro", "producer_ro"):
        node.command += ["--http-category-address", f"{category},127.0.0.1:{node.spec.http}"]
    node.command += ["--http-category-address", f"producer_rw,{producer.removeprefix('http://')}"]


def test_frozen_then_killed(lonely: Callable[..., Node]) -> None:
    """A frozen nodeos takes the connection and gives no answer: unknown, in time. A dead one was never reached."""
    node = lonely()
    node.launch()
    nodeos = HttpNodeos(node.http_url, producer_url=f"unix://{node.socket}")
    node.freeze()
    endpoint = parse_endpoint(node.http_url)
    for name, call in CALLS.items():
        in_time(call, nodeos, NodeosTimeout, name)
    with pytest.raises(NoAnswer):
        http.call(endpoint, "/v1/producer/pause", SHORT_S)
    node.kill()
    for name, call in CALLS.items():
        in_time(call, nodeos, NodeosUnreachable, name)
    with pytest.raises(NotSent):
        http.call(endpoint, "/v1/producer/pause", SHORT_S)


def test_frozen_with_a_full_backlog(lonely: Callable[..., Node]) -> None:
    """A frozen nodeos whose Unix socket takes no further connection was certainly not reached, and is so in time."""
    node = lonely()
    node.launch()
    node.freeze()
    nodeos = HttpNodeos(f"unix://{node.socket}")
    with ExitStack() as closing:
        _fill(node.socket, closing)
        in_time(HttpNodeos.pause, nodeos, NodeosUnreachable, "pause")


def _fill(path: Path, closing: ExitStack) -> None:
    """Connect until the queue of a Unix socket is full."""
    while True:
        sock = closing.enter_context(socket.socket(socket.AF_UNIX))
        sock.setblocking(False)
        try:
            sock.connect(str(path))
        except BlockingIOError:
            return
