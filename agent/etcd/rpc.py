"""The modules etcd3 and grpc, imported the one way that works, and messages to and from the core's data. No I/O here.

etcd3 0.12.0 carries code generated for protobuf 3. A current protobuf accepts that only in its pure Python
implementation, which must be chosen before anything imports `google.protobuf`. It costs about a millisecond a call.
"""

from __future__ import annotations

import os
import sys
import warnings
from types import ModuleType
from typing import Any

from agent.core.model.store import Compare, Delete, KeyValue, Put, Snapshot, Txn, TxnAnswer

_SWITCH = "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION"


def _import_etcd3() -> ModuleType:
    """Import etcd3 with protobuf in pure Python. ImportError when protobuf was imported otherwise before."""
    loaded = sys.modules.get("google.protobuf.internal.api_implementation")
    if loaded is not None and loaded.Type() != "python":
        raise ImportError(
            f"google.protobuf was imported before agent.etcd, as '{loaded.Type()}', with which etcd3 cannot work: "
            f"import agent.etcd.store first, or start Python with {_SWITCH}=python"
        )
    before = os.environ.get(_SWITCH)
    os.environ[_SWITCH] = "python"
    try:
        with warnings.catch_warnings():  # the old way to build descriptors warns some 900 times
            warnings.simplefilter("ignore", DeprecationWarning)
            import etcd3

            return etcd3  # type: ignore[no-any-return]  # etcd3 ships no types
    finally:  # protobuf has read it; children of this process shall not inherit it
        if before is None:
            del os.environ[_SWITCH]
        else:
            os.environ[_SWITCH] = before


def _import_grpc() -> ModuleType:
    """Import grpc, which reads its verbosity then. Each failure reaches the log as our own error, once."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    import grpc

    return grpc  # type: ignore[no-any-return]  # grpc ships no types


grpc: Any = _import_grpc()
etcd3: Any = _import_etcd3()
rpc: Any = etcd3.etcdrpc


def prefix_range(prefix: str) -> tuple[bytes, bytes]:
    """Return `key` and `range_end` of all keys under a prefix; the empty prefix means all keys."""
    key = prefix.encode()
    if not key:
        return b"\0", b"\0"
    return key, key[:-1] + bytes([key[-1] + 1])  # UTF-8 never ends in 0xff


def key_value(message: Any) -> KeyValue:
    """Turn a KeyValue message into data. A key that is not UTF-8 is shown with backslashes: it is none of ours."""
    key = bytes(message.key).decode(errors="backslashreplace")
    return KeyValue(key, bytes(message.value), int(message.mod_revision), int(message.lease))


def range_request(prefix: str, *, count_only: bool = False) -> Any:
    """Ask for all keys under a prefix, linearizably."""
    key, end = prefix_range(prefix)
    return rpc.RangeRequest(key=key, range_end=end, count_only=count_only)


def snapshot(response: Any) -> Snapshot:
    """Turn a RangeResponse into data."""
    items = tuple(key_value(item) for item in response.kvs)
    return Snapshot(int(response.header.revision), items, int(response.header.cluster_id))


def txn_request(txn: Txn) -> Any:
    """Build a transaction whose failure branch reads `txn.read`, so that a refusal reports what is there."""
    return rpc.TxnRequest(
        compare=[each for item in txn.compare for each in _compare(item)],
        success=[_write(item) for item in txn.then],
        failure=[rpc.RequestOp(request_range=rpc.RangeRequest(key=key.encode())) for key in txn.read],
    )


def txn_answer(response: Any) -> TxnAnswer:
    """Turn a TxnResponse into data."""
    applied = bool(response.succeeded)
    ranges = () if applied else response.responses
    found = tuple(key_value(item) for part in ranges for item in part.response_range.kvs)
    return TxnAnswer(applied, int(response.header.revision), found, int(response.header.cluster_id))


def watch_request(prefix: str, revision: int) -> Any:
    """Ask for the changes of a prefix from `revision` on."""
    key, end = prefix_range(prefix)
    return rpc.WatchRequest(create_request=rpc.WatchCreateRequest(key=key, range_end=end, start_revision=revision))


def changes(response: Any) -> list[Snapshot]:
    """Group the events of a WatchResponse by revision, oldest first; a deletion has no value and mod revision 0."""
    by_revision: dict[int, list[KeyValue]] = {}
    for event in response.events:
        item = key_value(event.kv)
        change = KeyValue(item.key, b"", 0) if event.type == event.DELETE else item
        by_revision.setdefault(item.mod_revision, []).append(change)
    return [Snapshot(revision, tuple(items)) for revision, items in sorted(by_revision.items())]


def later_fields(message: Any) -> dict[int, list[Any]]:
    """Return the fields that etcd3's messages of 2020 do not know, by number: integers, or bytes for text."""
    from google.protobuf.unknown_fields import UnknownFieldSet  # only now: protobuf must not be loaded before etcd3

    unknown: Any = UnknownFieldSet(message)
    fields: dict[int, list[Any]] = {}
    for item in unknown:
        fields.setdefault(item.field_number, []).append(item.data)
    return fields


def _compare(compare: Compare) -> list[Any]:
    """Compare by mod revision: that of a key which does not exist is 0. Value and lease beside it, where given."""
    wanted: dict[str, Any] = {"MOD": {"mod_revision": compare.mod_revision}}
    if compare.value is not None:
        wanted["VALUE"] = {"value": compare.value}
    if compare.lease is not None:
        wanted["LEASE"] = {"lease": compare.lease}
    key = compare.key.encode()
    return [
        rpc.Compare(result=rpc.Compare.EQUAL, target=rpc.Compare.CompareTarget.Value(target), key=key, **field)
        for target, field in wanted.items()
    ]


def _write(write: Put | Delete) -> Any:
    if isinstance(write, Put):
        put = rpc.PutRequest(key=write.key.encode(), value=write.value, lease=write.lease)
        return rpc.RequestOp(request_put=put)
    return rpc.RequestOp(request_delete_range=rpc.DeleteRangeRequest(key=write.key.encode()))
