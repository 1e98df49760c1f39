"""SIGHUP on a real group: what may change does, the rest is refused with its reason, and the leader goes on leading."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import Any

import pytest

from tests.lab.agents import Agent
from tests.lab.group import Group
from tests.support.alert_channel import Keeper

pytestmark = pytest.mark.real


def again(group: Group, agent: Agent, word: str) -> None:
    """Have an agent read its configuration again, and wait until it tells `word`."""
    before = agent.log.read_text().count(word)
    agent.signal(signal.SIGHUP)
    group.wait(f"{agent.node} to tell: {word}", lambda: agent.log.read_text().count(word) > before or None)


def edit(agent: Agent, old: str, new: str) -> None:
    """Change the file of an agent in one place, as an editor does: another file takes its place."""
    text = agent.config.read_text()
    assert old in text
    other = agent.config.with_suffix(".new")
    other.write_text(text.replace(old, new, 1))
    other.chmod(0o600)
    other.replace(agent.config)


def reload(agent: Agent, *options: str) -> subprocess.CompletedProcess[str]:
    """Run `nodeos-failover reload`, as the unit's ExecReload does."""
    command = [sys.executable, "-m", "agent", "reload", "--config", str(agent.config), *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def test_reload_applies_what_can_change_and_never_loses_the_lead(group: Group) -> None:
    """Log, priority, thresholds and channels apply at once; E is refused; garbage changes nothing; the epoch stays."""
    leader, epoch = group.leader, group.heartbeat()["epoch"]
    group.chain.observer.wait_blocks(2)
    head = group.chain.observer.head
    edit(leader, 'level = "debug"', 'level = "info"\nformat = "json"')
    leader.config.write_text(
        leader.config.read_text() + "\n[election]\npriority = 7\n\n[timing]\nvalidity = 8.0\nlease_ttl = 12\n"
    )
    again(group, leader, "timing.validity stays as it was")
    assert "log.format" in leader.log.read_text()
    assert '"message": "timing.validity stays as it was' in leader.log.read_text()
    priority = f"{leader.node} to publish its priority"
    group.wait(priority, lambda: _member(group, leader)["priority"] == 7 or None)
    assert group.heartbeat()["validity_ms"] < 8000  # that of peers, while these promise, is shorter still

    leader.config.write_text(leader.config.read_text() + '\n[log2]\n[health.peers]\nmin = "1"\n')
    wrong = reload(leader)
    assert wrong.returncode == 3, wrong.stderr
    assert "log2 is not a setting" in wrong.stderr
    assert "health.peers.min should be a whole number" in wrong.stderr
    edit(leader, '\n[log2]\n[health.peers]\nmin = "1"\n', "\n")
    right = reload(leader)
    assert right.returncode == 0, right.stderr
    assert "timing.validity stays as it was" in right.stdout

    _channels(group, leader)

    assert group.leader is leader
    assert group.heartbeat()["epoch"] == epoch
    group.wait("blocks to go on", lambda: group.chain.observer.head > head + 2 or None)
    _drained(group, leader)


def _channels(group: Group, leader: Agent) -> None:
    """Give the leader a channel while it runs, and have it tell."""
    channel = Keeper()
    try:
        url = f"http://127.0.0.1:{channel.port}/hook"
        table = f'\n[[alerts]]\nname = "ops"\ntype = "webhook"\nurl = "{url}"\nmin_severity = "info"\n'
        leader.config.write_text(leader.config.read_text() + table)
        again(group, leader, "read again: alerts")
        group.standby.stop()
        group.wait("the alert", lambda: "no_standby" in json.dumps(channel.sent) or None, limit=60)
    finally:
        channel.close()
        group.standby.start() if not group.standby.running else None
    assert url not in leader.log.read_text()


def _member(group: Group, agent: Agent) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(group.etcdctl("get", f"@members/{agent.node}", "--print-value-only"))
    return found


def _drained(group: Group, leader: Agent) -> None:
    """`election.nofailover = true`: the leader hands over as if it were drained."""
    standby = group.standby
    group.settle()
    edit(leader, "priority = 7", "priority = 7\nnofailover = true")
    again(group, leader, "read again: election.nofailover")
    group.wait_leads(standby)


def test_an_agent_starts_without_a_config_ini_that_it_cannot_read(group: Group) -> None:
    """nodeos's own configuration is advice: the agent warns, goes on, and stands by as before."""
    standby = group.standby
    edit(standby, "[nodeos]", '[nodeos]\nconfig_file = "/nowhere/config.ini"')
    standby.stop()
    standby.start()
    group.wait(f"{standby.node} to stand by", lambda: standby.phase == "standby" or None)
    assert "nodeos.config_file: cannot read /nowhere/config.ini" in standby.log.read_text()
    assert "going on without it" in standby.log.read_text()
