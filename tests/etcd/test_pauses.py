"""What each caller asks of etcd in ten seconds, whatever it answers: nothing is asked for without end, or too late."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import grpc
import pytest

from agent.core.leadership import events as ev
from agent.core.leadership.actions import Transact
from agent.core.model.keys import keys
from agent.errors import StoreError
from agent.etcd.connection import EtcdOptions
from agent.etcd.follower import PrefixFollower
from agent.etcd.logins import LONGEST_MS, PATIENT_MS
from agent.etcd.rpc import rpc
from agent.etcd.store import EtcdStore
from agent.runtime import calls
from agent.runtime.session import Session
from tests.core.leadership.one import LEASE, One
from tests.core.parts import member
from tests.support.moved_time import MovedTime
from tests.support.wire import Failed, Wire, wire

__all__ = ["wire"]

CODE = grpc.StatusCode
NAMES = keys("/nodeos-failover", "g")
SECONDS = 10
R_MS = 500
REQUEST_S = 1.0


def failed(code: grpc.StatusCode, words: str, *methods: str) -> dict[str, Any]:
    """Let these methods fail."""
    return {method: Failed(code, words) for method in methods}


REQUESTS = ("Range", "Txn", "LeaseGrant", "LeaseKeepAlive")
REFUSED_LOGIN = failed(
    CODE.INVALID_ARGUMENT, "etcdserver: authentication failed, invalid user ID or password", "Authenticate"
)
ANSWERS: dict[str, dict[str, Any]] = {
    "connection refused": failed(CODE.UNAVAILABLE, "connection refused", "Authenticate", *REQUESTS),
    "connection refused after the login": failed(CODE.UNAVAILABLE, "connection refused", *REQUESTS),
    "overloaded": failed(CODE.RESOURCE_EXHAUSTED, "etcdserver: too many requests", *REQUESTS[1:]),
    "no leader": failed(CODE.UNAVAILABLE, "etcdserver: no leader", *REQUESTS),
    "no space": failed(CODE.RESOURCE_EXHAUSTED, "etcdserver: mvcc: database space exceeded", *REQUESTS[1:]),
    "no permission": failed(CODE.PERMISSION_DENIED, "etcdserver: permission denied", *REQUESTS),
    "wrong password": REFUSED_LOGIN,
    "stale token": failed(CODE.UNAUTHENTICATED, "etcdserver: invalid auth token", *REQUESTS),
    "lease gone": failed(CODE.NOT_FOUND, "etcdserver: requested lease not found", *REQUESTS[1:]),
    "not applied": {"Txn": lambda: rpc.TxnResponse(header=rpc.ResponseHeader(revision=8), succeeded=False)},
    "lease of no length": {"LeaseKeepAlive": lambda: rpc.LeaseKeepAliveResponse(ID=5, TTL=0)},
}


class Over(BaseException):
    """The ten seconds are over."""


def store_on(wire: Wire) -> EtcdStore:
    """Return a store that logs in; every answer takes 2 ms, and the time ends after `SECONDS`."""
    wire.takes_ms = 2
    answer = wire.answer

    def until_over(*asked: Any) -> Any:
        if wire.time.passed_s >= SECONDS:
            raise Over
        return answer(*asked)

    wire.answer = until_over  # type: ignore[assignment]  # a double
    options = EtcdOptions(("http://127.0.0.1:1", "http://127.0.0.1:2"), user="agent", password="x")
    return EtcdStore(options)


def run_session(store: EtcdStore, time: MovedTime) -> None:
    """Run a session that has a report to write."""
    found = Session(
        store, NAMES, "a", frozenset({"i"}), 9, REQUEST_S, lambda _event: None, lambda _error: None, time.wall
    )
    found.publish(member())
    found._run()


def run_follower(store: EtcdStore, time: MovedTime) -> None:
    """Follow the group."""
    for _ in PrefixFollower(store, NAMES.root, lambda _error: None, REQUEST_S).snapshots():
        pass


def run_candidate(store: EtcdStore, time: MovedTime) -> None:
    """Try to take over a free seat, as the loop and its lane do."""
    one = One()
    one.standby()
    one.now = time.now
    new = one.see(leader=None, heartbeat=None)
    while True:
        sent = [action for action in new if isinstance(action, Transact)]
        one.now = time.now
        if sent:
            event = calls.transact(store, sent[0], NAMES)
            one.now = time.now
            new = one.tell(event)
            new += one.tell(ev.LeaseSeen(LEASE))
        else:
            time.go(max(1, (one.state.wake or time.now + R_MS) - time.now))
            if time.passed_s >= SECONDS:
                raise Over
            one.now = time.now
            new = one.tick(0)


CALLERS: dict[str, tuple[Callable[[EtcdStore, MovedTime], None], int]] = {
    "session": (run_session, 120),
    "follower": (run_follower, 120),
    "candidate": (run_candidate, 100),
}
"""Each with how many requests it may make in `SECONDS`: 23 rounds of login, probe and up to three more."""


@pytest.mark.timeout(60)
@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("says", ANSWERS)
def test_no_answer_is_asked_for_without_end(
    wire: Wire, caller: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However fast an answer comes, in ten seconds it is asked for a few times, and never given up."""
    monkeypatch.setattr(random, "uniform", lambda _least, most: most)  # the same figures each time
    wire.says = {"Watch": Failed(CODE.UNAVAILABLE, "the stream broke"), **ANSWERS[says]}
    run, most = CALLERS[caller]
    with pytest.raises(Over):
        run(store_on(wire), wire.time)
    assert len(wire.calls) <= most, wire.methods
    assert wire.methods.count("Authenticate") <= 48
    late = [call for call in wire.calls if call.at > wire.time.now - 2500]
    assert late or says in ("not applied", "lease of no length"), "it was given up"


