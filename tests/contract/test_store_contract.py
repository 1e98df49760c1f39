"""What every `Store` promises, run against real etcd and against its stand-in, so that the two do not drift apart."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.core.model.store import Compare, Delete, KeyValue, Put, Snapshot, Txn, TxnAnswer
from agent.errors import LeaseGone, StoreCompacted, StoreError, StoreRejected, StoreUnavailable
from agent.host.clock import boot_ms
from agent.ports import Store, Watch
from tests.lab.etcd import EtcdCluster
from tests.support.etcd_bench import store_on
from tests.support.memory_store import MemoryEtcd, MemoryStore
from tests.support.slack import within

LIMIT_S = 2.0
NO_LEASE = 12345


@dataclass
class Bench:
    """One kind of store: how to make one, and how to compact. `prefix` is empty at first."""

    make: Callable[[], Store]
    compact: Callable[[int], None]
    prefix: str

    def __post_init__(self) -> None:
        self.store = self.make()

    def key(self, name: str) -> str:
        """Return a key under the prefix of this test."""
        return self.prefix + name

    def do(self, *then: Put | Delete) -> TxnAnswer:
        """Write, whatever stands there."""
        return self.store.txn(Txn((), then), LIMIT_S)

    def put(self, name: str, value: bytes = b"v", lease: int = 0) -> int:
        """Put one key, and return the revision."""
        return self.do(Put(self.key(name), value, lease)).revision

    def read(self) -> Snapshot:
        """Read the prefix of this test."""
        return self.store.range(self.prefix, LIMIT_S)

    def watch(self, revision: int) -> Watch:
        """Watch the prefix of this test."""
        return self.store.watch(self.prefix, revision, LIMIT_S)


@pytest.fixture(params=["memory", pytest.param("etcd", marks=pytest.mark.real)])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    """Yield each kind of store in turn, with a prefix of its own."""
    prefix = f"/nodeos-failover/{time.monotonic_ns()}/"
    with ExitStack() as stack:
        if request.param == "memory":
            memory = MemoryEtcd(boot_ms)
            yield Bench(lambda: MemoryStore(memory), memory.compact, prefix)
        else:
            etcd: EtcdCluster = request.getfixturevalue("cluster")

            def compact(revision: int) -> None:
                etcd.etcdctl("compact", str(revision))

            yield Bench(lambda: stack.enter_context(store_on(etcd)), compact, prefix)


def next_change(watch: Watch) -> Snapshot:
    """Return the next change, which must come soon."""
    change = watch.next(LIMIT_S)
    assert change is not None
    return change


# --- transactions -------------------------------------------------------------------------------------------


def test_revision_0_compares_as_absent(bench: Bench) -> None:
    """A comparison with mod revision 0 holds exactly while the key does not exist (R8: absent heartbeat)."""
    key = bench.key("leader")
    claim = Txn((Compare(key, 0),), (Put(key, b"bp-a"),), (key,))
    assert bench.store.txn(claim, LIMIT_S).applied
    assert not bench.store.txn(claim, LIMIT_S).applied
    bench.do(Delete(key))
    assert bench.store.txn(claim, LIMIT_S).applied


def test_revision_of_an_applied_txn_is_that_of_its_keys(bench: Bench) -> None:
    """Winning and confirming go on from the answer's revision, so it is the mod revision of every key put (R1, R8)."""
    answer = bench.do(Put(bench.key("leader"), b"a"), Put(bench.key("heartbeat"), b"1"), Delete(bench.key("none")))
    assert answer == TxnAnswer(True, answer.revision, cluster=answer.cluster)
    assert [item.mod_revision for item in bench.read().items] == [answer.revision, answer.revision]


def test_refused_txn_changes_nothing_and_reports_what_is_there(bench: Bench) -> None:
    """A refusal carries those of the asked keys that exist, and the revision did not move (R1: what changed?)."""
    before = bench.put("leader", b"bp-b")
    keys = (bench.key("absent"), bench.key("leader"))
    refused = bench.store.txn(Txn((Compare(bench.key("leader"), before - 1),), (Put(keys[0], b"x"),), keys), LIMIT_S)
    assert refused == TxnAnswer(False, before, (KeyValue(keys[1], b"bp-b", before),), refused.cluster)
    assert bench.read() == Snapshot(before, refused.found, refused.cluster)


