"""Endpoints that come to belong to another cluster (R20): left alone, until more than half of them do."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import grpc
import pytest

from agent.cli.target import open_store
from agent.config.sections import EtcdSection
from agent.core.model.store import Txn
from agent.errors import LeaseGone, StoreRejected
from agent.etcd.connection import EtcdOptions
from agent.etcd.info import learn_cluster
from agent.etcd.one_cluster import OneCluster
from agent.etcd.rpc import rpc
from agent.etcd.store import EtcdStore
from tests.lab.etcd import EtcdCluster
from tests.lab.etcd import EtcdOptions as ClusterOptions
from tests.support.etcd_bench import PREFIX, create, options_for, put, running, until_answered
from tests.support.wire import Failed, Wire, wire

__all__ = ["wire"]

THREE = ("a", "b", "c")
URLS = ("http://127.0.0.1:2379", "http://127.0.0.1:2380", "http://127.0.0.1:2381")
ADDRESSES = [each.removeprefix("http://") for each in URLS]
OURS, OTHER = 7, 8
LIMIT_S = 5.0


@pytest.mark.parametrize(
    ("told", "endpoints", "known"),
    [
        ("a8", ("a",), OTHER),
        ("a8", ("a", "b"), OURS),
        ("a8 b8", ("a", "b"), OTHER),
        ("b8", THREE, OURS),
        ("b8 b8 b8", THREE, OURS),
        ("b8 c9", THREE, OURS),
        ("b8 a8", THREE, OTHER),
        ("b8 b7 c8", THREE, OURS),
    ],
)
def test_another_cluster_is_believed_by_more_than_half(told: str, endpoints: tuple[str, ...], known: int) -> None:
    """P1, R20: a cluster of which no more than half of the endpoints tell is not gone: it may have a leader."""
    found = OneCluster()
    assert not found.foreign("a", OURS, endpoints)
    for each in told.split():
        why = found.foreign(each[0], int(each[1:]), endpoints)
        assert bool(why) == (int(each[1:]) != found.known)
    assert found.known == known


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[EtcdCluster]:
    """Run three members of its own."""
    with running(tmp_path, ClusterOptions()) as cluster:
        yield cluster


@pytest.mark.real
def test_a_member_that_was_set_up_alone_is_left_alone(cluster: EtcdCluster) -> None:
    """P1, R20: whether an idle connection finds it there or a new one, nothing that it says is believed."""
    second = cluster.members[1]
    urls = (second.url, cluster.members[0].url, cluster.members[2].url)
    options = options_for(cluster, urls)
    with closing(EtcdStore(options)) as idle, closing(EtcdStore(options)) as fresh:
        idle.txn(put("mine", b"1"), LIMIT_S)
        assert idle.endpoint() == second.url
        cluster.set_up_alone(second)
        until_answered(lambda: idle.txn(create("new"), LIMIT_S), LIMIT_S)
        assert [item.value for item in fresh.range(PREFIX + "mine", LIMIT_S).items] == [b"1"]
        assert second.url not in (idle.endpoint(), fresh.endpoint())
    assert "made" in cluster.etcdctl("get", PREFIX + "new", "--endpoints", cluster.members[0].url)


@pytest.mark.real
def test_a_cluster_that_was_set_up_anew_is_believed(cluster: EtcdCluster) -> None:
    """P2, R20: when every member forgot, the agents go on by themselves."""
    with closing(EtcdStore(options_for(cluster))) as store:
        known = store.txn(put("mine", b"1"), LIMIT_S).cluster
        for member in cluster.members:
            member.command[member.command.index("--initial-cluster-token") + 1] = "anew"
        cluster.forget()
        found, _, _ = until_answered(lambda: store.range(PREFIX, LIMIT_S), 2 * LIMIT_S)
        assert found.cluster != known
        assert not found.items


@pytest.mark.real
def test_a_process_that_starts_goes_by_most_endpoints(cluster: EtcdCluster) -> None:
    """P1, R20: neither an agent nor a command goes by the one that it asks first, where that was set up alone."""
    first = cluster.members[0]
    cluster.set_up_alone(first)
    options = options_for(cluster)
    learn_cluster(options, LIMIT_S)
    with closing(EtcdStore(options)) as agents, closing(open_store(EtcdSection(endpoints=options.endpoints))) as word:
        for store in (agents, word):
            store.range(PREFIX, LIMIT_S)
            assert store.endpoint() != first.url


def test_most_endpoints_that_are_silent_tell_nothing(wire: Wire) -> None:
    """P2: then the first that answers is believed, as an agent that starts has nothing to compare with."""
    away = Failed(grpc.StatusCode.UNAVAILABLE)
    wire.says["Status"] = [rpc.StatusResponse(header=rpc.ResponseHeader(cluster_id=OTHER)), away]
    options = EtcdOptions(URLS)
    learn_cluster(options, 2.0)
    assert options.cluster.known == 0
    wire.says["Range"] = lambda: rpc.RangeResponse(header=rpc.ResponseHeader(revision=7, cluster_id=OURS))
    EtcdStore(options).range("/a", 2.0)
    assert options.cluster.known == OURS


def _told(wire: Wire, clusters: dict[str, int]) -> Any:
    """Return an answer to reads that has the id of the member whose channel was opened last."""
    return lambda: rpc.RangeResponse(header=rpc.ResponseHeader(revision=7, cluster_id=clusters[wire.opened[-1]]))


def test_what_is_known_outlasts_a_connection(wire: Wire) -> None:
    """R20: a process goes on with the cluster that it knew, and stores that share their options know the same."""
    options = EtcdOptions(URLS)
    options.cluster.known = OURS
    wire.says["Range"] = _told(wire, dict(zip(ADDRESSES, (OTHER, 9, OURS), strict=True)))
    for _ in range(2):
        store = EtcdStore(options)
        store.range("/a", 2.0)
        assert store.endpoint() == URLS[2]
    assert wire.opened == 2 * ADDRESSES


def test_a_lease_that_is_not_known_may_be_of_another_cluster(wire: Wire) -> None:
    """P2, R20: a refusal tells no cluster id, so the next request looks where it is."""
    store = EtcdStore(EtcdOptions(URLS))
    store.range("/a", 2.0)
    wire.says["Txn"] = Failed(grpc.StatusCode.NOT_FOUND, "etcdserver: requested lease not found")
    with pytest.raises(LeaseGone):
        store.txn(Txn((), ()), 2.0)
    del wire.says["Txn"]
    store.txn(Txn((), ()), 2.0)
    assert wire.methods == ["Range", "Range", "Txn", "Range", "Txn"]


def test_an_endpoint_that_does_not_know_us_is_not_the_only_one(wire: Wire) -> None:
    """P2: one member of another cluster that refuses our login is passed over by the next call, not asked for ever."""
    random.seed(1)
    refused = Failed(grpc.StatusCode.INVALID_ARGUMENT, "etcdserver: authentication failed, invalid user ID or password")
    wire.says["Authenticate"] = [refused, rpc.AuthenticateResponse(token="t0ken")]
    store = EtcdStore(EtcdOptions(URLS, user="agent", password="x"))
    with pytest.raises(StoreRejected):
        store.range("/a", 2.0)
    store.range("/a", 2.0)
    assert wire.opened == ADDRESSES[:2]
