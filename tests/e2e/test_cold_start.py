"""A group that begins on a chain which stands: real etcd, real nodeos that saw no block since their start."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab.chain import START
from tests.lab.group import Group

pytestmark = pytest.mark.real


def test_a_chain_that_stands_is_begun_with_fast_spans(tmp_path: Path) -> None:
    """R9, P2: such a nodeos answers its first resume after 0.7 s; nobody ends it for that, however fast etcd is."""
    fast = {"validity": 3.0, "renew": 0.4, "request": 0.6, "election": 0.5}
    with Group(tmp_path, timing=fast) as group:
        nodes = group.chain.nodes.values()
        for node in nodes:
            node.pause()
        for node in nodes:
            node.restart(START)
        pids = [node.pid for node in nodes]
        group.start()
        assert [node.pid for node in nodes] == pids
        assert "did not resume" not in group.story()