def test_every_answer_names_the_cluster(bench: Bench) -> None:
    """A write, a refusal and a read tell the same id, so that another store is known by it (R20)."""
    refused = bench.store.txn(Txn((Compare(bench.key("leader"), 99),), (Put(bench.key("leader"), b"x"),)), LIMIT_S)
    found = {bench.do(Put(bench.key("leader"), b"a")).cluster, refused.cluster, bench.read().cluster}
    assert len(found) == 1
    assert 0 not in found


def test_value_and_lease_are_compared_beside_the_revision(bench: Bench) -> None:
    """A revision that comes again in a restored store does not suffice: value and lease must be the same too (R20)."""
    lease = bench.store.grant(60, LIMIT_S).id
    leader, heartbeat, none = bench.key("leader"), bench.key("heartbeat"), bench.key("none")
    first, second = bench.put("leader", b"a", lease), bench.put("heartbeat", b"1")

    def holds(*compare: Compare) -> bool:
        return bench.store.txn(Txn(compare, (Put(bench.key("other"), b""),)), LIMIT_S).applied

    assert holds(Compare(leader, first, lease=lease), Compare(heartbeat, second, b"1"))
    assert not holds(Compare(leader, first, lease=lease + 1), Compare(heartbeat, second, b"1"))
    assert not holds(Compare(leader, first, lease=lease), Compare(heartbeat, second, b"2"))
    assert not holds(Compare(leader, first + 1, b"a", lease))
    assert holds(Compare(heartbeat, second, lease=0))
    assert not holds(Compare(none, 0, b"1"))


def test_every_comparison_must_hold(bench: Bench) -> None:
    """One comparison that fails refuses the whole transaction (R1: leader and heartbeat)."""
    first, second = bench.put("leader"), bench.put("heartbeat")
    leader, heartbeat = bench.key("leader"), bench.key("heartbeat")
    write = (Put(heartbeat, b"2"),)
    assert not bench.store.txn(Txn((Compare(leader, first), Compare(heartbeat, first)), write), LIMIT_S).applied
    assert not bench.store.txn(Txn((Compare(leader, second), Compare(heartbeat, second)), write), LIMIT_S).applied
    assert bench.store.txn(Txn((Compare(leader, first), Compare(heartbeat, second)), write), LIMIT_S).applied


def test_deletion_of_an_absent_key_changes_nothing(bench: Bench) -> None:
    """A delete that finds nothing is applied and leaves the revision as it was."""
    before = bench.put("a")
    answer = bench.do(Delete(bench.key("none")))
    assert (answer.applied, answer.revision) == (True, before)


def test_key_written_twice_is_rejected(bench: Bench) -> None:
    """A transaction that writes a key twice is a definite no."""
    with pytest.raises(StoreRejected) as caught:
        bench.do(Put(bench.key("a"), b"1"), Put(bench.key("a"), b"2"))
    assert caught.value.reason == "invalid"
    assert bench.read().items == ()


def test_values_are_bytes(bench: Bench) -> None:
    """Values come back as they were put, whatever they are; an empty value is not an absent key."""
    bench.put("all", bytes(range(256)))
    bench.put("empty", b"")
    assert [item.value for item in bench.read().items] == [bytes(range(256)), b""]


def test_range_is_the_prefix_alone(bench: Bench) -> None:
    """A read returns the keys under the prefix, in order, and no neighbour."""
    bench.put("b")
    bench.put("a")
    for neighbour in (bench.prefix[:-1], bench.prefix[:-1] + "0", bench.prefix[:-1] + "."):
        bench.do(Put(neighbour, b"x"))
    assert [item.key for item in bench.read().items] == [bench.key("a"), bench.key("b")]


def test_another_store_sees_a_write_at_once(bench: Bench) -> None:
    """What one agent wrote the other reads."""
    revision = bench.put("a", b"1")
    found = bench.make().range(bench.prefix, LIMIT_S)
    assert (found.revision, found.items) == (revision, (KeyValue(bench.key("a"), b"1", revision),))


# --- leases -------------------------------------------------------------------------------------------------


