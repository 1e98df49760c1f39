"""Agent, gate and asker as different users, as under systemd: what each may, by the kernel's word (root only)."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.gate.client import look
from agent.gate.wire import SIGN
from agent.host.clock import boot_ms
from tests.lab.nodeos import PUBLIC_KEY
from tests.support.gate_bench import LIMIT_S, GateBench, gate_on_fake

GATE, SHARED, STRANGER = 61201, 61202, 61203
"""Numbers of users and a group that no host has."""
ASK = """
import http.client, sys
line = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=10)
try:
    line.request("POST", sys.argv[2], sys.argv[3]); print(line.getresponse().status)
except OSError as error:
    print("refused")
"""


def as_user(number: int) -> list[str]:
    """Return the beginning of a command that runs as another user, who is in the shared group."""
    return ["setpriv", f"--reuid={number}", f"--regid={number}", f"--groups={SHARED}", "--no-new-privs"]


def possible() -> bool:
    """Tell whether this process may become another user, who can run our Python."""
    if os.geteuid() != 0 or not shutil.which("setpriv"):
        return False
    command = [*as_user(GATE), sys.executable, "-c", "import agent.gate.main"]
    return subprocess.run(command, capture_output=True, check=False, timeout=LIMIT_S).returncode == 0


@pytest.fixture
def bench() -> Iterator[GateBench]:
    """A gate of a user of its own; agent and nodeos are root here."""
    if not possible():
        pytest.skip("only root can be several users, and others have to be able to run this Python")
    with tempfile.TemporaryDirectory(prefix="nf-gate-") as name:
        root = Path(name)
        os.chown(root, 0, SHARED)
        root.chmod(0o2750)  # the group of the page, which under systemd is that of the agent's process
        with gate_on_fake(root, started=False, agent_user="0", nodeos_user="0") as (found, _):
            os.chown(found.control.parent, GATE, SHARED)
            found.process.command[:0] = [str(shutil.which("setpriv")), *as_user(GATE)[1:]]
            yield found.start()


def test_each_user_may_what_it_needs(bench: GateBench) -> None:
    """The gate takes the agent's page and nobody else's, nodeos alone gets signatures, a closing is proven (R4)."""
    bench.open()
    assert bench.ask()[0] == 201
    body = json.dumps(["00" * 32, PUBLIC_KEY])
    command = [*as_user(STRANGER), sys.executable, "-c", ASK, str(bench.port), SIGN, body]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=LIMIT_S)
    assert done.stdout.strip() == "refused", done.stderr
    assert bench.refused("other_user") == 1
    assert bench.hand.close(LIMIT_S).how == "the gate said so"
    bench.hand.permit(2, boot_ms() + 60_000)
    os.chown(bench.page, STRANGER, SHARED)
    assert bench.ask()[1].endswith("other_owner")
    os.chown(bench.page, 0, SHARED)
    bench.page.chmod(0o600)  # what it holds it may go on reading; the next gate could not
    bench.process.kill()
    bench.process.start()
    bench.wait(lambda: look(bench.control, 1.0))
    assert bench.ask()[1].endswith("no_page")
    assert bench.hand.close(LIMIT_S).how == "no gate runs", "one that cannot lock the page signs nothing"
