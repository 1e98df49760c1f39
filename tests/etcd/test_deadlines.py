"""What each request to etcd is given: what is left of the call's time, over login, probe and request; and no more."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest

from agent.core.model.store import Put, Txn
from agent.errors import ConfigError, LeaseGone, StoreError, StoreRejected, StoreUnavailable
from agent.etcd.connection import CHANNEL_OPTIONS, Connection, EtcdOptions
from agent.etcd.info import EtcdMember, member_list, server_info
from agent.etcd.logins import Logins
from agent.etcd.rpc import rpc
from agent.etcd.store import EtcdStore
from agent.ports import Lease
from tests.lab.tls import Certificates
from tests.support.recorder import Recorder
from tests.support.wire import ANSWERS, Failed, Wire, wire

__all__ = ["wire"]

SPAN_S = 2.0
ONE, TWO, THREE = "http://127.0.0.1:2379", "http://127.0.0.1:2380", "http://127.0.0.1:2381"
WITH_USER = EtcdOptions((ONE,), user="agent", password="correct-horse")
CALLS: dict[str, Callable[[EtcdStore], object]] = {
    "Txn": lambda store: store.txn(Txn((), (Put("/a", b"1"),)), SPAN_S),
    "Range": lambda store: store.range("/a", SPAN_S),
    "LeaseGrant": lambda store: store.grant(9, SPAN_S),
    "LeaseKeepAlive": lambda store: store.keepalive(5, SPAN_S),
    "LeaseTimeToLive": lambda store: store.lease_state(5, SPAN_S),
    "LeaseRevoke": lambda store: store.revoke(5, SPAN_S),
}
STALE = Failed(grpc.StatusCode.UNAUTHENTICATED, "etcdserver: invalid auth token")
AWAY = Failed(grpc.StatusCode.UNAVAILABLE, "connection refused")


@pytest.fixture
def store(wire: Wire) -> Iterator[EtcdStore]:
    """Yield a store that logs in; each call takes 0.1 s."""
    wire.takes_ms = 100
    yield EtcdStore(replace(WITH_USER, logins=Logins()))


def left(*spans: float) -> list[object]:
    """Return figures to compare with."""
    return [pytest.approx(each, abs=0.002) for each in spans]


@pytest.mark.parametrize("method", CALLS)
def test_login_probe_and_request_share_one_deadline(wire: Wire, store: EtcdStore, method: str) -> None:
    """A first call connects: the login gets at most the time of the call, each step after it what is left."""
    CALLS[method](store)
    assert wire.methods == ["Authenticate", "Range", method]
    assert wire.spans("Authenticate", "Range")[:2] == left(1.0, 0.9), "an endpoint's share of the time"
    assert wire.spans()[2:] == left(1.8)
    CALLS[method](store)
    assert wire.spans()[3:] == left(SPAN_S), "a call on a connection that stands has all of its time"


@pytest.mark.parametrize("method", CALLS)
def test_a_second_login_takes_from_the_same_deadline(wire: Wire, store: EtcdStore, method: str) -> None:
    """A token that etcd forgot: the login, the probe and the request once more, within what is left of the call."""
    store.range("/a", SPAN_S)
    wire.calls.clear()
    wire.says[method] = [STALE, ANSWERS[method]]
    CALLS[method](store)
    assert wire.methods == [method, "Authenticate", "Range", method]
    assert wire.spans() == left(2.0, 1.0, 0.9, 1.7)


def test_a_token_is_not_replaced_for_ever(wire: Wire, store: EtcdStore) -> None:
    """An etcd that refuses a token which it gave in this very call is told at once."""
    wire.says["Txn"] = STALE
    with pytest.raises(StoreError):
        CALLS["Txn"](store)
    assert wire.methods.count("Txn") == 1
    assert wire.methods.count("Authenticate") == 1


def test_the_token_is_shown_and_a_leader_is_asked_for(wire: Wire, store: EtcdStore) -> None:
    """Every request after the login carries the token, and asks a member that has no leader to say so."""
    CALLS["Txn"](store)
    assert [dict(call.metadata) for call in wire.calls[1:]] == [{"hasleader": "true", "token": "t0ken"}] * 2
    assert wire.calls[0].request.password == "correct-horse"


def test_a_request_is_sent_once(wire: Wire, store: EtcdStore) -> None:
    """R2: what failed on its way may have been applied, so that nothing but the caller may ask again."""
    wire.says["Txn"] = AWAY
    with pytest.raises(StoreUnavailable):
        CALLS["Txn"](store)
    assert wire.methods.count("Txn") == 1


def test_endpoints_that_refuse_are_asked_a_few_times_within_the_deadline(wire: Wire) -> None:
    """Both members are away: a call of 2 s goes round with growing pauses, ends in time, and leaves no channel open."""
    random.seed(1)
    wire.says["Range"] = AWAY
    store = EtcdStore(EtcdOptions((ONE, TWO)))
    with pytest.raises(StoreUnavailable, match=f"no etcd endpoint is fit: {ONE}, {TWO}: .*$") as told:
        store.range("/a", SPAN_S)
    assert str(told.value).count(ONE) == 1, "a reason that both have is told once"
    assert SPAN_S - 0.5 <= wire.time.passed_s <= SPAN_S
    assert 6 <= len(wire.opened) / 2 <= 10, "rounds"
    assert set(wire.opened) == {ONE.removeprefix("http://"), TWO.removeprefix("http://")}
    settle(wire)
    assert all(span is not None and span <= 1.0 for span in wire.spans())


def settle(wire: Wire) -> None:
    """See that every channel that was opened is closed; threads of their own do that."""
    for each in threading.enumerate():
        if each.name == "etcd-close":
            each.join(10)
    assert wire.closed == len(wire.opened)


@pytest.mark.parametrize("method", ["Authenticate", "Range"])
def test_a_connection_that_does_not_come_about_is_closed(wire: Wire, store: EtcdStore, method: str) -> None:
    """Whether the login or the probe fails, the channel does not stay."""
    wire.says[method] = AWAY
    with pytest.raises(StoreUnavailable, match=f"is fit: {ONE}: UNAVAILABLE"):
        store.range("/a", 0.3)
    settle(wire)


def test_a_slow_member_leaves_time_for_the_next(wire: Wire) -> None:
    """The first one takes all of its share: half of the call's time is left for the second one."""
    wire.takes_ms = 1000
    wire.says["Range"] = [Failed(grpc.StatusCode.DEADLINE_EXCEEDED), ANSWERS["Range"]]
    store = EtcdStore(EtcdOptions((ONE, TWO)))
    store.range("/a", 4.0)
    assert wire.opened == ["127.0.0.1:2379", "127.0.0.1:2380"]
    assert wire.spans() == left(2.0, 1.5, 2.0), "its share, the next one's, and what is left for the request"


def test_a_wrong_password_is_told_at_once(wire: Wire, store: EtcdStore) -> None:
    """A definite no is not asked again within the call, and shows no password."""
    wire.says["Authenticate"] = Failed(
        grpc.StatusCode.INVALID_ARGUMENT, "etcdserver: authentication failed, invalid user ID or password"
    )
    with pytest.raises(StoreRejected) as caught:
        store.range("/a", SPAN_S)
    assert wire.methods == ["Authenticate"]
    assert "correct-horse" not in str(caught.value) + repr(caught.value)
    settle(wire)


def test_a_lease_that_has_no_time_left_is_gone(wire: Wire, store: EtcdStore) -> None:
    """etcd answers a keepalive of an expired lease with TTL 0; a state of one that is gone with a granted TTL of 0."""
    wire.says["LeaseKeepAlive"] = rpc.LeaseKeepAliveResponse(ID=5, TTL=0)
    with pytest.raises(LeaseGone):
        store.keepalive(5, SPAN_S)
    wire.says["LeaseTimeToLive"] = rpc.LeaseTimeToLiveResponse(ID=5, TTL=-1)
    assert store.lease_state(5, SPAN_S) == -1
    wire.says["LeaseTimeToLive"] = rpc.LeaseTimeToLiveResponse(ID=5, TTL=-1, grantedTTL=9)
    assert store.lease_state(5, SPAN_S) == 0