def test_lease_lives_as_long_as_granted(bench: Bench) -> None:
    """The granted TTL may be longer than asked, and keepalive and state report that one."""
    lease = bench.store.grant(1, LIMIT_S)
    assert lease.ttl >= 2
    assert bench.store.keepalive(lease.id, LIMIT_S) == lease.ttl
    assert lease.ttl - 1 <= bench.store.lease_state(lease.id, LIMIT_S) <= lease.ttl


def test_key_carries_its_lease(bench: Bench) -> None:
    """A key tells the lease that it is bound to; put without one it is bound to none (R10)."""
    lease = bench.store.grant(60, LIMIT_S).id
    bench.put("leader", b"bp-a", lease)
    assert bench.read().items[0].lease == lease
    bench.put("leader", b"bp-b")
    assert bench.read().items[0].lease == 0
    bench.store.revoke(lease, LIMIT_S)
    assert len(bench.read().items) == 1


def test_revoked_lease_takes_its_keys_along(bench: Bench) -> None:
    """Revoking removes the keys of the lease and no other; a second time is fine."""
    lease = bench.store.grant(60, LIMIT_S).id
    bench.put("mine", b"", lease)
    bench.put("other")
    bench.store.revoke(lease, LIMIT_S)
    bench.store.revoke(lease, LIMIT_S)
    assert [item.key for item in bench.read().items] == [bench.key("other")]


def test_lease_not_kept_alive_expires(bench: Bench) -> None:
    """A lease that nobody refreshes ends, its keys vanish and the watch tells; then it is gone for every use (R6)."""
    lease = bench.store.grant(1, LIMIT_S)
    revision = bench.put("leader", b"bp-a", lease.id)
    watch = bench.watch(revision + 1)
    gone = watch.next(lease.ttl + 5.0)
    assert gone is not None
    assert gone.items == (KeyValue(bench.key("leader"), b"", 0),)
    assert bench.read().items == ()
    assert bench.store.lease_state(lease.id, LIMIT_S) == -1
    with pytest.raises(LeaseGone):
        bench.store.keepalive(lease.id, LIMIT_S)
    watch.close()


def test_lease_that_never_was_is_gone(bench: Bench) -> None:
    """An unknown lease is LeaseGone for keepalive and put, -1 for its state, and fine to revoke."""
    with pytest.raises(LeaseGone):
        bench.store.keepalive(NO_LEASE, LIMIT_S)
    with pytest.raises(LeaseGone):
        bench.do(Put(bench.key("a"), b"1"), Put(bench.key("b"), b"1", NO_LEASE))
    assert bench.read().items == ()
    assert bench.store.lease_state(NO_LEASE, LIMIT_S) == -1
    bench.store.revoke(NO_LEASE, LIMIT_S)


def test_refusal_comes_before_the_lease(bench: Bench) -> None:
    """A refused transaction is an answer even if its lease is gone: the comparison decides first (R8)."""
    bench.put("leader")
    key = bench.key("leader")
    assert not bench.store.txn(Txn((Compare(key, 0),), (Put(key, b"", NO_LEASE),)), LIMIT_S).applied


# --- watches ------------------------------------------------------------------------------------------------


def test_watch_starts_at_its_revision(bench: Bench) -> None:
    """A watch brings the change of its first revision and all later ones, in order, and no earlier one."""
    bench.put("a", b"1")
    second = bench.put("a", b"2")
    watch = bench.watch(second)
    third = bench.put("b", b"3")
    assert next_change(watch) == Snapshot(second, (KeyValue(bench.key("a"), b"2", second),))
    assert next_change(watch) == Snapshot(third, (KeyValue(bench.key("b"), b"3", third),))
    watch.close()


def test_watch_brings_one_revision_at_a_time(bench: Bench) -> None:
    """The changes of one transaction come together; a deletion has no value and revision 0 (R5: release)."""
    first = bench.do(Put(bench.key("leader"), b"a"), Put(bench.key("heartbeat"), b"1")).revision
    second = bench.do(Put(bench.key("heartbeat"), b"2"), Delete(bench.key("leader"))).revision
    watch = bench.watch(first)
    changes = [next_change(watch), next_change(watch)]
    assert [change.revision for change in changes] == [first, second]
    assert {item.key: item.value for item in changes[0].items} == {
        bench.key("leader"): b"a",
        bench.key("heartbeat"): b"1",
    }
    assert set(changes[1].items) == {
        KeyValue(bench.key("heartbeat"), b"2", second),
        KeyValue(bench.key("leader"), b"", 0),
    }
    watch.close()


