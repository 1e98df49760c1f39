"""What doctor asks of etcd: round trips, the least lease, rights, members, certificates. It leaves nothing behind."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from agent.core.model.keys import keys
from agent.core.model.store import Snapshot
from agent.doctor import gather_etcd, group
from agent.doctor.gather_etcd import EtcdFacts
from agent.errors import ConfigError, StoreRejected, StoreUnavailable
from agent.etcd.connection import EtcdOptions
from agent.etcd.info import EtcdMember, EtcdServer
from agent.ports import Lease
from tests.doctor.parts import config
from tests.lab.tls import make_certificates
from tests.support.recorder import Recorder
from tests.support.slow_server import Serve, answer, hang

NAMES = keys(config().etcd.prefix, "eos")
FOREIGN = "/not-of-nodeos-failover"
OPTIONAL = {NAMES.override: "override", NAMES.maintenance: "maintenance", FOREIGN: "keys of others"}
NEEDED = {
    NAMES.leader: "leader",
    NAMES.heartbeat: "heartbeat",
    NAMES.member("bp-a"): "members/",
    NAMES.history(0): "history/",
    NAMES.switchover: "switchover",
    NAMES.answer: "answer",
    NAMES.format: "format",
    NAMES.peers_key: "peers-key",
    NAMES.ledger(0): "ledger/",
}
INFO = EtcdServer("http://e:1", "", "3.5.28", 0xC1, 7, 8, learner=True, alarms=("NOSPACE",), db_size=1000)


class Store(Recorder):
    """Stands in for etcd, and refuses to write some keys. `closed`: how often it was let go."""

    def __init__(self, refuses: frozenset[str] = frozenset(), **says: Any) -> None:
        given = {"range": Snapshot(41, ()), "grant": Lease(5, 2), "revoke": None, "close": None}
        super().__init__({**given, **says})
        self.refuses = refuses
        self.asked: list[str] = []

    def txn(self, txn: Any, timeout_s: float) -> None:
        """Refuse what may not be written; what would really be written is a failure of the test."""
        (put,), (compare,) = txn.then, txn.compare
        assert compare.key == put.key
        assert compare.mod_revision > 2**61, "it could be applied"
        assert 0 < timeout_s <= 2.0
        self.asked.append(put.key)
        if put.key in self.refuses:
            raise StoreRejected("denied", "no right")


def cluster(store: Store, monkeypatch: pytest.MonkeyPatch, within_s: float = 9.0, members: Any = ()) -> EtcdFacts:
    """Return what is seen of a store, and see that it was let go."""
    monkeypatch.setattr(gather_etcd, "EtcdStore", lambda options: store if options.endpoints else None)
    monkeypatch.setattr(gather_etcd, "member_list", Recorder({"list": members}).list)
    found = gather_etcd.cluster(config(), within_s)
    assert store.names.count("close") == 1
    return found


def test_a_cluster_that_is_well_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several reads are timed, the smallest lease is granted and given back, and members are listed."""
    store = Store(refuses=frozenset(OPTIONAL))
    member = EtcdMember(1, ("http://10.0.0.1:2379",), learner=True)
    found = cluster(store, monkeypatch, members=(member,))
    assert (found.error, found.members_error, found.unread) == ("", "", "")
    assert found.revision == 41
    assert len(found.round_trips_s) == 5
    assert all(0 <= span < 1 for span in found.round_trips_s)
    assert store.calls[0][1][0] == NAMES.leader
    assert found.least_ttl_s == 2
    assert next(words for name, words in store.calls if name == "grant")[0] == 1
    assert [call[1][0] for call in store.calls if call[0] == "revoke"] == [5]
    assert (found.refused, found.too_much) == ((), ())
    assert found.members == (member,)
    assert all(0 < span <= 3.0 for span in store.spans)


