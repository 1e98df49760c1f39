"""The Ansible role: clean by ansible-lint, and run against a host that systemd booted. Slow: it makes a Debian."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.conftest import CLEAN, ROOT, run
from tests.lab.wait import until
from tests.support.booted import PACKAGES, Booted, add_etcd, booted, make_root, missing, start_etcd

HERE = ROOT / "deploy" / "ansible"
TOOLS = ("ansible-core>=2.17,<2.20", "ansible-lint>=25")
UNIT = "nodeos-failover.service"
CONFIG: dict[str, Any] = {
    "group": "g",
    "producer": "bp",
    "nodeos": {"url": "http://127.0.0.1:8888"},
    "etcd": {"endpoints": ["http://127.0.0.1:2379"]},
    "fence": {"method": "none"},
    "election": {"priority": 90},
}
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
SSH = """#!/bin/sh
# Stands for ssh: the last word is the command, and the host is entered where it runs.
for command; do :; done
exec nsenter --target {pid} --all env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin /bin/sh -c "$command"
"""


@pytest.fixture(scope="session")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the directory with ansible-playbook and ansible-lint."""
    home = tmp_path_factory.mktemp("ansible")
    run([sys.executable, "-m", "venv", home], home)
    run([home / "bin/python", "-m", "pip", "install", "--quiet", *TOOLS], home, 600.0)
    return home / "bin"


@pytest.fixture(scope="module")
def host(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Booted]:
    """Boot a Debian with an etcd, and without the package."""
    assert dist
    root = tmp_path_factory.mktemp("debian") / "root"
    make_root(root, packages=f"{PACKAGES},python3-apt")
    add_etcd(root)
    with booted(root) as found:
        start_etcd(found)
        yield found


class Playbook:
    """site.yml for one host, which is reached without a network."""

    def __init__(self, tools: Path, host: Booted, dist: Path, directory: Path) -> None:
        self._tools, self._directory = tools, directory
        (self._package,) = dist.glob("*.deb")
        self._ssh = directory / "ssh"
        self._ssh.write_text(SSH.format(pid=host.pid))
        self._ssh.chmod(0o755)

    def __call__(self, config: dict[str, Any], **more: Any) -> tuple[int, str]:
        """Run it; return its exit code and what it said."""
        variables = {
            "ansible_host": "127.0.0.1",
            "ansible_ssh_executable": str(self._ssh),
            "ansible_ssh_transfer_method": "piped",
            "ansible_python_interpreter": "/usr/bin/python3",
            "ansible_become": False,
            "nodeos_failover_package": str(self._package),
            "nodeos_failover_config": config,
            **more,
        }
        inventory = self._directory / "inventory.yml"
        inventory.write_text(json.dumps({"producers": {"hosts": {"bp-a": variables}}}))
        command: list[str | Path] = [self._tools / "ansible-playbook", "-i", inventory, HERE / "site.yml"]
        environment = {**CLEAN, "ANSIBLE_NOCOLOR": "1", "LC_ALL": "C.UTF-8"}
        done = subprocess.run(command, cwd=HERE, env=environment, capture_output=True, text=True, timeout=300)
        return done.returncode, done.stdout + done.stderr


def test_ansible_lint_is_content(tools: Path, tmp_path: Path) -> None:
    """By the strictest profile, for all files of the directory."""
    command: list[str | Path] = [tools / "ansible-lint", "--offline", "--profile", "production", "."]
    environment = {**CLEAN, "HOME": str(tmp_path), "PATH": f"{tools}:{os.environ['PATH']}", "LC_ALL": "C.UTF-8"}
    done = subprocess.run(command, cwd=HERE, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(bool(missing()), reason=f"needs {missing()}")
def test_the_role_makes_a_host_that_runs_an_agent(tools: Path, host: Booted, dist: Path, tmp_path: Path) -> None:
    """One run installs, configures and starts; a second changes nothing; a new configuration needs no restart."""
    play = Playbook(tools, host, dist, tmp_path)
    (package,) = dist.glob("*.deb")

    code, said = play(CONFIG, nodeos_failover_sha256="0" * 64)
    assert code != 0
    assert "does not have the checksum" in said
    assert host.says("ls", "/opt") == "", "nothing is installed of another package than the one that is meant"

    sha256 = hashlib.sha256(package.read_bytes()).hexdigest()
    code, said = play(CONFIG, nodeos_failover_sha256=sha256)
    assert code == 0, said
    assert host.says("systemctl", "is-active", UNIT) == "active"
    assert host.says("systemctl", "is-enabled", UNIT) == "enabled"
    assert host.says("stat", "-c", "%A %U %G", "/etc/nodeos-failover/config.toml") == "-rw-r----- root nodeos-failover"
    pid = host.says("systemctl", "show", "-P", "MainPID", UNIT)

    code, said = play(CONFIG, nodeos_failover_sha256=sha256)
    assert code == 0, said
    assert "changed=0 " in said

    alerts = [{"name": "ops", "type": "webhook", "url": "http://127.0.0.1:1/x"}]
    code, said = play({**CONFIG, "election": {"priority": 80}, "alerts": alerts})
    assert code == 0, said
    until(lambda: ":80," in _members(host).replace(" ", ""), 20.0, "the new priority to be told in etcd")
    assert host.says("systemctl", "show", "-P", "MainPID", UNIT) == pid

    code, said = play({**CONFIG, "election": {"priority": "high"}})
    assert code != 0
    assert "election.priority" in said
    assert "priority = 80" in host.says("cat", "/etc/nodeos-failover/config.toml"), "what is refused takes no place"


def _members(host: Booted) -> str:
    return host.says("/srv/etcdctl", "get", "--prefix", "/nodeos-failover/g/members/")