def test_watch_is_silent_about_others(bench: Bench) -> None:
    """Changes outside the prefix do not come, and silence is None after the time given."""
    watch = bench.watch(bench.put("a") + 1)
    bench.do(Put(bench.prefix[:-1] + "0", b"x"))
    with within(0.2, least=0.19):
        assert watch.next(0.2) is None
    watch.close()


def test_closed_watch_says_so(bench: Bench) -> None:
    """After close a watch brings nothing more, and to close it again is fine."""
    watch = bench.watch(bench.put("a"))
    watch.close()
    watch.close()
    with pytest.raises(StoreUnavailable):
        watch.next(LIMIT_S)


def test_compacted_revision_cannot_be_watched(bench: Bench) -> None:
    """A watch from a revision that is compacted away ends in StoreCompacted, in `watch` or in `next`."""
    first = bench.put("a", b"1")
    last = [bench.put("a", b"2") for _ in range(3)][-1]
    bench.compact(last)
    with pytest.raises(StoreCompacted):
        bench.watch(first).next(LIMIT_S)


# --- both at once -------------------------------------------------------------------------------------------

NAMES = st.sampled_from(["leader", "heartbeat", "override"])
WRITES = st.lists(st.tuples(NAMES, st.booleans()), max_size=3, unique_by=lambda write: write[0])
COMPARES = st.lists(st.tuples(NAMES, st.sampled_from(["now", "absent", "old"])), max_size=2)


@pytest.mark.real
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.tuples(COMPARES, WRITES), min_size=3, max_size=12))
def test_stand_in_answers_as_etcd_does(
    cluster: EtcdCluster, steps: list[tuple[list[tuple[str, str]], list[tuple[str, bool]]]]
) -> None:
    """Any sequence of transactions gets the same answers from both, up to the number that the revisions start from."""
    prefix = f"/nodeos-failover/{time.monotonic_ns()}/"
    with store_on(cluster) as etcd:
        answers = [transcript(store, prefix, steps) for store in (etcd, MemoryStore(MemoryEtcd(boot_ms)))]
    assert answers[0] == answers[1]


def transcript(
    store: Store, prefix: str, steps: list[tuple[list[tuple[str, str]], list[tuple[str, bool]]]]
) -> list[object]:
    """Run transactions; return what was answered, with revisions counted from the start, and what was watched."""
    base = store.range(prefix, LIMIT_S).revision
    seen: list[object] = []
    for number, (compares, writes) in enumerate(steps):
        known = {item.key: item.mod_revision for item in store.range(prefix, LIMIT_S).items}
        revisions = {"absent": 0, "old": base}
        txn = Txn(
            tuple(Compare(prefix + name, revisions.get(kind, known.get(prefix + name, 0))) for name, kind in compares),
            tuple(Put(prefix + name, b"%d" % number) if put else Delete(prefix + name) for name, put in writes),
            (prefix + "leader", prefix + "heartbeat"),
        )
        seen.append(relative(store.txn(txn, LIMIT_S), base))
    watch = store.watch(prefix, base + 1, LIMIT_S)
    last = store.range(prefix, LIMIT_S).revision
    while last > base and (change := next_change(watch)):
        seen.append((change.revision - base, sorted((item.key, item.value) for item in change.items)))
        if change.revision == last:
            break
    watch.close()
    return seen


def relative(answer: TxnAnswer, base: int) -> object:
    """Return an answer with revisions counted from `base`."""
    found = [(item.key, item.value, item.mod_revision - base) for item in answer.found]
    return answer.applied, answer.revision - base, found


def test_errors_of_the_store_are_our_own(bench: Bench) -> None:
    """Whatever is refused is a StoreError with a reason for the metrics."""
    with pytest.raises(StoreError) as caught:
        bench.do(Put("", b"no key"))
    assert isinstance(caught.value, StoreRejected)
    assert caught.value.reason
