"""Agents come to a nodeos that produces already, in either order: real etcd, real nodeos, under transactions."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab.lab import Lab
from tests.lab.measure.handovers import FIRST, SECOND, install

pytestmark = pytest.mark.real


@pytest.mark.parametrize("first", [SECOND, FIRST], ids=["the other host first", "the live host first"])
def test_a_live_producer_is_adopted(tmp_path: Path, first: str) -> None:
    """R18, R19, P1: no slot is signed twice, the live nodeos goes on without a pause, and the other host waits."""
    with Lab(tmp_path) as lab:
        chain, etcd = lab.chain(2), lab.etcd(1)
        found = install(lab, chain, etcd, 0, first)
        assert found.twice == 0
        live, other = (lab.agents[name].log.read_text() for name in (FIRST, SECOND))
        assert "transition=adopt from=starting to=campaigning" in live
        assert "transition=adopted from=elected to=leading" in live
        assert "transition=ready" not in live
        assert "to=leading" not in other
        if first == SECOND:
            assert "a nodeos without an agent signs" in other.replace("\n", " ")