@pytest.mark.parametrize("key", [*NEEDED, *OPTIONAL])
def test_each_right_is_told_by_its_name(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is needed and missing, and one that is there without need."""
    allowed = cluster(Store(refuses=frozenset(OPTIONAL) - {key}), monkeypatch)
    assert allowed.too_much == tuple(OPTIONAL[each] for each in OPTIONAL if each == key)
    refused = cluster(Store(refuses=frozenset(OPTIONAL) | {key}), monkeypatch)
    assert refused.refused == tuple(NEEDED[each] for each in NEEDED if each == key)


def test_a_group_that_may_not_be_read_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading the leader works, reading the whole prefix is refused: its reason is the fact, and no failure."""
    answers = [*[Snapshot(41, ())] * 6, StoreRejected("denied", "no right to read")]
    found = cluster(Store(range=answers), monkeypatch)
    assert "no right to read" in found.unread
    assert found.error == ""
    assert found.least_ttl_s == 2


@pytest.mark.parametrize("failure", [StoreUnavailable("no quorum"), TimeoutError("no time")])
def test_a_cluster_that_is_silent_leaves_its_members(failure: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """A member can list the others without a quorum, so that both are told."""
    found = cluster(Store(range=failure), monkeypatch, members=(EtcdMember(1, (), learner=False),))
    assert found.error == str(failure)
    assert (found.round_trips_s, found.least_ttl_s, found.refused) == ((), None, None)
    assert found.members == (EtcdMember(1, (), learner=False),)


@pytest.mark.parametrize("failure", [StoreUnavailable("no quorum"), ConfigError(["a file is gone"])])
def test_members_that_are_not_listed_are_told(failure: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was measured before stays."""
    found = cluster(Store(), monkeypatch, members=failure)
    assert found.members is None
    assert found.members_error == str(failure)
    assert found.least_ttl_s == 2


def test_no_question_gets_more_than_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """With little time for all, each of them has less."""
    store = Store()
    cluster(store, monkeypatch, within_s=1.0)
    assert all(span <= 1.0 for span in store.spans)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Iterator[Recorder]:
    """Let every member say INFO of itself."""
    asked = Recorder({"info": INFO})

    def info(options: EtcdOptions, endpoint: str, timeout_s: float) -> EtcdServer:
        found: EtcdServer = asked.info(options, endpoint, timeout_s)
        return replace(found, endpoint=endpoint)

    monkeypatch.setattr(gather_etcd, "server_info", info)
    yield asked


def servers(*endpoints: str, within_s: float = 5.0) -> tuple[EtcdServer, ...]:
    """Ask these endpoints."""
    return gather_etcd.servers(config(etcd={"endpoints": list(endpoints)}), within_s)


def test_a_member_tells_of_itself_and_shows_its_metrics(told: Recorder, serve: Serve) -> None:
    """What it answers, and what stands on its page of metrics; an endpoint without a scheme is asked by http."""
    page = serve(answer("200 OK", b"etcd_server_quota_backend_bytes 4096\n"))
    endpoint = f"127.0.0.1:{page.port}"
    (found,) = servers(endpoint)
    assert (found.endpoint, found.error, found.metrics_error) == (endpoint, "", "")
    assert (found.version, found.cluster, found.member, found.leader) == ("3.5.28", 0xC1, 7, 8)
    assert (found.learner, found.alarms, found.db_size) == (True, ("NOSPACE",), 1000)
    assert (found.quota, found.certificate_days) == (4096, None)
    assert told.calls[0][1][1] == endpoint
    assert 0 < told.spans[0] <= 2.0


@pytest.mark.parametrize("failure", [StoreUnavailable("silent"), ConfigError(["a file is gone"])])
def test_a_member_that_is_silent_is_told_and_the_next_one_is_asked(failure: Exception, told: Recorder) -> None:
    """Its error stands with its endpoint; nothing else is asked of it."""
    told.says = {"info": failure}
    found = servers("http://10.0.0.1:2379", "http://10.0.0.2:2379")
    assert found == tuple(EtcdServer(f"http://10.0.0.{n}:2379", str(failure)) for n in (1, 2))


def test_metrics_that_cannot_be_had_are_told_apart(told: Recorder, serve: Serve) -> None:
    """The member answered: only its metrics are missing."""
    gone = serve(hang)
    gone.close()
    (found,) = servers(f"http://127.0.0.1:{gone.port}")
    assert found.version == "3.5.28"
    assert found.metrics_error.startswith(f"http://127.0.0.1:{gone.port}: ")


def test_the_certificate_that_a_member_shows_is_read(told: Recorder, serve: Serve, tmp_path: Path) -> None:
    """Its days are those that are left; ours are sent where there are some."""
    files = make_certificates(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.server, files.server_key)
    context.load_verify_locations(files.ca)
    context.verify_mode = ssl.CERT_REQUIRED
    page = serve(answer("200 OK", b"etcd_server_quota_backend_bytes 4096\n"), context)
    given = {
        "endpoints": [f"https://127.0.0.1:{page.port}"],
        "ca_file": str(files.ca),
        "cert_file": str(files.client),
        "key_file": str(files.client_key),
    }
    whole = config(etcd=given)
    (found,) = gather_etcd.servers(whole, 5.0)
    assert found.metrics_error == ""
    assert found.quota == 4096
    assert found.certificate_days is not None
    assert 1.9 < found.certificate_days < 2.1
    days = gather_etcd.certificates(whole)
    assert days.keys() == {"etcd.ca_file", "etcd.cert_file"}
    assert all(1.9 < each < 2.1 for each in days.values())
    files.client.write_text("no certificate")
    assert gather_etcd.certificates(whole).keys() == {"etcd.ca_file"}
    assert gather_etcd.certificates(config()) == {}


def test_of_several_certificates_in_a_file_the_first_to_end_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A chain breaks when one of its links ends."""
    now = datetime.now(UTC)
    monkeypatch.setattr(gather_etcd, "of_pem", lambda _text: [now + timedelta(days=9), now + timedelta(days=3)])
    file = tmp_path / "ca.pem"
    file.write_text("two")
    whole = config(etcd={"endpoints": ["https://127.0.0.1:1"], "ca_file": str(file)})
    assert gather_etcd.certificates(whole)["etcd.ca_file"] == pytest.approx(3.0, abs=0.1)


def test_the_group_is_read_as_a_whole_and_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything below its prefix, within the time given or four seconds; an error is told instead."""
    for within_s, limit in ((9.0, 4.0), (1.0, 1.0)):
        store = Store()
        monkeypatch.setattr(group, "EtcdStore", lambda options, made=store: made if options.endpoints else None)
        found = group.gather(config(), within_s)
        assert found.view is not None
        assert found.error == ""
        assert store.calls == [("range", (NAMES.root, limit)), ("close", ())]
    store.says = {"range": StoreUnavailable("no quorum"), "close": None}
    found = group.gather(config(), 1.0)
    assert (found.view, found.error) == (None, "no quorum")
    assert store.names.count("close") == 2
