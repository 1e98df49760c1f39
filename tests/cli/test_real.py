"""`status` as operators run it: the real command against a real etcd."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from agent.core.model.keys import keys
from agent.core.model.records import Heartbeat, Member, write
from agent.core.model.store import Put, Txn
from tests.lab.etcd import EtcdCluster
from tests.support.etcd_bench import store_on

pytestmark = pytest.mark.real
NAMES = keys("/nodeos-failover", "eos")
BEAT = Heartbeat(7, "bp-a", "i", 1, 6000)
MEMBER = Member("bp-a", "i", "leading", True, True, (), 100, 90, 120, 100, False, "0.1.0", "v5.0.2")


def status(cluster: EtcdCluster, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own."""
    command = [sys.executable, "-m", "agent", "status", "--etcd", ",".join(cluster.urls), "--group", "eos", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


@contextmanager
def leading(cluster: EtcdCluster) -> Iterator[None]:
    """Confirm a leader every 0.2 s for the time of a `with` block, as an agent does."""
    over = threading.Event()
    with store_on(cluster) as store:
        lease = store.grant(10, 5).id
        standby = replace(MEMBER, node="bp-b", role="standby")
        puts = (
            Put(NAMES.leader, b"bp-a", lease),
            *(Put(NAMES.member(each.node), write(each), lease) for each in (MEMBER, standby)),
        )
        store.txn(Txn((), (*puts, Put(NAMES.heartbeat, write(BEAT)))), 5)

        def confirm() -> None:
            seq = 1
            with store_on(cluster) as own:
                while not over.wait(0.2):
                    seq += 1
                    own.txn(Txn((), (Put(NAMES.heartbeat, write(replace(BEAT, seq=seq))),)), 5)

        thread = threading.Thread(target=confirm)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join(10)


def test_status_tells_a_confirmed_leader_from_one_that_stands_still(cluster: EtcdCluster) -> None:
    """R1: exit code 0 while the heartbeat moves on, 8 once it stands still although every key is there."""
    with leading(cluster):
        result = status(cluster, "-f", "json")
        assert result.returncode == 0, result.stdout + result.stderr
        assert json.loads(result.stdout)["confirmed"] is True
    result = status(cluster)
    assert result.returncode == 8
    assert "bp-a has not confirmed its lead while we looked" in result.stdout
    assert result.stderr == ""


def test_status_of_a_frozen_etcd_ends_in_time_with_4(cluster: EtcdCluster) -> None:
    """A member that hangs costs the time-out and no more; the message names it, without a traceback."""
    cluster.members[0].freeze()
    try:
        begin = time.monotonic()
        result = status(cluster, "--timeout", "0.5")
        assert time.monotonic() - begin < 25  # most of it is the start of Python, on a machine that others load, too
    finally:
        cluster.members[0].thaw()
    assert result.returncode == 4
    assert cluster.urls[0] in result.stderr
    assert "Traceback" not in result.stderr
