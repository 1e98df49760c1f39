"""The quick bound of the search (P1, P2, P3, R5, R8): what CI has time for. `make proof` goes deeper."""

from __future__ import annotations

import pytest

from tests.proof.liveness import bound
from tests.proof.parts import Budget
from tests.proof.runs import (
    BESIDE,
    FORGETTING,
    FORGETTING_PEERS,
    RESTORING,
    TICKS,
    engine,
    forgetting_peers,
    hunt,
    installing,
    nothing_wrong,
    one_fault,
    peers_change_nothing,
    restored_beside_promises,
    restoring,
    slow_messages,
    with_peers,
)
from tests.proof.search import Found, search

ENOUGH = 500_000
GROUPS = pytest.mark.parametrize("names", [("a", "b"), ("a", "b", "c")], ids=["two agents", "three agents"])


def holds(found: Found, enough: int = 0) -> None:
    """No world breaks a promise: none of so many, or of all that there are."""
    assert not found.broken, found.text()
    assert found.complete or 0 < enough <= found.states


@GROUPS
@pytest.mark.timeout(600)
def test_one_fault(names: tuple[str, ...]) -> None:
    """P1, P2: any one fault at any moment: no two may produce, and when it is over somebody does, on every course."""
    found, after = one_fault(names)
    holds(found)
    assert found.states > 10_000
    assert after.worst <= bound(TICKS), "\n".join(("P2: nobody produces once the fault is over", *after.story()))
    assert after.worst > TICKS.validity, "no course came to wait until a heartbeat stood still"


@pytest.mark.timeout(900)
def test_two_faults_within_the_quick_bound() -> None:
    """P1: two agents, any two faults: half a million worlds, and no two may produce in any."""
    holds(search(engine(Budget(2)), ENOUGH), ENOUGH)


@pytest.mark.timeout(600)
def test_store_that_forgets() -> None:
    """P1, P2 when etcd loses its data at any moment: no two may produce, and after a while somebody does (R20)."""
    found, after = one_fault(("a", "b"), only=("etcd loses",))
    holds(found)
    assert found.states > 2_000
    assert TICKS.validity < after.worst <= bound(TICKS), "\n".join(("P2: nobody produces", *after.story()))


@pytest.mark.timeout(600)
def test_leader_that_is_replaced_as_its_lease_comes_back() -> None:
    """P1, R16, R17: a leader that its peers hold loses its lease, and its process is to go, in any order of events."""
    script = ("lease 101 ends", "a: the agent is to be replaced")
    rules = engine(Budget(2, script=script), peers=True, eager=False)
    holds(search(rules, 15_000, rules.steady()), 15_000)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("script", FORGETTING, ids=", ".join)
def test_store_that_forgets_beside_other_faults(script: tuple[str, ...]) -> None:
    """P1 when etcd loses its data, or goes back to a snapshot, beside other faults, within the quick bound (R20)."""
    holds(hunt(script, limit=40_000), 40_000)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("script", FORGETTING_PEERS, ids=", ".join)
def test_store_that_forgets_a_leader_with_peers(script: tuple[str, ...]) -> None:
    """P1, R20: etcd loses its data under a leader that names the others, at once or while etcd is away from all."""
    holds(forgetting_peers(script, 15_000), 15_000)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("script", RESTORING, ids=", ".join)
def test_agents_start_beside_a_restored_release(script: tuple[str, ...]) -> None:
    """P1: an agent that starts when a snapshot is restored which says `released` does not believe it at once (R20)."""
    holds(restoring(script, limit=40_000), 40_000)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("gate", ["required", "on"])
def test_one_fault_with_a_gate_is_over(gate: str) -> None:
    """P1, P2 with a gate: when any one fault is over somebody produces, on every course."""
    found, after = one_fault(("a", "b"), gate=gate)
    holds(found)
    assert after.worst <= bound(TICKS, anew=True), "\n".join(("P2: nobody produces", *after.story()))


@pytest.mark.timeout(600)
def test_faults_with_a_gate_within_the_quick_bound() -> None:
    """P1 with a gate that is required, all single faults and some pairs: no pause is true, nothing can be killed.

    No guard stands by, and agents freeze for any time.
    """
    found = search(engine(Budget(2), gate="required"), 60_000)
    assert not found.broken, found.text()
    assert len(found.layers) == 3
    assert found.layers[1] > 20_000


@pytest.mark.parametrize("gate", ["on", "key"])
def test_faults_with_a_gate_beside_the_old_way(gate: str) -> None:
    """P1 with a gate that is on, and that is on though nodeos has the key itself."""
    holds(search(engine(Budget(1), gate=gate), 6_000), 6_000)


@pytest.mark.parametrize(
    ("names", "gate"),
    [(("a", "b"), ""), (("a", "b", "c"), ""), (("a", "b"), "required"), (("a", "b"), "on")],
    ids=["two agents", "three agents", "a gate that is required", "a gate"],
)
def test_nothing_changes_while_nothing_is_wrong(names: tuple[str, ...], gate: str) -> None:
    """P3: without a fault the leader keeps its place and produces, its gate lets it sign, in every world there is."""
    holds(nothing_wrong(names, gate))


def test_slow_messages_change_nothing() -> None:
    """P3: two messages that are late or lost, whichever and whenever, cost the leader nothing."""
    holds(slow_messages())


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("names", "faults"), [(("a", "b"), 1), (("a", "b"), 2), (("a", "b", "c"), 1)], ids=str)
def test_faults_with_peers_within_the_quick_bound(names: tuple[str, ...], faults: int) -> None:
    """P1, R13, R14, R15, R16: beats and promises lost, late, twice and one-way, lists that change, restarts."""
    holds(with_peers(faults, 20_000, names), 20_000)


@pytest.mark.timeout(600)
def test_snapshot_that_is_restored_beside_promises() -> None:
    """P1, R20: leader and peer are cut off from a store that is restored, and a third agent starts: all worlds."""
    holds(restored_beside_promises(BESIDE))


@pytest.mark.timeout(600)
@pytest.mark.parametrize("script", [("c: the agent dies", "put heartbeat"), ("c: ", "a: ")], ids=", ".join)
def test_a_member_without_peers_beside_others(script: tuple[str, ...]) -> None:
    """P1, R13: a member that has its peers switched off, beside a leader that another one's promises hold."""
    holds(hunt(script, peers=True, names=("a", "b", "c"), off="c", alone=2, limit=60_000), 60_000)


@GROUPS
@pytest.mark.timeout(600)
def test_silence_changes_nothing_with_peers(names: tuple[str, ...]) -> None:
    """P3, R17: etcd is away, or what peers say is lost, late or comes twice: the leader stays, and goes on signing."""
    holds(peers_change_nothing(names, 15_000), 15_000)


@GROUPS
@pytest.mark.parametrize("rogues", [(0,), (0, 1), ()], ids=["one produces", "two produce", "none produces"])
def test_agents_are_installed_beside_a_live_producer(names: tuple[str, ...], rogues: tuple[int, ...]) -> None:
    """P1, R18, R19: in every order of starting a live producer is adopted and never paused, and none resumed beside it.

    Of two that produce, one is adopted at most, and the other is paused.
    """
    holds(installing(*rogues, names=names))


@pytest.mark.parametrize("rogues", [(0,), (0, 1)], ids=["one produces", "two produce"])
def test_agents_are_installed_beside_a_live_producer_with_a_fault(rogues: tuple[int, ...]) -> None:
    """P1, R18: with a fault at any moment of the installing, within the quick bound, all the same."""
    holds(installing(*rogues, faults=1, limit=25_000), 25_000)
