"""The group's key in etcd: made once, read strictly, changed by whoever changes it there."""

from __future__ import annotations

from agent.core.model.keys import keys
from agent.core.model.store import KeyValue, Snapshot
from agent.peers import key
from tests.support.memory_store import MemoryEtcd, MemoryStore

NAMES = keys("/nodeos-failover", "eos")


def test_the_first_agent_makes_it_and_no_other_changes_it() -> None:
    """Two agents that start at once use one key: the second transaction changes nothing."""
    store = MemoryStore(MemoryEtcd(lambda: 0))
    assert key.find(NAMES, store.range(NAMES.root, 1)) == (False, None)
    assert store.txn(key.make(NAMES), 1).applied
    there, first = key.find(NAMES, store.range(NAMES.root, 1))
    assert there
    assert first is not None
    assert len(first) == key.BYTES
    assert not store.txn(key.make(NAMES), 1).applied
    assert key.find(NAMES, store.range(NAMES.root, 1)) == (True, first)


def test_what_no_agent_wrote_is_no_key() -> None:
    """A value of another form is reported, never used: an agent without a key hears nobody."""
    for value in (b"", b"secret", b"0" * 63, b"G" * 64, b"\xff" * 64):
        assert key.find(NAMES, Snapshot(1, (KeyValue(NAMES.peers_key, value, 1),))) == (True, None)
    assert key.find(NAMES, Snapshot(1, (KeyValue(NAMES.peers_key, b"0" * 64 + b"\n", 1),))) == (True, bytes(32))


def test_each_key_is_another_one() -> None:
    """It is random."""
    assert key.make(NAMES) != key.make(NAMES)
