"""Fixtures for every test: time that is moved, and a check that nothing is left open."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.leaks import nothing_left_open
from tests.support.moved_time import MovedTime, replace_time


@pytest.fixture
def moved(monkeypatch: pytest.MonkeyPatch) -> MovedTime:
    """Put a time that the test moves in the place of every clock, sleep and timed wait."""
    return replace_time(monkeypatch)


@pytest.fixture
def no_leaks() -> Iterator[None]:
    """Fail when the test leaves a descriptor or a thread open."""
    with nothing_left_open():
        yield
