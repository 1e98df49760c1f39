"""The messages to and from etcd, field by field (R1, R8), and how etcd3 gets imported: in pure Python, silently."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from agent.core.model.store import Compare, Delete, KeyValue, Put, Snapshot, Txn, TxnAnswer
from agent.etcd.rpc import (
    changes,
    key_value,
    prefix_range,
    range_request,
    rpc,
    snapshot,
    txn_answer,
    txn_request,
    watch_request,
)


def test_a_transaction_compares_mod_revisions_for_equality() -> None:
    """R8: not versions, not values, and 0 means that the key is not there."""
    made = txn_request(Txn((Compare("/a", 7), Compare("/b", 0)), ()))
    for found, (key, revision) in zip(made.compare, ((b"/a", 7), (b"/b", 0)), strict=True):
        assert (found.key, found.mod_revision) == (key, revision)
        assert found.target == rpc.Compare.MOD
        assert found.result == rpc.Compare.EQUAL
        assert found.WhichOneof("target_union") == "mod_revision"
        assert not found.range_end


def test_value_and_lease_are_compared_where_they_are_given() -> None:
    """R20: a store that was restored gives the same revisions again, for another value."""
    made = txn_request(Txn((Compare("/a", 7, b"", 0), Compare("/b", 0, value=b"v")), ()))
    told = [(each.key, each.target, each.WhichOneof("target_union"), each.result) for each in made.compare]
    kind = rpc.Compare
    assert told == [
        (b"/a", kind.MOD, "mod_revision", kind.EQUAL),
        (b"/a", kind.VALUE, "value", kind.EQUAL),
        (b"/a", kind.LEASE, "lease", kind.EQUAL),
        (b"/b", kind.MOD, "mod_revision", kind.EQUAL),
        (b"/b", kind.VALUE, "value", kind.EQUAL),
    ]
    assert (made.compare[1].value, made.compare[2].lease, made.compare[4].value) == (b"", 0, b"v")


def test_what_is_written_stands_in_the_branch_of_success_alone() -> None:
    """R1: nothing is written when a comparison fails; then what is there is read, key by key."""
    made = txn_request(Txn((Compare("/a", 7),), (Put("/a", b"1", 99), Put("/c", b""), Delete("/b")), ("/a", "/h")))
    put, plain, delete = made.success
    assert (put.request_put.key, put.request_put.value, put.request_put.lease) == (b"/a", b"1", 99)
    assert (plain.request_put.key, plain.request_put.lease) == (b"/c", 0)
    assert plain.WhichOneof("request") == "request_put"
    assert (delete.request_delete_range.key, delete.request_delete_range.range_end) == (b"/b", b"")
    assert [(each.request_range.key, each.request_range.range_end) for each in made.failure] == [
        (b"/a", b""),
        (b"/h", b""),
    ]


@pytest.mark.parametrize("applied", [True, False])
def test_the_answer_to_a_transaction(applied: bool) -> None:
    """Whether it was applied, at which revision of which store (R20), and after a refusal what stands there."""
    item = rpc.RangeResponse(kvs=[{"key": b"/a", "value": b"x", "mod_revision": 5, "lease": 9}])
    answer = rpc.TxnResponse(succeeded=applied, responses=[rpc.ResponseOp(response_range=item)])
    answer.header.revision, answer.header.cluster_id = 12, 99
    found = () if applied else (KeyValue("/a", b"x", 5, 9),)
    assert txn_answer(answer) == TxnAnswer(applied, 12, found, cluster=99)


@pytest.mark.parametrize(
    ("prefix", "found"),
    [("/a/", (b"/a/", b"/a0")), ("a", (b"a", b"b")), ("", (b"\0", b"\0")), ("é", ("é".encode(), b"\xc3\xaa"))],
)
def test_a_prefix_is_a_range(prefix: str, found: tuple[bytes, bytes]) -> None:
    """All keys that begin so, and no other one; the empty prefix is every key."""
    assert prefix_range(prefix) == found
    made = range_request(prefix)
    assert (made.key, made.range_end) == found
    assert (made.serializable, made.count_only, made.revision, made.limit) == (False, False, 0, 0)
    assert range_request(prefix, count_only=True).count_only


def test_a_watch_begins_at_its_revision() -> None:
    """Inclusive, with the whole prefix."""
    made = watch_request("/a/", 42).create_request
    assert (made.key, made.range_end, made.start_revision) == (b"/a/", b"/a0", 42)


def test_a_read_keeps_order_and_revision() -> None:
    """The revision is that of the store at the read, not that of a key; and of which store (R20)."""
    answer = rpc.RangeResponse(kvs=[{"key": b"/a", "mod_revision": 3}, {"key": b"/b", "value": b"v", "lease": 8}])
    answer.header.revision, answer.header.cluster_id = 20, 99
    assert snapshot(answer) == Snapshot(20, (KeyValue("/a", b"", 3, 0), KeyValue("/b", b"v", 0, 8)), cluster=99)


def test_a_key_that_is_no_text_is_shown_and_none_of_ours() -> None:
    """It must not end the read."""
    assert key_value(rpc.RangeResponse(kvs=[{"key": b"/\xff"}]).kvs[0]).key == "/\\xff"


def test_changes_come_by_revision_with_what_was_deleted() -> None:
    """One answer may bring several revisions, in any order; a deletion has no value and revision 0.

    Keys that are not UTF-8 do no harm.
    """
    answer = rpc.WatchResponse()
    for kind, key, value, revision in ((0, b"/\xff", b"2", 9), (0, b"/a", b"1", 8), (1, b"/c", b"old", 8)):
        event = answer.events.add()
        event.type = kind
        event.kv.key, event.kv.value, event.kv.mod_revision, event.kv.lease = key, value, revision, 4
    assert changes(answer) == [
        Snapshot(8, (KeyValue("/a", b"1", 8, 4), KeyValue("/c", b"", 0))),
        Snapshot(9, (KeyValue("/\\xff", b"2", 9, 4),)),
    ]


ROOT = Path(__file__).parents[2]


def python(code: str, *flags: str) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh interpreter, since an import happens once."""
    return subprocess.run([sys.executable, *flags, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)


def test_import_chooses_pure_python_and_is_silent() -> None:
    """The adapter imports with every warning an error, and tells children of the process nothing of its choice."""
    code = """
import os
import agent.etcd.store
from google.protobuf.internal import api_implementation
print(api_implementation.Type(), os.environ.get("PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION"))
"""
    done = python(code, "-W", "error")
    assert (done.stdout, done.stderr) == ("python None\n", "")


def test_messages_work_without_warnings() -> None:
    """Messages are built, packed and read with every warning an error."""
    code = """
from agent.etcd.rpc import rpc, txn_request
from agent.core.model.store import Compare, Delete, Put, Txn
request = txn_request(Txn((Compare("/a", 0),), (Put("/a", b"1", 7), Delete("/b")), ("/a",)))
again = rpc.TxnRequest.FromString(request.SerializeToString())
assert again == request and again.compare[0].mod_revision == 0 and again.success[0].request_put.lease == 7
"""
    done = python(code, "-W", "error")
    assert (done.returncode, done.stderr) == (0, "")


def test_protobuf_imported_too_early_is_explained() -> None:
    """When somebody loaded protobuf's compiled implementation first, the error names the cause and two remedies."""
    done = python("import google.protobuf.descriptor, agent.etcd.store")
    assert done.returncode == 1
    assert "ImportError: google.protobuf was imported before agent.etcd, as 'upb'" in done.stderr
    assert "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION=python" in done.stderr


def test_protobuf_imported_early_in_pure_python_is_fine() -> None:
    """An earlier import of the right implementation does no harm."""
    code = """
import os
os.environ["PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION"] = "python"
import google.protobuf.descriptor, agent.etcd.store
print(os.environ["PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION"])
"""
    assert python(code).stdout == "python\n"