def test_a_look_at_a_member_logs_in_within_its_time(wire: Wire) -> None:
    """A member that refuses a stranger is asked once more after a login; all of it within one deadline, and closed."""
    wire.takes_ms = 100
    denied = Failed(grpc.StatusCode.PERMISSION_DENIED, "etcdserver: permission denied")
    wire.says["Status"] = [denied, ANSWERS["Status"]]
    found = server_info(WITH_USER, ONE, SPAN_S)
    assert (found.endpoint, found.version, found.leader) == (ONE, "3.5.1", 2)
    assert (found.member, found.db_size) == (1, 5)
    assert (found.learner, found.alarms) == (False, ())
    assert wire.methods == ["Status", "Authenticate", "Status"]
    assert wire.spans() == left(2.0, 1.9, 1.8)
    assert wire.calls[0].metadata == (), "a member without a leader shall answer, too"
    settle(wire)


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.PERMISSION_DENIED])
def test_a_look_that_fails_is_closed(wire: Wire, code: grpc.StatusCode) -> None:
    """Whether the member is away, or refuses one who has no password to show."""
    wire.says["Status"] = Failed(code, "no")
    with pytest.raises(StoreError):
        server_info(EtcdOptions((ONE,)), ONE, SPAN_S)
    assert wire.methods == ["Status"]
    settle(wire)


def test_the_list_of_members_is_had_from_whoever_answers(wire: Wire) -> None:
    """A silent member costs its share of the time, and the next one is asked with its share of the rest."""
    wire.says["MemberList"] = [Failed(grpc.StatusCode.DEADLINE_EXCEEDED), AWAY, ANSWERS["MemberList"]]
    wire.takes_ms = 300
    (member,) = member_list(EtcdOptions((ONE, TWO, THREE)), 3.0)
    assert (member.id, member.urls, member.learner) == (1, ("http://10.0.0.1:2379",), False)
    assert wire.spans() == left(1.0, 1.35, 2.4)
    assert type(wire.calls[-1].request) is rpc.MemberListRequest
    wire.says["MemberList"] = AWAY
    with pytest.raises(StoreUnavailable):
        member_list(EtcdOptions((ONE, TWO, THREE)), 3.0)
    settle(wire)


def test_members_are_gone_round_in_their_order(wire: Wire) -> None:
    """Each has its turn, and after the last comes the first."""
    wire.says["Range"] = AWAY
    with pytest.raises(StoreUnavailable):
        EtcdStore(EtcdOptions((ONE, TWO, THREE))).range("/a", SPAN_S)
    assert wire.opened[:6] == [each.removeprefix("http://") for each in (ONE, TWO, THREE)] * 2


def test_the_password_is_read_at_each_login(wire: Wire) -> None:
    """One that was rotated meanwhile is shown when the next connection is made, without a restart."""
    words = iter(("old", "new"))
    store = EtcdStore(EtcdOptions((ONE,), user="agent", password=lambda: next(words)))
    wire.says["Txn"] = [AWAY, ANSWERS["Txn"]]
    with pytest.raises(StoreUnavailable):
        CALLS["Txn"](store)
    CALLS["Txn"](store)
    logins = [call.request for call in wire.calls if call.method == "Authenticate"]
    assert [(each.name, each.password) for each in logins] == [("agent", "old"), ("agent", "new")]
    assert EtcdOptions((ONE,)).secret() == ""


def test_each_request_says_which_lease(wire: Wire, store: EtcdStore) -> None:
    """And what etcd grants is what counts, not what was asked for."""
    wire.says["LeaseGrant"] = rpc.LeaseGrantResponse(ID=77, TTL=12)
    assert store.grant(9, SPAN_S) == Lease(77, 12)
    wire.says["LeaseKeepAlive"] = rpc.LeaseKeepAliveResponse(ID=77, TTL=11)
    assert store.keepalive(77, SPAN_S) == 11
    assert store.lease_state(77, SPAN_S) == 4
    store.revoke(77, SPAN_S)
    requests = {call.method: call.request for call in wire.calls}
    assert requests["LeaseGrant"].TTL == 9
    assert requests["LeaseGrant"].ID == 0, "etcd chooses"
    assert {requests[name].ID for name in ("LeaseKeepAlive", "LeaseTimeToLive", "LeaseRevoke")} == {77}


