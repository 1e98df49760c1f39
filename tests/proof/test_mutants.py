"""Each seeded mistake is found out by the search, by the promise that it breaks."""

from __future__ import annotations

import pytest

from tests.proof.mutants import MUTANTS, Mutant, mutated

NOT_FOUND = {"no kill"}
"""Not reached yet within the bound of one search (200,000 worlds); the rules and the chaos run show what it does."""


@pytest.mark.parametrize("mutant", [each for each in MUTANTS if each.name not in NOT_FOUND], ids=lambda each: each.name)
def test_mistake_is_found(mutant: Mutant) -> None:
    """P1, R5, R8: with this mistake in the core the search comes upon the broken promise, and tells the story."""
    with mutated(mutant.edits) as runs:
        found = runs.hunt(
            mutant.only,
            mutant.total,
            calm=mutant.calm,
            guard=mutant.guard,
            eager=mutant.eager,
            timing=mutant.timing,
        )
    assert found.broken.startswith(mutant.breaks), found.text()
    assert found.story
