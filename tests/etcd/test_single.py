"""One real etcd member that is frozen, slow, half deaf, dripping or out of space: bounded calls and honest errors."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

import pytest

from agent.core.model.keys import keys as names
from agent.core.model.records import read_group
from agent.core.model.store import Delete, Put, Txn
from agent.errors import StoreError, StoreRejected, StoreUnavailable
from agent.etcd.connection import EtcdOptions
from agent.etcd.info import server_info
from agent.etcd.store import EtcdStore
from tests.lab.etcd import EtcdCluster
from tests.lab.etcd import EtcdOptions as ClusterOptions
from tests.lab.ports import Ports
from tests.lab.wait import until
from tests.support.etcd_bench import PREFIX, options_for, put, running, store_on, until_answered
from tests.support.slack import SLACK_S, within

pytestmark = pytest.mark.real


@pytest.fixture
def store(cluster: EtcdCluster) -> Iterator[EtcdStore]:
    """Yield a connected store."""
    with store_on(cluster) as store:
        store.range(PREFIX, 5.0)
        yield store


@contextmanager
def dripping(target: int) -> Iterator[int]:
    """Relay to a port of 127.0.0.1, one byte every 5 ms on the way back; yield the port to connect to."""
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def upwards(near: socket.socket, far: socket.socket) -> None:
            with suppress(OSError):
                while data := near.recv(4096):
                    far.sendall(data)

        def serve() -> None:
            with suppress(OSError):
                near, _ = listener.accept()
                with near, socket.create_connection(("127.0.0.1", target)) as far:
                    threading.Thread(target=upwards, args=(near, far), daemon=True).start()
                    while not over.wait(0.005) and (byte := far.recv(1)):
                        near.sendall(byte)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield int(listener.getsockname()[1])
        over.set()
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
    thread.join(5.0)
    assert not thread.is_alive()


def assert_unanswered(store: EtcdStore, timeout_s: float) -> StoreUnavailable:
    """Check that every request ends in StoreUnavailable at its deadline; return the first error."""
    requests = (
        lambda: store.txn(put("a"), timeout_s),
        lambda: store.range(PREFIX, timeout_s),
        lambda: store.grant(5, timeout_s),
        lambda: store.keepalive(1, timeout_s),
        lambda: store.lease_state(1, timeout_s),
        lambda: store.revoke(1, timeout_s),
        lambda: store.watch(PREFIX, 1, timeout_s),
    )
    errors = []
    for request in requests:
        with within(timeout_s), pytest.raises(StoreUnavailable) as caught:
            request()
        errors.append(caught.value)
    return errors[0]


def test_frozen_member_never_holds_a_call(cluster: EtcdCluster, store: EtcdStore) -> None:
    """With the only member frozen every request ends at its deadline, outcome unknown (R2); thawed, it serves again."""
    member = cluster.members[0]
    member.freeze()
    try:
        error = assert_unanswered(store, 0.3)
    finally:
        member.thaw()
    assert "no answer in time" in str(error)
    _, seconds, _ = until_answered(lambda: store.txn(put("a"), 1.0), 10.0)
    assert seconds < 3.0


@pytest.mark.parametrize(("deaf", "applied"), [("to_client", True), ("to_server", False)])
def test_lost_request_and_lost_answer_look_the_same(cluster: EtcdCluster, deaf: str, applied: bool) -> None:
    """StoreUnavailable tells nothing of the outcome: a write whose answer was lost is applied (R2: read it back)."""
    urls, (way,) = cluster.ways()
    with store_on(cluster, urls) as store:
        store.txn(Txn((), (Delete(PREFIX + "lost"),)), 5.0)
        way.cut("to_client" if deaf == "to_client" else "to_server")
        with pytest.raises(StoreUnavailable):
            store.txn(put("lost"), 0.4)
        way.heal()
        found, _, _ = until_answered(lambda: store.range(PREFIX + "lost", 1.0), 10.0)
    assert bool(found.items) is applied


def test_slow_member_is_given_up_at_the_deadline(cluster: EtcdCluster) -> None:
    """Answers that come too late are no answers."""
    urls, (way,) = cluster.ways()
    with store_on(cluster, urls) as store:
        store.range(PREFIX, 5.0)
        way.delay(1.0)
        assert_unanswered(store, 0.3)


def test_dripping_answer_is_given_up_at_the_deadline(cluster: EtcdCluster) -> None:
    """A peer that sends a byte now and then is never silent, and is given up all the same: the deadline is total."""
    cluster.etcdctl("put", PREFIX + "long", "x" * 4000)
    with dripping(int(cluster.members[0].endpoint.rpartition(":")[2])) as port, ExitStack() as stack:
        store = stack.enter_context(closing(EtcdStore(EtcdOptions((f"http://127.0.0.1:{port}",)))))
        # connects, slowly; on a busy machine so slowly that a ping is not answered in time
        until(lambda: store.lease_state(1, 30.0), 90.0, "a connection", retry_on=(StoreUnavailable,))
        with within(0.5), pytest.raises(StoreUnavailable, match="no answer in time"):
            store.range(PREFIX, 0.5)


def test_refused_endpoints_are_passed_over_within_one_call(cluster: EtcdCluster) -> None:
    """A dead endpoint first in the list costs no failed call: nothing was sent to it, so the next one is asked."""
    with closing(EtcdStore(EtcdOptions(("http://127.0.0.1:1", "127.0.0.1:2", cluster.urls[0])))) as store:
        assert store.txn(put("a"), 1.0).applied
        assert store.endpoint() == cluster.urls[0]


def test_no_endpoint_at_all_is_told_at_the_deadline() -> None:
    """When everything refuses, the error comes at the deadline and names each endpoint with its reason."""
    with closing(EtcdStore(EtcdOptions(("http://127.0.0.1:1", "http://127.0.0.1:2")))) as store:
        start = time.monotonic()
        with pytest.raises(StoreUnavailable) as caught:
            store.range(PREFIX, 0.5)
        assert 0.2 < time.monotonic() - start < 0.5 + SLACK_S
    assert "not sent" in str(caught.value)
    assert "http://127.0.0.1:1" in str(caught.value)
    assert "http://127.0.0.1:2" in str(caught.value)
    assert "nothing listens there" in str(caught.value)


def test_ipv6_addresses_work(tmp_path: Path) -> None:
    """A member on [::1] is reached by its bracketed address."""
    with suppress(OSError), socket.create_server(("::1", 0), family=socket.AF_INET6):
        with running_on_ipv6(tmp_path) as url, closing(EtcdStore(EtcdOptions((url,)))) as store:
            assert store.txn(put("a"), 5.0).applied
            assert store.endpoint() == url
        return
    pytest.skip("this machine has no ::1")


@contextmanager
def running_on_ipv6(root: Path) -> Iterator[str]:
    """Run a member on both loopback addresses; yield its IPv6 URL."""
    with closing(Ports()) as ports, closing(EtcdCluster(root / "etcd", ports, ClusterOptions(size=1))) as cluster:
        command = cluster.members[0].command
        place = command.index("--listen-client-urls") + 1
        url = command[place].replace("127.0.0.1", "[::1]")
        command[place] += f",{url}"
        cluster.start()
        yield url


def test_out_of_space_is_a_definite_no(tmp_path: Path) -> None:
    """With a NOSPACE alarm put and grant are refused with the remedy; keepalive, reads and revoke work."""
    options = ClusterOptions(size=1, more=("--quota-backend-bytes=2097152",))
    with running(tmp_path, options) as cluster, store_on(cluster) as store:
        lease = store.grant(60, 5.0)
        with pytest.raises(StoreRejected) as caught:
            for number in range(2000):  # etcd counts only what it has written, every 100 ms
                store.txn(put(f"fill/{number}", b"x" * 100_000), 5.0)
        assert caught.value.reason == "no_space"
        assert "etcdctl alarm disarm" in str(caught.value)
        # the put is refused by the member's own count; a small grant only once the alarm went through the log
        until(lambda: server_info(options_for(cluster), cluster.urls[0], 5.0).alarms == ("NOSPACE",), 10.0, "the alarm")
        with pytest.raises(StoreRejected) as refused:
            store.grant(60, 5.0)
        assert refused.value.reason == "no_space"
        assert store.keepalive(lease.id, 5.0) == 60
        assert store.range(PREFIX + "fill/1", 5.0).items
        store.revoke(lease.id, 5.0)


def test_server_info_tells_what_doctor_asks(cluster: EtcdCluster, store: EtcdStore) -> None:
    """Version, size, ids, term and alarms of a member, as etcdctl tells them too."""
    store.txn(Txn((), (Put(PREFIX + "a", b"1"),)), 5.0)
    info = server_info(options_for(cluster), cluster.urls[0], 5.0)
    assert info.version in cluster.etcdctl("endpoint", "status")
    assert info.leader == info.member > 0
    assert info.db_size > 0
    assert (info.alarms, info.learner, info.endpoint) == ((), False, cluster.urls[0])


def test_server_info_is_bounded(cluster: EtcdCluster) -> None:
    """A frozen member is told at the deadline, a dead one at once."""
    member = cluster.members[0]
    member.freeze()
    with within(0.3):
        try:
            with pytest.raises(StoreUnavailable):
                server_info(options_for(cluster), member.url, 0.3)
        finally:
            member.thaw()
    with pytest.raises(StoreUnavailable, match="nothing listens there"):
        server_info(options_for(cluster), "http://127.0.0.1:1", 5.0)


def test_closed_store_connects_again(store: EtcdStore) -> None:
    """Close drops the connection and never raises; the next call makes a new one."""
    watch = store.watch(PREFIX, store.range(PREFIX, 5.0).revision + 1, 5.0)
    store.close()
    store.close()
    with pytest.raises(StoreUnavailable):
        watch.next(5.0)
    assert store.txn(put("a"), 5.0).applied


def test_watch_from_a_revision_that_is_yet_to_come_is_refused(store: EtcdStore) -> None:
    """It would be silent until the revision comes, as after a restored snapshot: the reader reads again instead."""
    now = store.range(PREFIX, 5.0).revision
    with pytest.raises(StoreUnavailable, match=f"is at revision {now}, before {now + 1}"):
        store.watch(PREFIX, now + 2, 5.0)
    store.watch(PREFIX, now + 1, 5.0).close()


def test_large_values_below_the_prefix_blind_nobody(cluster: EtcdCluster, store: EtcdStore) -> None:
    """Anybody may put values as large as etcd takes them: four exceed gRPC's own bound, and the group is read still."""
    keys = [PREFIX + f"large/{number}" for number in range(4)]
    try:
        for key in keys:
            store.txn(Txn((), (Put(key, bytes(1_050_000)),)), 5.0)
        found = store.range(PREFIX, 5.0)
        assert {item.key for item in found.items} >= set(keys)
        problems = read_group(names("/nodeos-failover", "test"), found).problems
        assert sum("1050000 bytes, at most 65536 are read" in each for each in problems) == 4
        change = store.watch(PREFIX, found.revision - 3, 5.0)
        assert all(change.next(5.0) for _ in keys)
        change.close()
    finally:
        store.txn(Txn((), tuple(Delete(key) for key in keys)), 5.0)


def test_failed_request_leaves_a_good_connection_alone(store: EtcdStore) -> None:
    """A definite no is no reason to leave a member that answers."""
    connection = store._connection
    with pytest.raises(StoreError):
        store.txn(Txn((), (Put(PREFIX + "a", b""), Put(PREFIX + "a", b""))), 5.0)
    assert store._connection is connection
