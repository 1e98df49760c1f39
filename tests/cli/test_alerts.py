"""`alerts test`: each channel is tried, what came back is printed, and no secret is."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from agent.cli.main import main
from tests.support.alert_channel import SECRET
from tests.support.slow_server import Serve, Server, answer

BASE = """
group = "lab"
node = "bp-a"
producer = "eosio"
nodeos.url = "http://127.0.0.1:1"
etcd.endpoints = ["http://127.0.0.1:2"]
"""


@pytest.fixture
def servers(serve: Serve) -> dict[str, Server]:
    """A channel that works and one that does not."""
    return {"chat": serve(answer("200 OK", b"ok")), "hook": serve(answer("404 No", SECRET.encode()))}


def run(tmp_path: Path, servers: dict[str, Server], *arguments: str) -> Result:
    """Run `alerts test` with these channels."""
    tables = [
        f'[[alerts]]\nname = "{name}"\ntype = "{kind}"\nurl = "http://127.0.0.1:{servers[name].port}/{SECRET}"\n'
        for name, kind in (("chat", "slack"), ("hook", "webhook"))
        if name in servers
    ]
    path = tmp_path / "config.toml"
    path.write_text("\n".join([BASE, *tables]))
    path.chmod(0o600)
    return CliRunner().invoke(main, ["alerts", "test", "--config", str(path), *arguments])


def test_each_channel_is_tried_and_its_answer_shown(tmp_path: Path, servers: dict[str, Server]) -> None:
    """One line a channel, what came back below it; exit code 1 when one of them fails."""
    done = run(tmp_path, servers)
    assert done.exit_code == 1
    assert "chat (slack): delivered (" in done.output
    assert "    HTTP 200 ok" in done.output
    assert "hook (webhook): not delivered: HTTP 404 (" in done.output
    assert "1 of 2 channels do not deliver" in done.output
    assert SECRET not in done.output
    assert servers["chat"].connections == 2, "the test and its end"


def test_one_channel_can_be_named(tmp_path: Path, servers: dict[str, Server]) -> None:
    """Only the named one is tried; a name that there is not is refused with those that there are."""
    assert run(tmp_path, servers, "--channel", "chat").exit_code == 0
    assert servers["hook"].connections == 0
    done = run(tmp_path, servers, "--channel", "chatt")
    assert done.exit_code == 3
    assert "no channel is named chatt: there are chat, hook" in done.output


def test_without_channels_it_says_so(tmp_path: Path) -> None:
    """A configuration without channels has nothing to test."""
    assert "no channel to test: there are none" in run(tmp_path, {}).output
