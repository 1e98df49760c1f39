"""What Spring adds, for the simulated one and for a real one, where the nodeos of the tests is Spring.

A real one is found by NODEOS_FAILOVER_LAB_NODEOS (tests/README.md).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.core.health.finality import LATE, OTHERS, RUN_AWAY, missing_votes, vote_ages
from agent.core.model.finality import Finality, Finalizer
from agent.core.model.slots import SLOT, date
from agent.errors import NodeosAnswer
from agent.nodeos.client import HttpNodeos
from tests.contract.test_nodeos_faults import running
from tests.lab import simulated_finality as finality
from tests.lab.binaries import find_nodeos
from tests.lab.chain import Chain
from tests.lab.errors import LabUnavailable
from tests.lab.lab import Lab
from tests.lab.nodeos import Node, NodeSpec
from tests.lab.ports import Ports
from tests.lab.simulated_votes import RECENT_MS
from tests.lab.wait import until
from tests.support.nodeos_calls import LIMIT_S

PAUSED_S = 20.0
"""6 s without a vote (nodeos's default), a second until the first block that counts, and what a busy machine takes."""


@pytest.fixture(scope="module", params=["simulated", pytest.param("real", marks=pytest.mark.real)])
def node(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """Run a producing Spring; skip where the real nodeos is none."""
    root, ports = tmp_path_factory.mktemp(request.param), Ports()
    simulated = request.param == "simulated"
    more = ("--shape", "spring-1.3") if simulated else ()
    spec = NodeSpec("bp-a", ports.take(), ports.take(), producers=("eosio",), more=more)
    try:
        node = Node(spec, root / "bp-a", None if simulated else find_nodeos())
    except LabUnavailable as error:
        pytest.skip(str(error))
    node.launch("--enable-stale-production")
    try:
        node.wait_head(3)
        if request.param == "real" and node.ask("/v1/chain/get_finalizer_info")[0] == 404:
            pytest.skip("the nodeos of the tests is not Spring")
        yield node
    finally:
        node.close()
        ports.close()


def test_before_savanna_there_is_no_policy(node: Node) -> None:
    """The question is known, and both policies are empty."""
    found = HttpNodeos(node.http_url).finality(LIMIT_S)
    assert (found.active, found.pending, found.known) == ((), (), False)


def test_pause_at_block_says_nothing_in_paused_and_resume_ends_it(node: Node) -> None:
    """Nothing comes after the block, `paused` is false, and a resume has blocks again."""
    nodeos = HttpNodeos(node.http_url)
    nodeos.resume(LIMIT_S)
    last = node.head + 2
    node.call("/v1/producer/pause_at_block", {"block_num": last})
    until(lambda: node.head >= last, 5.0, "the last block")
    time.sleep(0.8)  # more than a slot, in which nothing may come
    assert (node.head, nodeos.paused(LIMIT_S)) == (last, False)
    assert node.ask("/v1/producer/pause_at_block", b'{"block_num": 1}')[0] >= 400
    nodeos.resume(LIMIT_S)
    until(lambda: node.head > last, 5.0, "a block after the resume")


@pytest.fixture(params=["simulated", pytest.param("real", marks=pytest.mark.real)])
def savanna(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Chain]:
    """A chain of Savanna with a producer that votes and an observer with three votes of four; skip without a Spring."""
    votes = {"bp-a": ["eosio"], "observer": ["c", "d", "e"]}
    with Lab(tmp_path) as lab:
        try:
            chain = lab.chain(1, simulated=request.param == "simulated", finalizers=votes, load=False)
        except LabUnavailable as error:
            pytest.skip(str(error))
        yield chain


def test_votes_are_dated_and_finish_blocks(savanna: Chain) -> None:
    """Every key of the policy voted within the last seconds, and the last irreversible block is close to the head."""
    finality = savanna.finality
    assert finality is not None
    nodeos = HttpNodeos(savanna.nodes["bp-a"].http_url)

    def voted() -> bool:
        found, info = nodeos.finality(LIMIT_S), nodeos.info(LIMIT_S)
        assert found.active == tuple(Finalizer(each.description, each.public_key) for each in finality.policy)
        ages = [info.head_time - found.voted.get(each.key, 0) for each in found.active]
        return max(ages) < LATE and info.head_num - info.lib_num < RUN_AWAY

    until(voted, 10.0, "votes of everybody")


def test_want_of_votes_pauses_and_a_resume_begins_the_time_anew(savanna: Chain) -> None:
    """Some 6 s after the votes of others ended `paused` is true, false after a resume, and true again 6 s later.

    A vote ends it by itself (nodeos.md: paused by votes is not paused by hand).
    """
    node = savanna.nodes["bp-a"]
    nodeos = HttpNodeos(node.http_url)
    assert not nodeos.paused(LIMIT_S)
    savanna.observer.freeze()
    until(lambda: nodeos.paused(LIMIT_S), PAUSED_S, "the pause for want of votes")
    assert missing_votes(nodeos.finality(LIMIT_S), "eosio", nodeos.info(LIMIT_S)) == OTHERS
    head = node.head
    nodeos.resume(LIMIT_S)
    assert not nodeos.paused(LIMIT_S)
    node.wait_head(head + 3)
    until(lambda: nodeos.paused(LIMIT_S), PAUSED_S, "the pause after the resume")
    savanna.observer.thaw()
    until(lambda: not nodeos.paused(LIMIT_S), PAUSED_S, "the end of the pause by a vote")
    node.wait_head(node.head + 2)


def test_blocks_that_come_too_late_get_no_votes(savanna: Chain) -> None:
    """Finalizers that are back after 30 s give the last blocks no votes: `paused` stays true until a resume.

    So nothing but a resume ends the pause of a producer that is alone: its new blocks get votes at once.
    """
    node = savanna.nodes["bp-a"]
    nodeos = HttpNodeos(node.http_url)
    savanna.observer.freeze()
    until(lambda: nodeos.paused(LIMIT_S), PAUSED_S, "the pause for want of votes")
    too_old = 2 * SLOT + RECENT_MS
    until(lambda: time.time() * 1000 - nodeos.info(LIMIT_S).head_time > too_old, 2 * RECENT_MS / 1000, "old blocks")
    head, lib = node.head, nodeos.info(LIMIT_S).lib_num
    savanna.observer.thaw()
    until(lambda: savanna.observer.head >= head, PAUSED_S, "the last blocks to come")
    time.sleep(2.0)  # in which a vote would come
    assert nodeos.paused(LIMIT_S)
    assert (node.head, nodeos.info(LIMIT_S).lib_num) == (head, lib)
    nodeos.resume(LIMIT_S)
    until(lambda: nodeos.info(LIMIT_S).lib_num > head, PAUSED_S, "the last irreversible block to follow")
    assert not nodeos.paused(LIMIT_S)


def test_finalizers_and_votes_are_read(tmp_path: Path) -> None:
    """Active and pending policy, and when each key voted last (simulated: each at a slot of its own)."""
    with running(tmp_path, "spring-1.3") as node:
        chain = node.chain
        finality.propose(chain, finality.Finalizer("eosio", "PUB_BLS_a"), finality.Finalizer("c", "PUB_BLS_c"))
        block = chain.sign("bp-a", "eosio", 5000, 0)
        finality.vote(chain, "PUB_BLS_a", block.num, block.slot, 1)
        finality.activate(chain, "eosio", "PUB_BLS_b")
        chain.sign("bp-a", "eosio", 5001, 0)
        found = HttpNodeos(node.url).finality(LIMIT_S)
    assert found.active == (Finalizer("eosio", "PUB_BLS_a"), Finalizer("c", "PUB_BLS_c"))
    assert found.pending == (Finalizer("eosio", "PUB_BLS_b"), Finalizer("c", "PUB_BLS_c"))
    assert found.active_key("eosio") == "PUB_BLS_a"
    assert found.coming("eosio", "PUB_BLS_b")
    voted = date(5000)
    assert vote_ages(found, "eosio", voted + 700) == (700, voted + 700), "of the other no vote is known"


def test_other_versions_do_not_know_the_question(tmp_path: Path) -> None:
    """Up to Leap 5 it is a definite no: there are no finalizers."""
    with running(tmp_path, "leap-5") as node, pytest.raises(NodeosAnswer) as caught:
        HttpNodeos(node.url).finality(LIMIT_S)
    assert caught.value.status == 404
    assert Finality().known is False
