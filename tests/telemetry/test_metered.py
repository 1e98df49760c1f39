"""Metered ports: every call is passed on as it is, counted under its outcome, and timed; counting cannot harm it."""

from __future__ import annotations

from typing import Any

import pytest

from agent.core.model.store import Txn
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
from agent.ports import Lease
from agent.telemetry import metered
from agent.telemetry.metered import MeteredNodeos, MeteredStore
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


def noting(notes: list[tuple[str, str]]) -> metered.Note:
    """Return what keeps the name and the result of each call, and sees that its seconds can be."""

    def note(name: str, result: str, seconds: float) -> None:
        assert 0 <= seconds < 60
        notes.append((name, result))

    return note


@pytest.mark.parametrize(("method", "endpoint", "arguments"), NODEOS)
@pytest.mark.parametrize(
    ("error", "result"),
    [
        (None, "ok"),
        (NodeosUnreachable("x"), "unreachable"),
        (NodeosTimeout("x"), "timeout"),
        (NodeosAnswer(500, 1, "x"), "error"),
    ],
)
def test_each_request_to_nodeos_is_counted_and_timed(
    method: str, endpoint: str, arguments: tuple[Any, ...], error: Exception | None, result: str
) -> None:
    """Whatever comes back from nodeos, the caller gets it, and it counts once."""
    notes: list[tuple[str, str]] = []
    nodeos: Any = Recorder(error or "answer")
    call = getattr(MeteredNodeos(nodeos, noting(notes)), method)
    if error is None:
        assert call(*arguments, 0.5) == (None if method in ("pause", "resume") else "answer")
    else:
        with pytest.raises(type(error)):
            call(*arguments, 0.5)
    assert nodeos.calls == [(method, (*arguments, 0.5))]
    assert notes == [(endpoint, result)]


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
    answer: Any = Lease(5, 11) if operation == "grant" else 11
    store: Any = Recorder(error or answer)
    call = getattr(MeteredStore(store, noting(notes), MovedTime(NOW)), operation)
    if error is None:
        assert call(*arguments, 0.5) == (None if operation == "revoke" else answer)
    else:
        with pytest.raises(type(error)):
            call(*arguments, 0.5)
    assert store.calls == [(operation, (*arguments, 0.5))]
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


def test_a_defect_in_counting_changes_no_answer(caplog: pytest.LogCaptureFixture) -> None:
    """A pause that nodeos answered stays answered (R3): else nodeos would be killed for a wrong label."""

    def note(*_: object) -> None:
        raise KeyError("label")

    nodeos: Any = Recorder(True)
    assert MeteredNodeos(nodeos, note).paused(0.5) is True
    assert "a defect in counting" in caplog.text
    nodeos.says = NodeosTimeout("late")
    with pytest.raises(NodeosTimeout):
        MeteredNodeos(nodeos, note).pause(0.5)


def test_a_lease_is_told_with_the_time_before_its_request() -> None:
    """Granted, kept, lost and revoked: what is left is never told as more than it is (R6)."""
    heard: list[tuple[int, int]] = []
    clock = MovedTime(NOW)
    store: Any = Recorder(Lease(5, 11))
    metered_store = MeteredStore(store, lambda *_: None, clock, lambda ttl, at: heard.append((ttl, at)))
    metered_store.grant(10, 1.0)
    clock.now, store.says = NOW + 1000, 11
    metered_store.keepalive(5, 1.0)
    for error in (StoreUnavailable("x"), LeaseGone("x")):
        clock.now, store.says = clock.now + 1000, error
        with pytest.raises(type(error)):
            metered_store.keepalive(5, 1.0)
    clock.now, store.says = NOW + 4000, None
    metered_store.revoke(5, 1.0)
    assert heard == [(11, NOW), (11, NOW + 1000), (0, NOW + 3000), (0, NOW + 4000)]