WRONG = REFUSED_LOGIN["Authenticate"]


def logins(wire: Wire) -> list[int]:
    """Return when each login left."""
    return [call.at for call in wire.calls if call.method == "Authenticate"]


def reads(stores: list[EtcdStore], wire: Wire, seconds: float) -> bool:
    """Read with each in turn, every 100 ms, for some time; tell whether one was answered, which ends it."""
    end = wire.time.passed_s + seconds
    while wire.time.passed_s < end:
        for store in stores:
            try:
                store.range("/a", REQUEST_S)
            except StoreError:
                continue
            return True
        wire.time.go(100)
    return False


def stores_of_an_agent(password: Callable[[], str]) -> list[EtcdStore]:
    """Return three stores that share their options, as an agent has them."""
    options = EtcdOptions(("http://127.0.0.1:1",), user="agent", password=password)
    return [EtcdStore(options) for _ in range(3)]


def test_a_refused_password_comes_to_wait_for_half_a_minute(wire: Wire) -> None:
    """All stores of an agent together: within R for ten seconds, then ever less often."""
    wire.says = dict(REFUSED_LOGIN)
    begun = wire.time.now
    assert not reads(stores_of_an_agent(lambda: "x"), wire, 200)
    found = logins(wire)
    assert len([at for at in found if at < begun + PATIENT_MS]) <= 24
    later = [at for at in found if at >= begun + PATIENT_MS]
    assert 7 <= len(later) <= 12
    gaps = [two - one for one, two in pairwise(found)]
    assert max(gap for gap, at in zip(gaps, found, strict=False) if at < begun + PATIENT_MS - R_MS) <= R_MS + 102
    assert LONGEST_MS <= gaps[-1] <= LONGEST_MS + 102


def test_another_password_is_tried_at_once(wire: Wire) -> None:
    """Whatever the pause has come to: a file that was renewed ends it (P2)."""
    word = ["old"]
    wire.says = dict(REFUSED_LOGIN)
    stores = stores_of_an_agent(lambda: word[0])
    assert not reads(stores, wire, 100)
    before = wire.time.now
    wire.says, word[0] = {}, "new"
    for store in stores:
        store.range("/a", REQUEST_S)
    assert wire.time.now == before
    assert wire.calls[-1].method == "Range"


@pytest.mark.parametrize("after_s", [0.01, 0.3, 1.0, 4.4, 8.0])
def test_a_password_that_etcd_takes_again_is_used_within_r(wire: Wire, after_s: float) -> None:
    """P3: a lead that a login within R would save is not lost to the pause, though other stores ask as well."""
    wire.says = dict(REFUSED_LOGIN)
    stores = stores_of_an_agent(lambda: "x")
    assert not reads(stores, wire, after_s)
    wire.says, since = {}, wire.time.now
    stores[0].range("/a", REQUEST_S)
    assert wire.time.now - since <= R_MS


def test_a_token_that_is_refused_at_once_is_no_reason_to_log_in_again_and_again(wire: Wire) -> None:
    """A login is dear, and one that brings nothing waits like one that is refused."""
    wire.says = dict(ANSWERS["stale token"])
    assert not reads(stores_of_an_agent(lambda: "x"), wire, 10)
    assert len(logins(wire)) <= 24


@pytest.mark.parametrize("says", ["connection refused", "wrong password"])
@pytest.mark.parametrize("within_s", [0.0, 0.02, 0.3, 1.0])
def test_no_pause_outlasts_the_deadline_of_a_call(wire: Wire, says: str, within_s: float) -> None:
    """Nothing waits for etcd longer than it has to, whatever pause is due."""
    wire.says = dict(ANSWERS[says])
    (store, *_) = stores = stores_of_an_agent(lambda: "x")
    assert not reads(stores, wire, 30)
    begun = wire.time.passed_s
    with pytest.raises(StoreError):
        store.range("/a", within_s)
    assert wire.time.passed_s - begun <= within_s + 0.002
