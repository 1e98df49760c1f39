"""The quick bound of the search (P1, P2, P3, R5, R8): what CI has time for. `make proof` goes deeper."""

from __future__ import annotations

import pytest

from tests.proof.engine import Budget
from tests.proof.liveness import bound
from tests.proof.runs import TICKS, engine, nothing_wrong, one_fault, slow_messages
from tests.proof.search import search

ENOUGH = 500_000
GROUPS = pytest.mark.parametrize("names", [("a", "b"), ("a", "b", "c")], ids=["two agents", "three agents"])


@GROUPS
@pytest.mark.timeout(600)
def test_one_fault(names: tuple[str, ...]) -> None:
    """P1, P2: any one fault at any moment: no two may produce, and when it is over somebody does, on every course."""
    found, after = one_fault(names)
    assert not found.broken, found.text()
    assert found.complete
    assert found.states > 10_000
    assert after.worst <= bound(TICKS), "\n".join(("P2: nobody produces once the fault is over", *after.story()))
    assert after.worst > TICKS.validity, "no course came to wait until a heartbeat stood still"


@pytest.mark.timeout(900)
def test_two_faults_within_the_quick_bound() -> None:
    """P1: two agents, any two faults: half a million worlds, and no two may produce in any."""
    found = search(engine(Budget(2)), ENOUGH)
    assert not found.broken, found.text()
    assert found.states >= ENOUGH or found.complete


@GROUPS
def test_nothing_changes_while_nothing_is_wrong(names: tuple[str, ...]) -> None:
    """P3: without a fault the leader keeps its place and produces, in every world that there is."""
    found = nothing_wrong(names)
    assert not found.broken, found.text()
    assert found.complete


def test_slow_messages_change_nothing() -> None:
    """P3: two messages that are late or lost, whichever and whenever, cost the leader nothing."""
    found = slow_messages()
    assert not found.broken, found.text()
    assert found.complete
