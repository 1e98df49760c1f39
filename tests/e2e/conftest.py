"""Groups of real parts that the tests of one file share, each of which finds them well."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.group import Group


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Group]:
    """A group with one etcd, for the tests of one file; at its end no slot may have been signed twice (P1)."""
    with Group.running(tmp_path_factory.mktemp("group")) as group:
        yield group


@pytest.fixture
def group(shared: Group) -> Iterator[Group]:
    """The group of the file, healed; at the end of each test no slot may have been signed twice (P1)."""
    shared.heal()
    yield shared
    shared.never_twice()


@pytest.fixture
def cuttable(tmp_path: Path) -> Iterator[Group]:
    """A group of its own, for one test, with hosts that can be cut off from etcd."""
    with Group.running(tmp_path, cuttable=True) as group:
        yield group
