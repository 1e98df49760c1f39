"""Three real members, one of them killed, frozen, cut off from its peers or from us: seconds until the store is back.

The limits are for etcd's default election (1000/100 ms) and requests of 1 s. `pytest --log-level=info -rP` shows the
seconds that were measured.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from agent.core.model.store import Compare, Put, Txn
from agent.errors import StoreUnavailable
from agent.etcd.store import EtcdStore
from tests.lab.etcd import EtcdCluster, EtcdMember
from tests.lab.etcd import EtcdOptions as ClusterOptions
from tests.lab.ports import Ports
from tests.lab.wait import until
from tests.support.etcd_bench import PREFIX, options_for, put, running, store_on, until_answered
from tests.support.follow import following
from tests.support.peer_links import PeerLinks
from tests.support.slack import within

_log = logging.getLogger(__name__)
pytestmark = pytest.mark.real
REQUEST_S = 1.0
LIMIT_S = 5.0  # 3.5 s were the worst ever measured; the machine may be busy


@pytest.fixture(scope="module")
def linked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[EtcdCluster, PeerLinks]]:
    """Run three members whose links can be broken; each test leaves them healed."""
    root = tmp_path_factory.mktemp("cluster")
    with ExitStack() as stack:
        ports = stack.enter_context(closing(Ports()))
        cluster = EtcdCluster(root / "etcd", ports, ClusterOptions())
        links = stack.enter_context(closing(PeerLinks(cluster)))
        stack.enter_context(closing(cluster))
        cluster.start()
        yield cluster, links


@pytest.fixture
def cluster(linked: tuple[EtcdCluster, PeerLinks]) -> Iterator[EtcdCluster]:
    """Yield the healthy cluster, and heal it afterwards."""
    cluster, links = linked
    cluster.wait_leader()
    yield cluster
    links.heal()
    for member in cluster.members:
        if member.running:
            member.thaw()
        else:
            member.start()
    for member in cluster.members:
        cluster.wait_ready(member)


@pytest.fixture
def fault(request: pytest.FixtureRequest, linked: tuple[EtcdCluster, PeerLinks]) -> Callable[[EtcdMember], None]:
    """Yield what the parameter names."""
    faults: dict[str, Callable[[EtcdMember], None]] = {
        "kill": lambda member: member.kill(),
        "freeze": lambda member: member.freeze(),
        "cut off": lambda member: linked[1].cut_off(member),
    }
    return faults[request.param]


def starting_at(cluster: EtcdCluster, member: EtcdMember) -> list[str]:
    """Return the URLs of the cluster with this member first."""
    return [member.url, *(other.url for other in cluster.members if other is not member)]


def follower_of(cluster: EtcdCluster) -> EtcdMember:
    """Return a member that does not lead."""
    leader = cluster.wait_leader()
    return next(member for member in cluster.members if member is not leader)


@pytest.mark.parametrize("place", ["leader", "follower"])
@pytest.mark.parametrize("fault", ["kill", "freeze", "cut off"], indirect=True)
def test_store_leaves_a_broken_member(
    cluster: EtcdCluster,
    fault: Callable[[EtcdMember], None],
    place: str,
    record_property: Callable[[str, object], None],
) -> None:
    """Whatever happens to the member in use, a write succeeds on another one within the bound (P3)."""
    member = cluster.wait_leader() if place == "leader" else follower_of(cluster)
    with store_on(cluster, starting_at(cluster, member)) as store:
        store.txn(put("a"), 5.0)
        assert store.endpoint() == member.url
        fault(member)
        _, seconds, failures = until_answered(lambda: store.txn(put("a"), REQUEST_S), LIMIT_S)
        assert store.endpoint() != member.url
    _log.info("%.2f s", seconds)
    assert failures
    assert all(isinstance(error, StoreUnavailable) for error in failures)


def test_loss_of_the_leader_behind_another_member(cluster: EtcdCluster) -> None:
    """A store on a healthy member is back within the bound when the leader freezes behind it."""
    member = follower_of(cluster)
    with store_on(cluster, starting_at(cluster, member)) as store:
        store.txn(put("a"), 5.0)
        cluster.wait_leader().freeze()
        _, seconds, _ = until_answered(lambda: store.txn(put("a"), REQUEST_S), LIMIT_S)
    _log.info("%.2f s", seconds)


def test_confirmations_survive_a_frozen_leader(cluster: EtcdCluster) -> None:
    """An unknown outcome is settled by reading back, and the sequence of confirmations goes on without a gap (R2)."""
    key = PREFIX + "heartbeat"
    with store_on(cluster, starting_at(cluster, cluster.wait_leader())) as store:
        revision = store.txn(Txn((), (Put(key, b"0"),)), 5.0).revision
        cluster.wait_leader().freeze()
        end, last = time.monotonic() + 15.0, 0
        while last < 5:
            assert time.monotonic() < end
            try:
                confirm = Txn((Compare(key, revision),), (Put(key, b"%d" % (last + 1)),), (key,))
                answer = store.txn(confirm, REQUEST_S)
                assert answer.applied
                revision, last = answer.revision, last + 1
            except StoreUnavailable:
                found, _, _ = until_answered(lambda: store.range(key, REQUEST_S), 10.0)
                revision, seen = found.items[0].mod_revision, int(found.items[0].value)
                assert seen in (last, last + 1)
                last = seen


def test_no_quorum_is_told_within_the_deadline(cluster: EtcdCluster) -> None:
    """With two of three members frozen every call ends at its deadline; thawed, the store is back."""
    left = cluster.members[0]
    with store_on(cluster, starting_at(cluster, left)) as store:
        store.txn(put("a"), 5.0)
        for member in cluster.members[1:]:
            member.freeze()
        for _ in range(4):
            with within(0.5), pytest.raises(StoreUnavailable):
                store.txn(put("a"), 0.5)
        for member in cluster.members[1:]:
            member.thaw()
        until_answered(lambda: store.txn(put("a"), REQUEST_S), 15.0)


@pytest.mark.parametrize("fault", ["kill", "freeze", "cut off"], indirect=True)
def test_follower_leaves_a_broken_member(cluster: EtcdCluster, fault: Callable[[EtcdMember], None]) -> None:
    """A dead watch that looks alive deceives for 2 s of silence and one request at most; then changes come again."""
    member = follower_of(cluster)
    other = [url for url in cluster.urls if url != member.url]
    store = EtcdStore(options_for(cluster, starting_at(cluster, member)))
    with store_on(cluster, other) as writer, closing(store), following(store, PREFIX) as seen:
        seen.until(lambda: bool(seen.snapshots), 5.0)
        assert store.endpoint() == member.url
        fault(member)
        start = time.monotonic()
        revision = until_answered(lambda: writer.txn(put("a", b"after"), REQUEST_S), 15.0)[0].revision
        seen.until(lambda: seen.snapshots[-1].revision >= revision, LIMIT_S)
        _log.info("%.2f s", time.monotonic() - start)
        assert all(isinstance(error, StoreUnavailable) for error in seen.errors)
        assert store.endpoint() != member.url
        last = writer.txn(put("a", b"later"), 5.0).revision
        seen.until(lambda: seen.snapshots[-1].revision >= last, LIMIT_S)
    revisions = [snapshot.revision for snapshot in seen.snapshots]
    assert revisions == sorted(revisions)


def test_etcds_leader_is_found_and_moved(tmp_path: Path) -> None:
    """It is the member that etcdctl names, with the URLs of its clients; after a move it is the one that was named."""
    with (
        running(tmp_path, ClusterOptions(size=3)) as cluster,
        closing(EtcdStore(options_for(cluster))) as etcd,
    ):
        first = until(lambda: etcd.leader(5.0), 20.0, "a leader of etcd")
        named = until(cluster.leader, 20.0, "a leader by etcdctl")
        assert named.url in first.urls
        assert first.hosts == {"127.0.0.1"}
        other = next(each for each in etcd.members(5.0) if each.id != first.id)
        etcd.move_leader(other, 5.0)
        until(lambda: etcd.leader(5.0) == other, 20.0, "etcd's leader to have moved")
