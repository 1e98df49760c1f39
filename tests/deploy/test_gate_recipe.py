"""The way to a wallet that deploy/systemd names, on real keosd and cleos: from nothing to a signature."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.binaries import find_nodeos
from tests.lab.nodeos import PRIVATE_KEY
from tests.lab.process import Process
from tests.lab.wait import until
from tests.support.gate_bench import LIMIT_S, GateBench

SYSTEMD = Path(__file__).parents[2] / "deploy" / "systemd"
LOCAL = "/run/nodeos-failover-keosd"
STATE = "/var/lib/nodeos-failover-keosd"

pytestmark = pytest.mark.real


@pytest.fixture
def root() -> Iterator[Path]:
    """A directory with a short path, for sockets."""
    found = Path(tempfile.mkdtemp(prefix="nf-gate-"))
    yield found
    shutil.rmtree(found)


def placed(text: str, root: Path) -> str:
    """Put a line of unit or README below our directory."""
    return text.replace(LOCAL, str(root)).replace(STATE, str(root)).replace("/etc/nodeos-failover", str(root))


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
