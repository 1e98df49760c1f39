"""A search that forgets parts to save memory finds what one that keeps them all finds."""

from __future__ import annotations

import pytest

from tests.proof import search
from tests.proof.parts import Budget, Compact
from tests.proof.runs import engine


def test_forgetting_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Worlds, moves and layers are the same, however often parts are forgotten on the way."""
    kept = search.search(engine(Budget(2)), 6_000)
    rules = engine(Budget(2))
    monkeypatch.setattr(search, "PARTS", 400)
    forgot = 0
    forget = rules.forget

    def counted(worlds: list[Compact]) -> list[Compact]:
        nonlocal forgot
        forgot += 1
        return forget(worlds)

    monkeypatch.setattr(rules, "forget", counted)
    found = search.search(rules, 6_000)
    assert forgot > 1
    assert (found.states, found.moves, found.layers, found.broken) == (kept.states, kept.moves, kept.layers, "")
