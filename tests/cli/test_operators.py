"""Operators with their own identity on a real etcd with mutual TLS and roles, all of it made as the documents say."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from agent.core.model.keys import keys
from tests.lab.etcd import EtcdCluster, EtcdOptions
from tests.lab.tls import Certificates
from tests.support.etcd_bench import running

pytestmark = pytest.mark.real
SCRIPTS = Path(__file__).resolve().parents[2] / "deploy" / "etcd"
NAMES = keys("/nodeos-failover", "eos")


@dataclass
class Host:
    """A host of an operator, with the PKI of certificates.sh and the configuration of the agent bp-a."""

    etcd: EtcdCluster
    root: Path

    def variables(self, user: str) -> dict[str, str]:
        """Return etcdctl's variables for a user of the PKI."""
        pki = self.root / "pki"
        return {
            "ETCDCTL_ENDPOINTS": self.etcd.urls[0],
            "ETCDCTL_CACERT": str(pki / "ca.crt"),
            "ETCDCTL_CERT": str(pki / f"{user}.crt"),
            "ETCDCTL_KEY": str(pki / f"{user}.key"),
        }

    def run(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run our command as a shell does; nothing of this process's own environment names an etcd."""
        env = {name: value for name, value in os.environ.items() if not name.startswith(("ETCDCTL_", "NODEOS_"))}
        command = [sys.executable, "-m", "agent", *arguments]
        config = {"HOME": str(self.root), "NODEOS_FAILOVER_CONFIG": str(self.root / "config.toml")}
        return subprocess.run(
            command, env=env | config | variables, capture_output=True, text=True, timeout=30, check=False
        )


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """Run an etcd that asks for client certificates, with the agent bp-a, the operator ann, and root."""
    root = tmp_path_factory.mktemp("operators")
    pki = root / "pki"
    for words in ("member etcd-1 127.0.0.1,localhost", "user bp-a", "user ann", "user root"):
        command: list[str | Path] = [SCRIPTS / "certificates.sh", pki, *words.split()]
        subprocess.run(command, check=True, capture_output=True, timeout=60)
    certificates = Certificates(
        pki / "ca.crt", pki / "etcd-1.crt", pki / "etcd-1.key", pki / "root.crt", pki / "root.key"
    )
    with running(root, EtcdOptions(size=1, tls=True, certificates=certificates)) as cluster:
        host = Host(cluster, root)
        path = {"PATH": f"{cluster.binaries.etcdctl.parent}:{os.environ['PATH']}"}
        access: list[str | Path] = [
            SCRIPTS / "access.sh",
            "eos",
            "--agent",
            "bp-a",
            "--operator",
            "ann",
            "--no-password",
        ]
        subprocess.run(access, env=path | host.variables("root"), check=True, capture_output=True, timeout=60)
        cluster.etcdctl("user", "add", "root", "--no-password")
        cluster.etcdctl("role", "add", "root")
        cluster.etcdctl("user", "grant-role", "root", "root")
        cluster.etcdctl("auth", "enable")
        (root / "config.toml").write_text(
            f'group = "eos"\nnode = "bp-a"\nproducer = "myproducer11"\nnodeos.url = "http://127.0.0.1:8888"\n[etcd]\n'
            f'endpoints = ["{cluster.urls[0]}"]\nca_file = "{pki}/ca.crt"\n'
            f'cert_file = "{pki}/bp-a.crt"\nkey_file = "{pki}/bp-a.key"\n'
        )
        yield host


def maintenance(host: Host) -> str:
    """Return the word of maintenance that stands in etcd."""
    return host.etcd.etcdctl("get", NAMES.maintenance, "--print-value-only").strip()


def test_an_agents_certificate_does_no_operators_work_and_the_remedy_keeps_it_so(host: Host) -> None:
    """The refusal names the operator's role and the way to act as oneself, and no right for the agent."""
    result = host.run("maintenance", "on", "--reason", "disks")
    assert result.returncode == 4
    assert "with the certificate" in result.stderr
    assert "nodeos-failover-eos-operator" in result.stderr
    assert "--cert and --key" in result.stderr
    assert "readwrite" not in result.stderr
    assert maintenance(host) == ""


@pytest.mark.parametrize("way", ["options", "variables", "profile"])
def test_an_operator_acts_with_a_certificate_of_their_own(host: Host, way: str) -> None:
    """By options, by etcdctl's variables or by a profile: the same word stands in etcd, and goes again."""
    own = host.variables("ann")
    options: list[str] = []
    variables: dict[str, str] = {}
    profile = host.root / ".config/nodeos-failover/ann.toml"
    match way:
        case "options":
            options = ["--cert", own["ETCDCTL_CERT"], "--key", own["ETCDCTL_KEY"]]
        case "variables":
            options, variables = ["--group", "eos"], own
        case "profile":
            profile.parent.mkdir(parents=True, exist_ok=True)
            profile.write_text('[etcd]\ncert_file = "~/pki/ann.crt"\nkey_file = "~/pki/ann.key"\n')
            options = ["--profile", "ann"]
    result = host.run("maintenance", "on", "--reason", way, *options, **variables)
    assert result.returncode == 0, result.stderr
    assert way in maintenance(host)
    assert host.run("maintenance", "off", *options, **variables).returncode == 0
    assert maintenance(host) == ""
    listed = host.run("history", *options, **variables)
    assert listed.returncode == 0
    assert "maintenance is over" in listed.stdout


def test_what_tls_lacks_is_told_by_the_options_name(host: Host) -> None:
    """Without --cacert, without a certificate, with another's CA: no traceback, and no setting that was not used."""
    url, pki = host.etcd.urls[0], host.root / "pki"
    lacks = host.run("status", "--etcd", url, "-g", "eos")
    assert (lacks.returncode, lacks.stderr.count("\n")) == (3, 2)
    assert "--cacert (ETCDCTL_CACERT) is missing" in lacks.stderr
    nobody = host.run("status", "--etcd", url, "-g", "eos", "--cacert", str(pki / "ca.crt"))
    assert nobody.returncode == 4
    assert "check --cert (ETCDCTL_CERT) and --key (ETCDCTL_KEY)" in nobody.stderr
    assert "etcd.cert_file" not in nobody.stderr
