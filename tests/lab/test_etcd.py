"""Real etcd: the cluster is what it claims to be, and its faults are real."""

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import pytest

from tests.lab.errors import LabError, LabTimeout
from tests.lab.etcd import EtcdCluster, EtcdctlError, EtcdOptions
from tests.lab.ports import Ports

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdCluster]:
    """Start three members once for this module; each test leaves them running."""
    options = EtcdOptions(election_ms=500, heartbeat_ms=50)
    root = tmp_path_factory.mktemp("lab") / "etcd"
    with closing(Ports()) as ports, closing(EtcdCluster(root, ports, options)) as cluster:
        cluster.start()
        yield cluster


def test_real_etcdctl_writes_and_reads(cluster: EtcdCluster) -> None:
    """What etcdctl puts, etcdctl gets, through any member."""
    cluster.etcdctl("put", "/k", "v")
    for url in cluster.urls:
        assert cluster.etcdctl("get", "/k", "--print-value-only", "--endpoints", url) == "v\n"


def test_failed_etcdctl_raises_with_its_words(cluster: EtcdCluster) -> None:
    """A failure of etcdctl is an error that carries what etcdctl said."""
    with pytest.raises(EtcdctlError, match="lease not found"):
        cluster.etcdctl("put", "/k", "v", "--lease=1234")


def test_killed_leader_is_replaced_and_comes_back(cluster: EtcdCluster) -> None:
    """After a kill of the leader another member leads, and the killed one rejoins on its data."""
    leader = cluster.wait_leader()
    cluster.etcdctl("put", "/kept", "v")
    leader.kill()
    assert cluster.wait_leader(other_than=leader) is not leader
    leader.restart()
    cluster.wait_ready(leader)
    assert cluster.etcdctl("get", "/kept", "--print-value-only", "--endpoints", leader.url) == "v\n"


def test_no_write_without_a_quorum(cluster: EtcdCluster) -> None:
    """With two of three members frozen no write is answered, and the wait for it is bounded."""
    frozen = cluster.members[:2]
    for member in frozen:
        member.freeze()
    with pytest.raises((LabTimeout, EtcdctlError)):
        cluster.etcdctl("put", "/k", "v", limit=1.0)
    for member in frozen:
        member.thaw()
    cluster.wait_ready()


def test_one_host_is_cut_off_alone(cluster: EtcdCluster) -> None:
    """Cutting the ways of one host hides etcd from it, while another host still reaches it."""
    urls, faults = cluster.ways()
    others, _ = cluster.ways()
    faults.cut()
    with pytest.raises((LabTimeout, EtcdctlError)):
        cluster.etcdctl("get", "/k", "--endpoints", ",".join(urls), limit=0.5)
    cluster.etcdctl("get", "/k", "--endpoints", ",".join(others))
    faults.heal()
    cluster.etcdctl("get", "/k", "--endpoints", ",".join(urls))


def test_tls_and_password(tmp_path: Path) -> None:
    """With TLS and a user: no certificate, no connection; the user may write its own keys and no others."""
    with closing(Ports()) as ports:
        options = EtcdOptions(size=1, tls=True, user="agent")
        with closing(EtcdCluster(tmp_path / "etcd", ports, options)) as cluster:
            cluster.start()
            assert cluster.certificates is not None and cluster.password is not None
            tls = {"CACERT": cluster.certificates.ca, "CERT": cluster.certificates.client}
            tls["KEY"] = cluster.certificates.client_key
            login = {"USER": "agent", "PASSWORD": cluster.password}

            def put(key: str, settings: Mapping[str, object]) -> str:
                env = {"ETCDCTL_API": "3", "ETCDCTL_ENDPOINTS": cluster.urls[0], "ETCDCTL_DIAL_TIMEOUT": "1s"}
                env |= {f"ETCDCTL_{name}": str(value) for name, value in settings.items()}
                command: list[str | Path] = [cluster.binaries.etcdctl, "put", key, "v"]
                done = subprocess.run(command, env=os.environ | env, capture_output=True, text=True, timeout=20)
                return done.stderr

            assert put("/nodeos-failover/g/leader", {**tls, **login}) == ""
            assert "permission denied" in put("/other", {**tls, **login})
            # without a password the name in the certificate is the user: one without any right
            assert "permission denied" in put("/nodeos-failover/g/leader", tls)
            assert put("/nodeos-failover/g/leader", {"CACERT": tls["CACERT"], **login}) != ""


def test_a_member_that_ends_at_start_is_reported(tmp_path: Path) -> None:
    """A member that cannot start is an error with its log, and not a wait until the limit."""
    options = EtcdOptions(size=1, election_ms=1)
    with (
        closing(Ports()) as ports,
        closing(EtcdCluster(tmp_path / "etcd", ports, options)) as cluster,
        pytest.raises(LabError, match="election-timeout"),
    ):
        cluster.start()
