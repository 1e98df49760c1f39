"""The calls of the adapters are counted under their outcomes, and timed; counting cannot harm them."""

from __future__ import annotations

from typing import Any

import pytest

from agent.core.model.store import Snapshot, Txn, TxnAnswer
from agent.errors import (
    FailoverError,
    LeaseGone,
    NodeosAnswer,
    NodeosTimeout,
    NodeosUnreachable,
    StoreCompacted,
    StoreRejected,
    StoreUnavailable,
)
from agent.etcd.connection import EtcdOptions
from agent.etcd.rpc import rpc
from agent.etcd.store import EtcdStore
from agent.host.deadline import NoAnswer, NotSent
from agent.net import metered
from agent.net.http import Answer
from agent.nodeos import client
from agent.nodeos.client import HttpNodeos
from agent.ports import Lease
from tests.support.metrics_bench import NOW, Bench
from tests.support.moved_time import MovedTime
from tests.support.recorder import Recorder

NODEOS: list[tuple[str, str, tuple[Any, ...]]] = [
    ("pause", "pause", ()),
    ("resume", "resume", ()),
    ("paused", "paused", ()),
    ("info", "get_info", ()),
    ("peers", "connections", ()),
    ("schedule", "get_producer_schedule", ()),
    ("block", "get_block", (7,)),
    ("finality", "get_finalizer_info", ()),
]
STORE: list[tuple[str, tuple[Any, ...]]] = [
    ("grant", (10,)),
    ("keepalive", (5,)),
    ("lease_state", (5,)),
    ("revoke", (5,)),
    ("txn", (Txn((), ()),)),
    ("range", ("/p/",)),
    ("watch", ("/p/", 9)),
]
SAID: dict[str, tuple[Any, Any]] = {
    "grant": (rpc.LeaseGrantResponse(ID=5, TTL=11), Lease(5, 11)),
    "keepalive": (11, 11),
    "lease_state": (rpc.LeaseTimeToLiveResponse(TTL=11, grantedTTL=12), 11),
    "revoke": (rpc.LeaseRevokeResponse(), None),
    "txn": (rpc.TxnResponse(succeeded=True), TxnAnswer(True, 0, ())),
    "range": (rpc.RangeResponse(), Snapshot(0, ())),
    "watch": (11, 11),
}
"""What etcd says to each, and what the caller gets."""


def noting(notes: list[tuple[str, str]]) -> metered.Note:
    """Return what keeps the name and the result of each call, and sees that its seconds can be."""

    def note(name: str, result: str, seconds: float) -> None:
        assert 0 <= seconds < 60
        notes.append((name, result))

    return note


class Store(EtcdStore):
    """The adapter of etcd, with what its connections say."""

    def __init__(self, says: Recorder, note: metered.Note = metered.not_noted, **more: Any) -> None:
        super().__init__(EtcdOptions(("a:1",)), note, **more)
        self._says = says

    def _run(self, *arguments: Any) -> Any:
        return self._says.run(*arguments)


@pytest.mark.parametrize(("method", "endpoint", "arguments"), NODEOS)
@pytest.mark.parametrize(
    ("said", "error", "result"),
    [
        (NotSent("x"), NodeosUnreachable, "unreachable"),
        (NoAnswer("x", sent=True), NodeosTimeout, "timeout"),
        (Answer(500, {}, b"{}"), NodeosAnswer, "error"),
    ],
)
def test_each_failure_of_nodeos_is_counted_and_timed(
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    endpoint: str,
    arguments: tuple[Any, ...],
    said: Any,
    error: type[Exception],
    result: str,
) -> None:
    """Whatever becomes of a request, the caller gets it, and it counts once."""
    notes: list[tuple[str, str]] = []
    monkeypatch.setattr(client, "call", Recorder(said).call)
    with pytest.raises(error):
        getattr(HttpNodeos("http://127.0.0.1:1", None, noting(notes)), method)(*arguments, 0.5)
    assert notes == [(endpoint, result)]


@pytest.mark.parametrize(
    ("method", "body"), [("pause", b'{"result":"ok"}'), ("resume", b'{"result":"ok"}'), ("paused", b"true")]
)
def test_each_answer_of_nodeos_is_counted_and_timed(monkeypatch: pytest.MonkeyPatch, method: str, body: bytes) -> None:
    """An answer that is one counts as such."""
    notes: list[tuple[str, str]] = []
    monkeypatch.setattr(client, "call", Recorder(Answer(201, {}, body)).call)
    getattr(HttpNodeos("http://127.0.0.1:1", None, noting(notes)), method)(0.5)
    assert notes == [(method, "ok")]


