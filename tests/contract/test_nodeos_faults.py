"""Faults that only the simulated nodeos can be made to have, and the shapes of all versions that it can take."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from agent.core.model.chain import Peers, Producer
from agent.errors import NodeosAnswer, NodeosError, NodeosTimeout, NodeosUnreachable
from agent.nodeos.client import HttpNodeos
from tests.lab.nodeos import PUBLIC_KEY
from tests.lab.simulated_answers import SHAPES
from tests.lab.simulated_chain import SimulatedChain
from tests.lab.simulated_http import ALL, ANSWERS
from tests.lab.simulated_nodeos import SimulatedNodeos
from tests.lab.wait import until
from tests.support.nodeos_calls import CALLS, LIMIT_S, SHORT_S, in_time


@dataclass
class Simulated:
    """A simulated nodeos in this process, paused, with a client."""

    node: SimulatedNodeos
    nodeos: HttpNodeos


@pytest.fixture(params=["tcp", "unix"])
def simulated(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Simulated]:
    """Yield a simulated nodeos, spoken to over TCP and over its Unix socket."""
    with running(tmp_path) as node:
        yield Simulated(node, HttpNodeos(node.url if request.param == "tcp" else node.unix_url))


@contextmanager
def running(root: Path, shape: str = "leap-5") -> Iterator[SimulatedNodeos]:
    """Run one on a chain of its own."""
    chain = SimulatedChain(root / "chain.sqlite")
    node = SimulatedNodeos(chain, unix=root / "sock", shape=shape)
    node.start()
    try:
        yield node
    finally:
        node.close()
        chain.close()


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_is_read(shape: str, tmp_path: Path) -> None:
    """Answers are read in the forms of every version, those that lack a field included."""
    with running(tmp_path, shape) as node:
        node.chain.greet("there", "127.0.0.1:1", time.time_ns() // 1_000_000)
        node.chain.greet("gone", "127.0.0.1:2", 0)
        nodeos = HttpNodeos(node.url)
        info = nodeos.info(LIMIT_S)
        assert (info.lib_time is None) == (shape == "eosio-2.0")
        assert info.server_version
        assert nodeos.peers(LIMIT_S) == Peers(configured=2, connected=1)
        assert nodeos.schedule(LIMIT_S).producers == (Producer("eosio", (PUBLIC_KEY,)),)
        assert nodeos.block(1, LIMIT_S).num == 1
        node.fault("/v1/producer", "error", None, node.shape.busy)
        with pytest.raises(NodeosAnswer, match="busy") as caught:
            nodeos.paused(LIMIT_S)
        assert caught.value.status == node.shape.busy


EXPECTED: dict[str, type[NodeosError]] = {
    "hang": NodeosTimeout,
    "drip": NodeosTimeout,
    "drip_body": NodeosTimeout,
    "endless": NodeosTimeout,
    "cut": NodeosTimeout,
    "empty": NodeosTimeout,
    "reset": NodeosTimeout,
    "not_http": NodeosTimeout,
    "error": NodeosAnswer,
    "garbage": NodeosAnswer,
    "refuse": NodeosUnreachable,
}


@pytest.mark.parametrize("answer", EXPECTED)
def test_fault_endsin_time(answer: str, simulated: Simulated) -> None:
    """Under every fault every call ends within its deadline, with the error that tells what is known of its outcome."""
    simulated.node.fault(ALL, answer)
    with ThreadPoolExecutor(len(CALLS)) as pool:
        for done in [
            pool.submit(in_time, call, simulated.nodeos, EXPECTED[answer], name) for name, call in CALLS.items()
        ]:
            done.result()
    simulated.node.clear()
    assert simulated.nodeos.info(LIMIT_S).head_num >= 1


def test_no_fault_was_forgotten() -> None:
    """Every fault that the simulated nodeos knows is tried above."""
    assert {"normal", *EXPECTED} == set(ANSWERS)


def test_one_fault_leaves_other_paths_alone(simulated: Simulated) -> None:
    """While the producer API hangs, get_info still answers, as a cached one does from Spring 1.1 on."""
    simulated.node.fault("/v1/producer", "hang")
    in_time(HttpNodeos.paused, simulated.nodeos, NodeosTimeout, "paused")
    assert simulated.nodeos.info(LIMIT_S).head_num >= 1


def test_resume_that_acts_late(simulated: Simulated) -> None:
    """A resume that was never answered may act later: it is told as unknown, and a pause before it does not help."""
    simulated.node.fault("/v1/producer/resume", "hang", act=0.8)
    with pytest.raises(NodeosTimeout):
        simulated.nodeos.resume(SHORT_S)
    simulated.nodeos.pause(LIMIT_S)
    assert simulated.nodeos.paused(LIMIT_S) is True
    until(lambda: not simulated.nodeos.paused(LIMIT_S), 3.0, "the late resume")


def test_pause_that_acts_late_or_never(simulated: Simulated) -> None:
    """A pause may be answered and act later, or never: only `paused` and the chain tell."""
    simulated.nodeos.resume(LIMIT_S)
    simulated.node.fault("/v1/producer/pause", act=None)
    simulated.nodeos.pause(LIMIT_S)
    assert simulated.nodeos.paused(LIMIT_S) is False
    head = simulated.nodeos.info(LIMIT_S).head_num
    until(lambda: simulated.nodeos.info(LIMIT_S).head_num > head, 3.0, "a block after the pause")
    simulated.node.fault("/v1/producer/pause", act=0.3)
    simulated.nodeos.pause(LIMIT_S)
    assert simulated.nodeos.paused(LIMIT_S) is False
    until(lambda: simulated.nodeos.paused(LIMIT_S), 3.0, "the late pause")