def test_a_lease_that_is_gone_is_revoked_already(wire: Wire, store: EtcdStore) -> None:
    """That is fine, and everything else is not."""
    wire.says["LeaseRevoke"] = Failed(grpc.StatusCode.NOT_FOUND, "etcdserver: requested lease not found")
    store.revoke(77, SPAN_S)
    wire.says["LeaseRevoke"] = AWAY
    with pytest.raises(StoreUnavailable):
        store.revoke(77, SPAN_S)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"user": "joe"}, "etcd.user and its password"),
        ({"password": "x"}, "etcd.user and its password"),
        ({"cert": Path("c")}, "etcd.cert_file and etcd.key_file"),
        ({"key": Path("k")}, "etcd.cert_file and etcd.key_file"),
    ],
)
def test_what_goes_together_is_set_together(options: dict[str, Any], field: str) -> None:
    """Half of a pair is a mistake that would show at the first connection only."""
    with pytest.raises(ConfigError, match=f"{field}: set both or neither"):
        EtcdOptions((ONE,), **options)
    EtcdOptions((ONE,), user="joe", password="x", cert=Path("c"), key=Path("k"))
    with pytest.raises(ConfigError, match="name at least one"):
        EtcdOptions(())
    with pytest.raises(ConfigError, match="https needs the certificates"):
        EtcdOptions((ONE, "https://10.0.0.1:2379"))


def test_files_for_tls_are_read_for_each_connection(wire: Wire, certificates: Certificates, tmp_path: Path) -> None:
    """Good ones make a connection; one that is spoilt afterwards is named at the next, and nothing was sent."""
    ca, cert, key = (tmp_path / name for name in ("ca", "cert", "key"))
    for to, found in ((ca, certificates.ca), (cert, certificates.client), (key, certificates.client_key)):
        to.write_bytes(found.read_bytes())
    options = EtcdOptions(("https://127.0.0.1:2379",), ca=ca, cert=cert, key=key)
    EtcdStore(options).range("/a", SPAN_S)
    assert wire.methods == ["Range", "Range"]
    for spoilt, setting in ((key, "etcd.key_file"), (cert, "etcd.cert_file"), (ca, "etcd.ca_file")):
        before = spoilt.read_bytes()
        spoilt.write_text("junk")
        with pytest.raises(StoreRejected, match=f"{setting}.*cannot be used") as caught:
            EtcdStore(options).range("/a", SPAN_S)
        assert caught.value.reason == "tls_files"
        spoilt.write_bytes(before)
    assert len(wire.calls) == 2


def test_a_password_is_not_written_by_a_traceback() -> None:
    """Python writes an object as it is: a secret is left out."""
    assert "correct-horse" not in repr(WITH_USER) + str(WITH_USER)
    assert "agent" in repr(WITH_USER)


def test_a_channel_sends_once_goes_straight_and_takes_what_etcd_takes() -> None:
    """R2: gRPC must not try again by itself, nor go by a proxy; a group larger than gRPC's 4 MiB is still read."""
    options = dict(CHANNEL_OPTIONS)
    assert (options["grpc.enable_retries"], options["grpc.enable_http_proxy"]) == (0, 0)
    assert options["grpc.max_receive_message_length"] >= 16 * 1024 * 1024
    assert {type(value) for value in options.values()} == {int}, "gRPC takes no fraction"


def test_a_connection_is_dropped_without_waiting_unless_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """gRPC may take its time to close: only who closes a store for good waits for it, and for a bounded time."""
    thread = Recorder()
    monkeypatch.setattr(threading, "Thread", lambda **_: thread)
    connection = object.__new__(Connection)
    connection.client = Recorder()
    connection.close()
    assert thread.names == ["start"]
    connection.close(wait_s=0.5)
    assert thread.calls[1:] == [("start", ()), ("join", (0.5,))]


def test_an_etcd_of_which_no_member_is_known_yet_moves_nothing() -> None:
    """R17: members found by DNS may not be known yet: that is a no in words, not a defect."""
    asks = object.__new__(EtcdStore)
    asks._endpoints = []
    with pytest.raises(StoreRejected, match="no endpoint leads etcd"):
        asks.move_leader(EtcdMember(1, ()), SPAN_S)
