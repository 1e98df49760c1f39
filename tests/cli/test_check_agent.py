"""`check --agent`: whether the loop of the agent beside us runs, without etcd and without nodeos."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from agent.cli.main import main
from tests.support.pages import FakePages, serving


@pytest.fixture
def pages() -> FakePages:
    """Return pages that a test may change."""
    return FakePages()


@pytest.fixture
def listen(pages: FakePages) -> Iterator[str]:
    """Run the agent's HTTP server; return its address."""
    with serving(pages) as port:
        yield f"127.0.0.1:{port}"


def check(tmp_path: Path, listen: str) -> Result:
    """Run the command with a configuration whose etcd nobody answers at."""
    config = tmp_path / "config.toml"
    config.write_text(f"""group = "g"
node = "bp-a"
producer = "myproducer11"
nodeos.url = "http://127.0.0.1:1"
etcd.endpoints = ["http://127.0.0.1:1"]
http.listen = "{listen}"
""")
    config.chmod(0o600)
    return CliRunner().invoke(main, ["check", "--agent", "--config", str(config), "--timeout", "2"])


def test_agent_that_steps_is_ok(tmp_path: Path, listen: str) -> None:
    """A loop that runs is OK, though neither etcd nor nodeos can be reached."""
    done = check(tmp_path, listen)
    assert done.exit_code == 0, done.output
    assert done.output == "NODEOS-FAILOVER OK - last step 0.1 s ago\n"


def test_agent_that_hangs_is_critical(tmp_path: Path, listen: str, pages: FakePages) -> None:
    """A loop that stands still is CRITICAL."""
    pages.alive = False
    assert check(tmp_path, listen).exit_code == 2


def test_agent_that_is_gone_is_critical(tmp_path: Path) -> None:
    """Nobody at the address is CRITICAL, and so is a process that takes the connection and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        address = f"127.0.0.1:{mute.getsockname()[1]}"
        assert check(tmp_path, address).exit_code == 2
    gone = check(tmp_path, address)
    assert gone.exit_code == 2
    assert "does not answer" in gone.output


def test_agent_without_an_address_is_unknown(tmp_path: Path) -> None:
    """Where the agent listens nowhere nothing can be said: UNKNOWN, and the remedy."""
    done = check(tmp_path, "")
    assert done.exit_code == 3
    assert "http.listen" in done.output
