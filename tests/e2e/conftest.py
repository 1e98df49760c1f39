"""Groups for the tests of one file, or for one test that breaks it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.group import Group


@pytest.fixture
def group(tmp_path: Path) -> Iterator[Group]:
    """A fresh group with one etcd, for one test; at its end no slot may have been signed twice (P1)."""
    with Group(tmp_path) as group:
        group.start()
        yield group


@pytest.fixture
def cuttable(tmp_path: Path) -> Iterator[Group]:
    """The same, with hosts that can be cut off from etcd."""
    with Group(tmp_path, cuttable=True) as group:
        group.start()
        yield group


@pytest.fixture
def quorum(tmp_path: Path) -> Iterator[Group]:
    """The same, with an etcd of three members."""
    with Group(tmp_path, etcd=3) as group:
        group.start()
        yield group
