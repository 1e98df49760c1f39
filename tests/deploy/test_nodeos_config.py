"""deploy/nodeos: a real nodeos starts from each file, paused, and an agent governs it as its README says."""

from __future__ import annotations

import re
import shlex
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.binaries import find_nodeos
from tests.lab.lab import Lab
from tests.lab.nodeos import PRIVATE_KEY, Node, NodeSpec
from tests.lab.process import Process
from tests.lab.wait import until
from tests.support.gate_bench import LIMIT_S, GateBench

DIRECTORY = Path(__file__).resolve().parents[2] / "deploy" / "nodeos"
FILES = sorted(DIRECTORY.glob("*.ini"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_each_line_has_its_reason(path: Path) -> None:
    """Every setting stands below a comment of its own."""
    lines = path.read_text().splitlines()
    settings = [number for number, line in enumerate(lines) if line and not line.startswith("#")]
    assert settings
    for number in settings:
        above = lines[number - 1]
        assert above.startswith("#") or lines[number - 2].startswith("# The account"), lines[number]


@pytest.mark.real
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_real_nodeos_starts_paused_from_it(path: Path, tmp_path: Path) -> None:
    """A real nodeos takes every line, starts paused, and an agent beside it finds the producer API and leads."""
    with Lab(tmp_path / "lab") as lab:
        etcd = lab.etcd(1)
        chain = lab.chain(1, active=False)
        first = next(iter(chain.nodes.values()))
        http, producer = (lab.ports.take() for _ in range(2))
        text = path.read_text().replace("REPLACE_ME", PRIVATE_KEY).replace("myproducer11", first.spec.producers[0])
        text = text.replace("10.0.0.2:9876", f"127.0.0.1:{first.spec.p2p}")
        text = text.replace("127.0.0.1:8888", f"127.0.0.1:{http}").replace("127.0.0.1:8889", f"127.0.0.1:{producer}")
        root = tmp_path / "node"
        root.mkdir()
        (root / "config.ini").write_text(text)
        node = Configured(NodeSpec("configured", http, lab.ports.take(), first.spec.producers), root, find_nodeos())
        try:
            node.launch()
            split = "http-category-address = producer_rw" in text
            nodeos = {"url": node.http_url, "config_file": str(root / "config.ini")}
            nodeos |= {"producer_url": f"http://127.0.0.1:{producer}"} if split else {}
            assert node.paused
            assert reachable(producer) is split
            agent = lab.agent(node, etcd, nodeos=nodeos)
            first.pause()
            agent.start()
            until(lambda: agent.leads, 40.0, lambda: f"the agent to lead: {agent.log_tail(20)}")
            checks = agent.status()["checks"]
            assert not [name for name, check in checks.items() if check["ok"] is False], checks
        finally:
            node.stop()


class Configured(Node):
    """A nodeos that takes everything from its config.ini but what a lab on one machine has to say otherwise."""

    def _command(self, binaries: object) -> list[str | Path]:
        nodeos = find_nodeos().nodeos
        command: list[str | Path] = [nodeos, "--data-dir", self.root / "data", "--config-dir", self.root]
        command += ["--p2p-listen-endpoint", f"127.0.0.1:{self.spec.p2p}"]
        command += ["--resource-monitor-not-shutdown-on-threshold-exceeded"]
        return [*command, "--chain-state-db-size-mb", "256", "--chain-state-db-guard-size-mb", "16"]


def reachable(port: int) -> bool:
    """Return whether somebody listens there."""
    with socket.socket() as sock:
        sock.settimeout(1.0)
        return sock.connect_ex(("127.0.0.1", port)) == 0


SYSTEMD = Path(__file__).parents[2] / "deploy" / "systemd"
LOCAL = "/run/nodeos-failover-keosd"
STATE = "/var/lib/nodeos-failover-keosd"


@pytest.fixture
def root() -> Iterator[Path]:
    """A directory with a short path, for sockets."""
    found = Path(tempfile.mkdtemp(prefix="nf-gate-"))
    yield found
    shutil.rmtree(found)


def placed(text: str, root: Path) -> str:
    """Put a line of unit or README below our directory."""
    return text.replace(LOCAL, str(root)).replace(STATE, str(root)).replace("/etc/nodeos-failover", str(root))


@pytest.mark.real
def test_the_recipe_leads_to_a_signature(root: Path, tmp_path: Path) -> None:
    """keosd with the unit's arguments, the wallet by README's commands: the gate unlocks it, and it signs."""
    binaries = find_nodeos()
    unit = (SYSTEMD / "nodeos-failover-keosd.service").read_text()
    found = re.search(r"(?m)^ExecStart=/usr/bin/keosd (.*)$", unit)
    assert found
    keosd = Process("keosd", [binaries.keosd, *shlex.split(placed(found[1], root))], root / "log")
    commands = re.findall(r"(?m)^    cleos (.*?)(?:  #.*)?$", (SYSTEMD / "README.md").read_text())
    assert len(commands) == 2
    bench = None
    try:
        keosd.start()
        until((root / "keosd.sock").exists, LIMIT_S, "keosd")
        for command in commands:
            words = shlex.split(placed(command.replace("$W", f"unix://{LOCAL}/keosd.sock"), root))
            more = ["--private-key", PRIVATE_KEY] if "import" in words else []  # which people type
            done = subprocess.run(
                [binaries.cleos, *words, *more], capture_output=True, text=True, timeout=LIMIT_S, check=False
            )
            assert done.returncode == 0, done.stderr
        password = root / "gate.password"
        password.chmod(0o600)
        bench = GateBench(tmp_path, f"unix://{root}/keosd.sock", password_file=str(password))
        bench.start().open()
        assert bench.ask()[0] == 201
        keosd.kill()
        keosd.start()
        bench.wait(lambda: bench.ask()[0] == 201)
    finally:
        if bench is not None:
            bench.close()
        keosd.close()
