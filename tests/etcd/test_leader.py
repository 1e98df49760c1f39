"""Where etcd's own leader runs, and moving it, asked of a real etcd of three members (R17)."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from agent.etcd.leader import EtcdLeadership
from tests.lab.etcd import EtcdOptions as ClusterOptions
from tests.lab.wait import until
from tests.support.etcd_bench import options_for, running

pytestmark = pytest.mark.real


def test_etcds_leader_is_found_and_moved(tmp_path: Path) -> None:
    """It is the member that etcdctl names, with the URLs of its clients; after a move it is the one that was named."""
    with (
        running(tmp_path, ClusterOptions(size=3)) as cluster,
        closing(EtcdLeadership(options_for(cluster))) as etcd,
    ):
        first = until(lambda: etcd.leader(5.0), 20.0, "a leader of etcd")
        named = until(cluster.leader, 20.0, "a leader by etcdctl")
        assert named.url in first.urls
        assert first.hosts == {"127.0.0.1"}
        other = next(each for each in etcd.members(5.0) if each.id != first.id)
        etcd.move(other, 5.0)
        until(lambda: etcd.leader(5.0) == other, 20.0, "etcd's leader to have moved")
