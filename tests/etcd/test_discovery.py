"""Members of etcd by DNS SRV records, from a DNS server that the test runs: deadlines, TCP, forgeries, changes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from agent.config.sections import EtcdSection
from agent.errors import StoreUnavailable
from agent.etcd import discovery as discovering
from agent.etcd.connection import EtcdOptions
from agent.etcd.discovery import Discovery
from agent.etcd.store import EtcdStore
from agent.host.deadline import Deadline
from agent.runtime.credentials import etcd_options
from tests.lab.etcd import EtcdOptions as ClusterOptions
from tests.support.dns_server import DnsServer, dns_server
from tests.support.etcd_bench import put, running
from tests.support.slack import within

PLAIN, SAFE = "_etcd-client._tcp.example.org.", "_etcd-client-ssl._tcp.example.org."


@pytest.fixture
def server() -> Iterator[DnsServer]:
    """Run a DNS server that knows one member in plain text, and two with TLS."""
    with dns_server() as server:
        server.records = {
            PLAIN: [(0, 0, 2379, "etcd-1.example.org.")],
            SAFE: [(10, 0, 2379, "etcd-2.example.org."), (0, 0, 12379, "etcd-1.example.org.")],
        }
        yield server


def discovery(
    *servers: DnsServer, tls: bool = False, domain: str = "example.org", name: str | None = None
) -> Discovery:
    """Return a discovery that asks these servers."""
    return Discovery(domain, name, tls=tls, resolvers=tuple(each.resolver for each in servers))


def test_members_are_those_of_the_service_that_fits_the_transport(server: DnsServer) -> None:
    """As etcdctl has it: _etcd-client-ssl for TLS and _etcd-client without, in the order of their priority."""
    assert discovery(server).find(Deadline(5)) == ("http://etcd-1.example.org:2379",)
    found = discovery(server, tls=True, domain="example.org.").find(Deadline(5))
    assert found == ("https://etcd-1.example.org:12379", "https://etcd-2.example.org:2379")
    server.records["_etcd-client-blue._tcp.example.org."] = [(0, 0, 1, "blue.example.org.")]
    assert discovery(server, name="blue").find(Deadline(5)) == ("http://blue.example.org:1",)


def test_the_configuration_decides_for_which_service_is_asked(tmp_path: Path) -> None:
    """With ca_file the service with TLS, and the name beside it; without discovery_srv nothing is looked up."""
    ca = tmp_path / "ca.pem"
    ca.write_text("-")
    plain = EtcdSection(discovery_srv="example.org", discovery_srv_name="eos")
    secure = EtcdSection(discovery_srv="example.org", ca_file=ca)
    asked = [str(etcd_options(each, "/x").discovery) for each in (plain, secure)]
    assert asked == ["SRV _etcd-client-eos._tcp.example.org.", "SRV _etcd-client-ssl._tcp.example.org."]
    assert etcd_options(EtcdSection(endpoints=("127.0.0.1:1",)), "/x").discovery is None


def test_an_answer_too_long_for_udp_is_had_by_tcp(server: DnsServer) -> None:
    """Forty members are asked for again by TCP, and all are found."""
    server.truncate = True
    server.records[PLAIN] = [(0, 1, 2379, f"etcd-{number}.example.org.") for number in range(40)]
    assert len(discovery(server).find(Deadline(5))) == 40
    assert server.asked == [f"{PLAIN} by UDP", f"{PLAIN} by TCP"]


def test_answers_to_other_questions_are_not_believed(server: DnsServer) -> None:
    """Packets with another id, or that are no DNS, are passed over until the true one comes."""
    server.forge = True
    assert discovery(server).find(Deadline(5)) == ("http://etcd-1.example.org:2379",)


def test_a_resolver_that_is_silent_leaves_time_for_the_next(server: DnsServer) -> None:
    """Each is given its share of the deadline."""
    with dns_server() as silent:
        silent.silent = True
        assert discovery(silent, server).find(Deadline(2)) == ("http://etcd-1.example.org:2379",)


@pytest.mark.parametrize("trouble", ["silent", "unknown", "servfail", "nobody"])
def test_no_member_is_told_within_the_deadline(server: DnsServer, trouble: str) -> None:
    """Silence, no such name, a failing server and nothing that listens: an error that names setting and record."""
    found = discovery(server)
    match trouble:
        case "silent":
            server.silent = True
        case "unknown":
            server.records.clear()
        case "servfail":
            server.rcode = 2
        case "nobody":
            found = Discovery("example.org", None, tls=False, resolvers=(("127.0.0.1", 1),))
    with (
        within(0.5),
        pytest.raises(StoreUnavailable, match=r"SRV _etcd-client\._tcp\.example\.org\..*check etcd\.discovery_srv"),
    ):
        found.find(Deadline(0.5))


def test_what_is_known_stays_in_use_while_no_resolver_answers(server: DnsServer) -> None:
    """DNS is needed once; later trouble with it costs a share of a call's time and no member."""
    found = discovery(server)
    known = found.find(Deadline(5))
    server.silent = True
    assert found.find(Deadline(5)) == known
    with within(0.2):
        assert found.find(Deadline(0.8), anew=True) == known
    server.silent = False
    server.records[PLAIN] = [(0, 0, 2379, "etcd-9.example.org.")]
    assert found.find(Deadline(5)) == known
    assert found.find(Deadline(5), anew=True) == ("http://etcd-9.example.org:2379",)


