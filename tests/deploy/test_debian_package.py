"""The .deb on a host that systemd booted: install, configure, upgrade, remove, purge. Slow: it makes a whole Debian."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.wait import until
from tests.support.booted import Booted, add_etcd, booted, make_root, missing, start_etcd

CONFIG = """\
group = "g"
node = "bp-a"
producer = "bp"
nodeos.url = "http://127.0.0.1:8888"
fence.method = "none"
etcd.endpoints = ["http://127.0.0.1:2379"]
"""
UNIT = "nodeos-failover.service"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(bool(missing()), reason=f"needs {missing()}"),
]


@pytest.fixture(scope="module")
def host(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Booted]:
    """Boot a Debian that has the package, and an etcd beside it, in its directory /srv."""
    root = tmp_path_factory.mktemp("debian") / "root"
    make_root(root)
    (package,) = dist.glob("*.deb")
    shutil.copy(package, root / "srv" / "agent.deb")
    add_etcd(root)
    with booted(root) as found:
        start_etcd(found)
        yield found


def state(host: Booted) -> str:
    """Return what systemd says of the agent's unit."""
    return host.says("systemctl", "is-active", UNIT)


def main_pid(host: Booted) -> str:
    """Return the pid of the agent there."""
    return host.says("systemctl", "show", "-P", "MainPID", UNIT)


def test_a_package_lives_as_administrators_expect(host: Booted) -> None:
    """Install ends in a unit that can start, an upgrade in one that runs, remove and purge in nothing left."""
    host.run("dpkg", "-i", "/srv/agent.deb")
    assert host.says("id", "-un", "nodeos-failover") == "nodeos-failover"
    assert host.says("stat", "-c", "%A %U %G", "/etc/nodeos-failover/config.toml") == "-rw-r----- root nodeos-failover"
    assert state(host) == "inactive", "nothing starts before it is configured"
    assert "0.1.0" in host.says("nodeos-failover", "version")
    assert "nodeos-failover" in host.says("nodeos-failover", "completion", "bash")

    host.run("sh", "-c", f"cat >/etc/nodeos-failover/config.toml <<'X'\n{CONFIG}X")
    host.run("nodeos-failover", "config", "validate")
    host.run("systemctl", "enable", "--now", UNIT)
    until(lambda: state(host) == "active", 60.0, "the agent runs")
    first = main_pid(host)

    host.run("dpkg", "-i", "/srv/agent.deb")
    until(lambda: main_pid(host) not in ("0", first) and state(host) == "active", 60.0, "it runs on the new files")
    assert host.says("cat", "/etc/nodeos-failover/config.toml") == CONFIG.strip(), (
        "a configuration is the administrator's"
    )
    assert host.says("stat", "-c", "%A %G", "/etc/nodeos-failover/config.toml") == "-rw-r----- nodeos-failover"

    host.run("/srv/etcdctl", "put", "/nodeos-failover/g/leader", "bp-a")
    refused = host.run("dpkg", "-r", "nodeos-failover", check=False)
    assert refused.returncode != 0
    assert "no other node may take over" in refused.stderr
    assert state(host) == "active", "the only node that leads is left as it is (P2)"

    host.run("/srv/etcdctl", "del", "/nodeos-failover/g/leader")
    host.run("dpkg", "-r", "nodeos-failover")
    assert state(host) in ("inactive", "failed", "unknown")
    assert host.says("pgrep", "-f", "opt/nodeos-failover") == ""
    assert host.says("ls", "/opt/nodeos-failover") == ""
    assert host.says("ls", "/etc/nodeos-failover") == "config.toml"

    host.run("dpkg", "-P", "nodeos-failover")
    assert host.says("find", "/etc", "/opt", "/usr", "/run", "-path", "*nodeos-failover*") == ""


def test_lintian_is_content(dist: Path) -> None:
    """Lintian has no remark that the package does not override with its reason."""
    if shutil.which("lintian") is None:
        pytest.skip("needs lintian")
    (package,) = dist.glob("*.deb")
    done = subprocess.run(["lintian", "--fail-on", "warning", package], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout
