"""A forwarder between the agent and a real nodeos, which goes on behind it: no slot is signed twice (P1)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from agent.cli.main import main
from tests.lab.agents import Agent
from tests.lab.group import Group
from tests.lab.nodeos import HOST
from tests.support.children import RELAY, Child, child, program

pytestmark = pytest.mark.real


class Forwarded:
    """A group of which the agent of bp-a reaches its nodeos through a relay in a process of its own."""

    def __init__(self, root: Path, name: str, closing: ExitStack) -> None:
        self.name = name
        self.group = closing.enter_context(Group(root))
        self.node = self.group.chain.nodes["bp-a"]
        self.pid_file = root / "nodeos.pid"
        self.pid_file.write_text(str(self.node.pid))
        self._python = program(root, name)
        self._closing = closing
        self.relay = self._start("0")

    def _start(self, port: str) -> Child:
        return self._closing.enter_context(child(RELAY, port, str(self.node.spec.http), python=self._python))

    def agent(self, data_dir: Path, **settings: Any) -> Agent:
        """Make the agent of bp-a anew, with the relay as its nodeos."""
        nodeos = {"url": f"http://{HOST}:{self.relay.said}", "data_dir": str(data_dir)}
        self.group.agents["bp-a"] = self.group.lab.agent(self.node, self.group.etcd, nodeos=nodeos, **settings)
        return self.group.agents["bp-a"]

    def end_relay(self) -> None:
        """Kill the relay; nodeos goes on."""
        self.relay.popen.kill()
        self.relay.popen.wait()

    def start_relay(self) -> None:
        """Start it again at the same port."""
        self.relay = self._start(self.relay.said)


@pytest.fixture
def forwarded(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Forwarded]:
    """Yield a group behind a relay of the name that is asked for; at its end no slot may have been signed twice."""
    with ExitStack() as closing:
        yield Forwarded(tmp_path, request.param, closing)


def names_the_relay(agent: Agent, name: str) -> bool:
    """Whether the agent says that its nodeos cannot be known."""
    return any(name in str(check) for check in agent.status().get("checks", {}).values())


@pytest.mark.parametrize("forwarded", ["conmon"], indirect=True)
def test_what_is_not_known_to_be_nodeos_never_leads(forwarded: Forwarded, tmp_path: Path) -> None:
    """The relay is no nodeos: the node does not lead, the end of the relay proves nothing, and the other one leads."""
    group, agent = forwarded.group, forwarded.agent(tmp_path)
    for each in group.chain.nodes.values():
        each.pause()
    agent.start()
    group.wait("the check to fail", lambda: names_the_relay(agent, "conmon"))
    done = CliRunner().invoke(main, ["doctor", "--config", str(agent.config), "-f", "json", "--timeout", "8"])
    found = {each["check"]: each for each in json.loads(done.output)["checks"]}
    assert found["nodeos_process"]["verdict"] == "fault"
    assert "conmon" in found["nodeos_process"]["seen"]
    assert "fence.pid_file" in found["nodeos_process"]["remedy"]
    other = group.agents["bp-b"]
    other.start()
    group.wait_leads(other)
    for change in (forwarded.end_relay, forwarded.start_relay):
        change()
        group.chain.observer.wait_blocks(4)
        assert agent.status()["nodeos_pid"] is None
        assert "process is gone" not in agent.log.read_text()
    group.etcdctl("put", "@leader", "bp-a")
    group.chain.observer.wait_blocks(8)
    assert not agent.leads
    assert forwarded.node.paused


@pytest.mark.parametrize(
    ("forwarded", "fault"),
    [("lighttpd", "relay ended"), ("patroneosd", "nodeos frozen"), ("lighttpd", "nodeos ended")],
    indirect=["forwarded"],
)
def test_behind_a_relay_the_nodeos_that_is_known_is_ended(forwarded: Forwarded, fault: str, tmp_path: Path) -> None:
    """By pid file or data directory it is known, and leads. What takes no pause is ended, and only that is a proof."""
    group = forwarded.group
    if forwarded.name == "lighttpd":
        agent = forwarded.agent(forwarded.node.data_dir)
    else:
        agent = forwarded.agent(tmp_path, fence={"pid_file": str(forwarded.pid_file)})
    group.start()
    if group.leader is not agent:
        group.etcdctl("put", "@leader", "bp-a")
        group.wait_leads(agent)
    assert agent.status()["nodeos_pid"] == forwarded.node.pid
    if fault == "relay ended":
        forwarded.end_relay()
    elif fault == "nodeos frozen":
        forwarded.node.freeze()
    else:
        forwarded.node.kill()
    group.wait_leads(group.agents["bp-b"])
    assert not forwarded.node.running
    assert forwarded.relay.alive == (fault != "relay ended")