@pytest.mark.parametrize(("operation", "arguments"), STORE)
@pytest.mark.parametrize(
    ("error", "result"),
    [
        (None, "ok"),
        (StoreUnavailable("x"), "unknown"),
        (StoreRejected("no_space", "x"), "rejected"),
        (StoreCompacted("x"), "rejected"),
        (LeaseGone("x"), "lease_gone"),
    ],
)
def test_each_request_to_etcd_is_counted_and_timed(
    operation: str, arguments: tuple[Any, ...], error: Exception | None, result: str
) -> None:
    """Whatever comes back from etcd, the caller gets it, and it counts once."""
    notes: list[tuple[str, str]] = []
    raw, answer = SAID[operation]
    store = Recorder(error or raw)
    call = getattr(Store(store, noting(notes)), operation)
    if error is None:
        assert call(*arguments, 0.5) == answer
    elif operation == "revoke" and isinstance(error, LeaseGone):
        call(*arguments, 0.5)  # it is gone already: that is what was wanted
        result = "ok"
    else:
        with pytest.raises(type(error)):
            call(*arguments, 0.5)
    assert store.spans == [0.5]
    assert notes == [(operation, result)]


def test_what_is_noted_stands_in_the_metrics() -> None:
    """Each call of nodeos and of etcd has its counter, and its seconds are observed."""
    bench = Bench()
    for endpoint in metered.NODEOS_CALLS:
        bench.metrics.nodeos_request(endpoint, "timeout", 0.25)
        assert bench.get("nodeos_requests_total", endpoint=endpoint, result="timeout") == 1
        assert bench.get("nodeos_request_duration_seconds_sum", endpoint=endpoint) == 0.25
    for operation in metered.STORE_CALLS:
        bench.metrics.etcd_request(operation, "unknown", 0.25)
        assert bench.get("etcd_requests_total", operation=operation, result="unknown") == 1
        assert bench.get("etcd_request_duration_seconds_sum", operation=operation) == 0.25


def test_every_outcome_has_a_series() -> None:
    """The words for outcomes are those that the metrics were made with."""
    known = {*metered.NODEOS_RESULTS, *metered.STORE_RESULTS}
    errors = [FailoverError("x"), StoreUnavailable("x"), NodeosTimeout("x"), NodeosAnswer(404, 0, "x")]
    assert {metered.result_of(error) for error in errors} <= known
    assert {endpoint for _, endpoint, _ in NODEOS} == set(metered.NODEOS_CALLS)
    assert {operation for operation, _ in STORE} == set(metered.STORE_CALLS)


def test_a_defect_in_counting_changes_no_answer(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A pause that nodeos answered stays answered (R3): else nodeos would be killed for a wrong label."""

    def note(*_: object) -> None:
        raise KeyError("label")

    http = Recorder(Answer(201, {}, b"true"))
    monkeypatch.setattr(client, "call", http.call)
    nodeos = HttpNodeos("http://127.0.0.1:1", None, note)
    assert nodeos.paused(0.5) is True
    assert "a defect in counting" in caplog.text
    http.says = NoAnswer("late", sent=True)
    with pytest.raises(NodeosTimeout):
        nodeos.pause(0.5)


def test_a_lease_is_told_with_the_time_before_its_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """Granted, kept, lost and revoked: what is left is never told as more than it is (R6)."""
    heard: list[tuple[int, int]] = []
    clock = MovedTime(NOW)
    says = Recorder(rpc.LeaseGrantResponse(ID=5, TTL=11), clock, takes_ms=100)
    monkeypatch.setattr("agent.etcd.store.boot_ms", clock.boot)
    store = Store(says, kept=lambda ttl, at: heard.append((ttl, at)))
    store.grant(10, 1.0)
    clock.now, says.says = NOW + 1000, 11
    store.keepalive(5, 1.0)
    for error in (StoreUnavailable("x"), LeaseGone("x"), 0):
        clock.now, says.says = clock.now + 900, error
        with pytest.raises((StoreUnavailable, LeaseGone)):
            store.keepalive(5, 1.0)
    clock.now, says.says = NOW + 5000, None
    store.revoke(5, 1.0)
    assert heard == [(11, NOW), (11, NOW + 1000), (0, NOW + 3000), (0, NOW + 4000), (0, NOW + 5100)]
