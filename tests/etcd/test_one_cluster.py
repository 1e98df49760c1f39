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
from agent.errors import LeaseGone, StoreRejected, StoreUnavailable
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
def test_a_member_that_was_taken_out_by_force_is_left_alone(cluster: EtcdCluster) -> None:
    """P1, R20: --force-new-cluster keeps the id, and revisions go on: whether an idle connection finds it or a new one.

    A process that starts has nothing to compare with, and believes it: so it is after the others are gone for good.
    """
    *others, third = cluster.members
    with (
        closing(EtcdStore(options := options_for(cluster, [third.url]))) as idle,
        closing(EtcdStore(options)) as fresh,
        closing(EtcdStore(options_for(cluster, [third.url]))) as started,
    ):
        known = idle.txn(put("mine", b"1"), LIMIT_S)
        for each in others:
            each.freeze()  # cut off: it would end those that it reaches
        third.kill()
        third.start("--force-new-cluster")
        cluster.wait_ready(third)
        for store in (idle, fresh, idle, fresh):
            with pytest.raises(StoreUnavailable, match="force-new-cluster"):
                store.txn(put("mine", b"2"), LIMIT_S)
        found = started.txn(put("mine", b"3"), LIMIT_S)
        assert found.cluster == known.cluster
        assert found.revision > known.revision


@pytest.mark.parametrize(
    ("lists", "left_alone"),
    [
        ("abc c", True),
        ("abc bc c", True),
        ("abc bc b", True),
        ("abc bc", False),
        ("abcde cd", True),
        ("abcde cde", False),
        ("abc abcd bcd bcde cde cdef def", False),
        ("abc d", False),
        ("c abc", False),
        ("c c", False),
    ],
)
def test_voters_that_go_at_once_are_told_from_those_that_are_replaced(lists: str, left_alone: bool) -> None:
    """P1, P2, R20: half or more of those that are known gone, with nobody in their place, is no change of members."""
    found = OneCluster()
    *before, last = [frozenset(map(ord, each)) for each in lists.split()]
    assert not any(found.cut_down(each) for each in before)
    assert bool(found.cut_down(last)) is left_alone
    assert not found.cut_down(frozenset()), "who is told nothing goes on"
    assert bool(found.cut_down(last)) is left_alone


def _in_term(wire: Wire, term: int, voters: tuple[int, ...]) -> None:
    wire.says["Range"] = lambda: rpc.RangeResponse(header=rpc.ResponseHeader(revision=7, raft_term=term))
    wire.says["Txn"] = lambda: rpc.TxnResponse(header=rpc.ResponseHeader(revision=8, raft_term=term), succeeded=True)
    wire.says["MemberList"] = rpc.MemberListResponse(members=[{"ID": each} for each in voters])


def test_the_members_are_listed_once_in_each_term(wire: Wire) -> None:
    """P1, R20: an answer of another term of etcd's is believed after a look at who votes; others cost nothing more."""
    store = EtcdStore(EtcdOptions(URLS[:1]))
    _in_term(wire, 2, (1, 2, 3))
    for _ in range(2):
        store.txn(Txn((), ()), 2.0)
    assert wire.methods == ["Range", "MemberList", "Txn", "Txn"]
    _in_term(wire, 3, (1, 2, 3))
    store.txn(Txn((), ()), 2.0)
    assert wire.methods[4:] == ["Txn", "MemberList"]
    _in_term(wire, 4, (3,))
    with pytest.raises(StoreUnavailable, match="1 of the 3 members"):
        store.txn(Txn((), ()), 2.0)
    assert wire.closed == 1


@pytest.mark.parametrize(
    ("said", "believed"),
    [
        (Failed(grpc.StatusCode.PERMISSION_DENIED, "etcdserver: permission denied"), True),
        (Failed(grpc.StatusCode.UNAUTHENTICATED, "etcdserver: invalid auth token"), True),
        (Failed(grpc.StatusCode.DEADLINE_EXCEEDED), False),
    ],
    ids=["may not tell", "wants a login", "silent"],
)
def test_a_member_that_does_not_list_the_others(wire: Wire, said: Failed, believed: bool) -> None:
    """P2, R2: who may not see the list goes on; without an answer the outcome of what was sent before is unknown.

    No is never said of it, nor is it sent again.
    """
    store = EtcdStore(EtcdOptions(URLS[:1]))
    _in_term(wire, 2, (1, 2, 3))
    store.txn(Txn((), ()), 2.0)
    _in_term(wire, 3, ())
    wire.says["MemberList"] = said
    if believed:
        assert store.txn(Txn((), ()), 2.0).applied
    else:
        with pytest.raises(StoreUnavailable):
            store.txn(Txn((), ()), 2.0)
    assert wire.methods == ["Range", "MemberList", "Txn", "Txn", "MemberList"]


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
