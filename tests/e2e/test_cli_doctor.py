"""`doctor` on real parts: what it says of a laboratory, which is a bad place for a producer, and of broken parts."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner

from agent.cli.main import main
from tests.lab.group import Group

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Group]:
    """One group for this file, with an alert channel that nobody serves."""
    channel = {"name": "ops", "type": "webhook", "url": "http://127.0.0.1:1/secret-path"}
    group = Group(tmp_path_factory.mktemp("doctor"), alerts=[channel])
    try:
        group.start()
        yield group
    finally:
        group.close()


def examine(group: Group, node: str = "bp-b", timeout: float = 15) -> dict[str, tuple[str, str]]:
    """Run doctor; return verdict and what was seen, by check."""
    config = str(group.agents[node].config)
    done = CliRunner().invoke(main, ["doctor", "--config", config, "-f", "json", "--timeout", str(timeout)])
    assert done.exit_code == 1, (done.output, done.exception)
    assert "secret-path" not in done.output
    data: dict[str, Any] = json.loads(done.output)
    assert all(each["remedy"] for each in data["checks"] if each["verdict"] in ("warn", "fault", "unknown"))
    return {each["check"]: (each["verdict"], each["seen"]) for each in data["checks"]}


def test_a_laboratory_is_seen_as_it_is(group: Group) -> None:
    """Every fact that a check rests on is gathered from the real parts, and only what is wrong is a fault."""
    found = examine(group)
    faults = {name for name, (verdict, _seen) in found.items() if verdict == "fault"}
    assert faults - {"etcd_version"} == {"alert_channels"}, (
        found
    )  # what is said of the version depends on what is found
    assert found["etcd_version"][1].split(":")[0].split()[0] in group.etcdctl("endpoint", "status")
    assert "nothing listens" in found["alert_channels"][1]
    for name in ("nodeos", "nodeos_version", "plugins", "head", "producer_api_private", "etcd_alarms", "etcd_quota"):
        assert found[name][0] == "ok", found[name]
    for name in ("etcd_election", "members", "agent_versions", "agent_configs", "guard", "pause_on_startup"):
        assert found[name][0] == "ok", found[name]
    assert "anybody may write override" in found["etcd_rights"][1]
    assert "one member" in found["etcd_quorum"][1]


def test_the_node_that_started_the_chain_is_told_apart(group: Group) -> None:
    """It was started with --enable-stale-production and without --pause-on-startup: both are read from its process."""
    found = examine(group, "bp-a")
    assert found["stale_production"][0] == "fault"
    assert found["pause_on_startup"][0] == "fault"


def test_parts_that_hang_are_told_and_hold_up_nothing(group: Group) -> None:
    """A frozen nodeos and a frozen agent are findings; the rest is told all the same, within the time given."""
    agent, node = group.standby, group.nodeos(group.standby)
    for process in (agent, node):
        process.freeze()
    try:
        done = CliRunner().invoke(main, ["doctor", "--config", str(agent.config), "--timeout", "8", "-f", "json"])
    finally:
        for process in (agent, node):
            process.thaw()
    found = {each["check"]: each["verdict"] for each in json.loads(done.output)["checks"]}
    assert (found["nodeos"], found["agent"], found["etcd_alarms"]) == ("fault", "fault", "ok")


def test_a_dead_etcd_is_one_finding(group: Group) -> None:
    """Without etcd there is no error but a fault, and nodeos is still looked at."""
    pid = group.etcd.members[0].pid
    os.kill(pid, signal.SIGSTOP)
    try:
        found = examine(group, timeout=8)
    finally:
        os.kill(pid, signal.SIGCONT)
    assert found["etcd"][0] == "fault"
    assert found["group"][0] == "unknown"
    assert found["plugins"][0] == "ok"


def test_the_table_has_faults_with_their_remedies(group: Group) -> None:
    """For people: the same, with the remedy below, in no more columns than there are."""
    config = str(group.agents["bp-b"].config)
    done = CliRunner().invoke(main, ["doctor", "--config", config], env={"COLUMNS": "80"})
    assert done.exit_code == 1
    assert "-> correct the channel's URL" in done.output
    assert max(len(line) for line in done.output.splitlines()) <= 80