def test_a_store_without_any_member_fails_in_time(server: DnsServer) -> None:
    """A call ends at its deadline with the reason, and the next one tries anew."""
    records, server.records = server.records, {}
    with closing(EtcdStore(EtcdOptions((), discovery=discovery(server)))) as store:
        with within(0.5), pytest.raises(StoreUnavailable, match="knows of none"):
            store.range("/x", 0.5)
        assert store.endpoint() == f"SRV {PLAIN}"
        server.records = records
        with pytest.raises(StoreUnavailable, match=r"etcd-1\.example\.org"):
            store.range("/x", 1.0)


def test_the_hosts_resolvers_are_asked(server: DnsServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Those of /etc/resolv.conf, IPv6 ones too, read anew each time; without any that is said."""
    conf = tmp_path / "resolv.conf"
    monkeypatch.setattr(discovering, "RESOLV_CONF", str(conf))
    found = Discovery("example.org", None, tls=False)
    with pytest.raises(StoreUnavailable, match="no resolver is configured"):
        found.find(Deadline(1))
    conf.write_text("# mine\nnameserver ::1\nnameserver 127.0.0.1\nsearch example.org\n")
    assert discovering.resolvers_of_the_host() == (("::1", 53), ("127.0.0.1", 53))
    monkeypatch.setattr(discovering, "resolvers_of_the_host", lambda: (server.resolver,))
    assert found.find(Deadline(5)) == ("http://etcd-1.example.org:2379",)


@pytest.mark.real
def test_a_store_follows_the_records_to_other_members(server: DnsServer, tmp_path: Path) -> None:
    """A real etcd is found by its record; when it is gone and the record names another, that one is used."""
    with (
        running(tmp_path / "a", ClusterOptions(size=1)) as first,
        running(tmp_path / "b", ClusterOptions(size=1)) as then,
    ):
        ports = [int(each.endpoints[0].rpartition(":")[2]) for each in (first, then)]
        server.records[PLAIN] = [(0, 0, ports[0], "localhost.")]
        with closing(EtcdStore(EtcdOptions((), discovery=discovery(server)))) as store:
            store.txn(put("one"), 5)
            first.members[0].kill()
            server.records[PLAIN] = [(0, 0, ports[1], "localhost.")]
            with pytest.raises(StoreUnavailable):
                store.txn(put("two"), 2)
            store.txn(put("three"), 10)
        assert "three" in then.etcdctl("get", "--prefix", "/nodeos-failover/", "--keys-only")
