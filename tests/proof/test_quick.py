"""The quick bound of the search: every world that one fault leads to, and half a million that two lead to (P1)."""

from __future__ import annotations

import pytest

from tests.proof.engine import Budget
from tests.proof.runs import engine
from tests.proof.search import breadth_first

ENOUGH = 500_000


def test_no_single_fault_lets_two_produce() -> None:
    """P1: two agents, any one fault at any moment: all worlds are searched, and none breaks a promise."""
    search = engine(Budget(1))
    found = breadth_first(search, ENOUGH, start=search.calm())
    assert not found.broken, found.text()
    assert found.complete
    assert found.states > 10_000


@pytest.mark.timeout(900)
def test_no_two_faults_let_two_produce_within_the_quick_bound() -> None:
    """P1: two agents, any two faults: half a million worlds, nearest first, and none breaks a promise."""
    search = engine(Budget(2))
    found = breadth_first(search, ENOUGH, start=search.calm())
    assert not found.broken, found.text()
    assert found.states >= ENOUGH or found.complete
