"""kill -9 and SIGSTOP of a real agent or nodeos, and a defect: the other host takes over, no slot is signed twice (P1).

The supervisor is the parent guard itself, or this test in the place of systemd: it does what the unit tells systemd to.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.host.clock import boot_ms
from tests.lab import evidence
from tests.lab.agents import Agent
from tests.lab.group import VALIDITY, Group
from tests.lab.measure.usage import usage
from tests.lab.nodeos import Node
from tests.support.children import state_of

pytestmark = pytest.mark.real
PATIENT = 10
"""Seconds of validity: an agent that is started again on a busy machine has to be back before it runs out."""


@pytest.fixture
def group(tmp_path: Path) -> Iterator[Group]:
    """Yield a group that is not started; at its end no slot may have been signed twice (P1)."""
    with Group(tmp_path, timing={"validity": PATIENT, "lease_ttl": 2 * PATIENT}) as group:
        yield group


def fence(agent: Agent, *more: str) -> None:
    """Do what ExecStopPost of the unit does."""
    command = [sys.executable, "-m", "agent", "fence", "--local", "--config", str(agent.config), *more]
    subprocess.run(command, check=True, timeout=20, stderr=subprocess.DEVNULL)


def below_a_parent(group: Group, *options: str) -> None:
    """Have each agent started by a parent guard, as the container image does."""
    for agent in group.agents.values():
        at = agent.command.index("run")
        agent.command[at:at] = ["guard", *options, "--"]


def child_of(parent: Agent) -> int:
    """Return the pid of the agent itself, below its parent guard."""
    children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()
    return next(int(pid) for pid in children if b"run" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"))


def kill_guard(agent: Agent) -> None:
    """Kill the guard of an agent that cannot start another any more."""
    guard = agent.guard_pid()
    agent.freeze()
    if guard:
        with contextlib.suppress(ProcessLookupError):
            os.kill(guard, signal.SIGKILL)


def test_a_supervisor_without_guards(group: Group) -> None:
    """Agent and guard die: the fence proves the stop, the standby leads; or a new agent goes on in time (R3)."""
    group.start()
    leader, standby = group.leader, group.standby
    leader.lose_host()  # agent and guard; nodeos goes on
    fence(leader)
    assert group.nodeos(leader).paused
    group.wait_leads(standby)
    leader.start()
    group.settle()
    assert group.leader is standby
    epoch, head = group.heartbeat()["epoch"], group.chain.observer.head
    kill_guard(standby)
    standby.kill()
    begin = boot_ms()
    fence(standby, "--restart")
    assert boot_ms() - begin < PATIENT * 1000 / 2
    standby.start()
    group.wait("the agent to lead again", lambda: standby.leads)
    group.chain.observer.wait_blocks(4)
    assert group.heartbeat()["epoch"] == epoch
    assert evidence.slots_missed(group.chain.observer, head) == 0, "a restart costs no block"


@pytest.mark.slow
def test_a_parent_guard(group: Group) -> None:
    """Below a parent guard a killed agent is fenced and its place taken; a frozen one is replaced and goes on (R3)."""
    below_a_parent(group)
    group.start()
    leader, standby = group.leader, group.standby
    os.kill(child_of(leader), signal.SIGKILL)
    assert leader.wait(10) == 128 + signal.SIGKILL
    assert group.nodeos(leader).paused
    group.wait_leads(standby)
    leader.start()
    group.settle()
    agent = child_of(standby)
    os.kill(agent, signal.SIGSTOP)
    standby.wait(PATIENT + 10)
    assert state_of(agent) == ""
    assert group.nodeos(standby).paused
    group.wait_leads(leader)


def test_what_systemd_hears_of_a_real_agent(group: Group, tmp_path: Path) -> None:
    """READY comes after the first step, then signs of life; SIGHUP is told and done; STOPPING comes before the end."""
    agent = next(iter(group.agents.values()))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(20)
        notify = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "3000000"}
        agent = Agent(_settings(group, agent), tmp_path / "notified", agent.http_port, notify)
        agent.start()
        try:
            heard: list[str] = []
            for wanted in ("READY=1", "WATCHDOG=1"):
                while wanted not in heard:
                    heard += systemd.recv(4096).decode().split("\n")
            agent.config.write_text(agent.config.read_text().replace('level = "debug"', 'level = "info"'))
            agent.signal(signal.SIGHUP)
            ready = heard.count("READY=1")
            while "RELOADING=1" not in heard or heard.count("READY=1") == ready:
                heard += systemd.recv(4096).decode().split("\n")
            agent.terminate()
            while "STOPPING=1" not in heard:
                heard += systemd.recv(4096).decode().split("\n")
            assert agent.wait(20) == 0
        finally:
            agent.close()
    assert heard.index("READY=1") < heard.index("STOPPING=1")
    assert "the configuration is read again: log.level" in agent.log.read_text()


def _settings(group: Group, agent: Agent) -> dict[str, object]:
    node = group.nodeos(agent)
    return {
        "group": "lab",
        "node": agent.node,
        "producer": node.spec.producers[0],
        "nodeos": {"url": node.http_url},
        "etcd": {"endpoints": group.etcd.urls},
    }


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("parent", [False, True], ids=["guard", "parent"])
@pytest.mark.parametrize("fault", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "frozen"])
def test_twenty_of_twenty(group: Group, fault: signal.Signals, parent: bool) -> None:
    """Twenty leaders are killed or frozen: each time the standby takes over, and never is a slot signed twice (P1)."""
    if parent:
        below_a_parent(group)
    group.start()
    for _ in range(20):
        leader, standby = group.leader, group.standby
        os.kill(child_of(leader) if parent else leader.pid, fault)
        group.wait_leads(standby)
        group.never_twice()
        if parent or fault is signal.SIGKILL:
            leader.wait(20)
            leader.start()
        else:
            leader.thaw()
        node = group.nodeos(leader)
        group.wait("a first look", lambda leader=leader: leader.phase == "standby")  # type: ignore[misc] # mypy: lambdas with defaults
        if not node.running:  # it took no pause in time, and was ended: that happens on a busy machine
            node.restart()
        group.settle()


PROGRAM = """
import os, sys
from agent.core.node import step as node

step = node.step

def broken(*words):
    if os.path.exists({flag!r}):
        raise MemoryError("a defect")
    return step(*words)

node.step = broken
from agent.main import main
main()
"""


def test_a_defect_stops_nodeos_before_the_agent_ends(tmp_path: Path) -> None:
    """R3: the core of the leader cannot step any more: its nodeos is paused at once, and the other takes over."""
    with Group(tmp_path) as group:
        for agent in group.agents.values():
            at = agent.command.index("-m")
            agent.command[at : at + 2] = ["-c", PROGRAM.format(flag=str(tmp_path / f"defect-{agent.node}"))]
        group.start()
        leader, standby = group.leader, group.standby
        (tmp_path / f"defect-{leader.node}").touch()
        group.wait("the agent to end", lambda: not leader.running)
        assert group.nodeos(leader).running
        assert group.nodeos(leader).paused
        assert "nodeos is paused" in leader.log.read_text()
        group.wait_leads(standby)


THREADS = 28
"""An agent of a group with peers and no gate: one for each thing that may hang, and six of gRPC's own."""


def test_threads_are_few(tmp_path: Path) -> None:
    """Leader and standby, settled, have no thread that only waits for what another could wait for."""
    with Group.running(tmp_path, simulated=True) as group:
        assert [usage(agent.pid).threads for agent in group.agents.values() if usage(agent.pid).threads > THREADS] == []


BLOCKS = 6
"""So few that reports, which are seconds old, do not tell that it is behind, but beats do. More than may be on their
way: those of a second, of 0.6 s more, for so long before its date a block may be signed, and of 0.5 s between two.
"""


@pytest.fixture
def apart(tmp_path: Path) -> Iterator[Group]:
    """A group of its own, on a chain of one producer, where blocks can be held back on their way."""
    with Group.running(tmp_path, p2p=True) as group:
        yield group


def id_of(node: Node, num: int) -> str:
    """Return the id of a block on a node's chain."""
    return str(node.call("/v1/chain/get_block", {"block_num_or_id": num})["id"])


def test_thawed_nodeos_does_not_split_the_chain(apart: Group) -> None:
    """The leader's host is lost while the other nodeos, just thawed, is behind: that one leads when it is level."""
    leader, standby = apart.leader, apart.standby
    node, observer = apart.nodeos(standby), apart.chain.observer
    apart.chain.hold(standby.node)
    node.freeze()
    observer.wait_blocks(BLOCKS)
    node.thaw()
    leader.lose_host()
    apart.nodeos(leader).kill()
    lost = time.monotonic()
    apart.wait("time for the heartbeat to be free", lambda: time.monotonic() > lost + VALIDITY + 1)
    last = observer.head
    assert node.head <= last - BLOCKS + 1
    assert not standby.leads
    apart.chain.heal(standby.node)
    apart.wait_leads(standby)
    assert id_of(node, last) == id_of(observer, last)
    observer.wait_blocks()


def test_a_storm_of_signals_costs_nothing(group: Group) -> None:
    """P3: hundreds of SIGHUP, and signals that mean nothing: the leader leads on. SIGQUIT ends as SIGTERM does (R5)."""
    group.start()
    leader, standby = group.leader, group.standby
    epoch, head = group.heartbeat()["epoch"], group.chain.observer.head
    guards = [agent.guard_pid() for agent in (leader, standby)]
    for _ in range(200):
        leader.signal(signal.SIGHUP)
        leader.signal(signal.SIGUSR1)
        for guard in filter(None, guards):
            os.kill(guard, signal.SIGUSR2)
    said = "the configuration is read again"
    group.wait("a reload", lambda: said in leader.log.read_text())
    group.chain.observer.wait_blocks(6)
    assert [agent.guard_pid() for agent in (leader, standby)] == guards
    assert leader.log.read_text().count(said) < 200
    assert group.heartbeat()["epoch"] == epoch
    assert evidence.slots_missed(group.chain.observer, head) == 0
    leader.signal(signal.SIGQUIT)
    assert leader.wait(10) == 0
    group.wait_leads(standby, PATIENT / 2)


@pytest.mark.parametrize("how", [signal.SIGUSR2, signal.SIGKILL], ids=["restarted", "killed"])
def test_an_agent_that_starts_beside_another_nodeos_stops_the_one_that_led(tmp_path: Path, how: signal.Signals) -> None:
    """R4: nodeos.url names another nodeos since: a pause of that one says nothing of the first, which would sign on."""
    with Group(tmp_path, count=3, timing={"validity": PATIENT, "lease_ttl": 2 * PATIENT}) as group:
        other = group.chain.nodes["bp-c"]
        other.pause()
        group.start()
        leader, standby = group.leader, group.standby
        led = group.nodeos(leader)
        leader.signal(how)
        leader.wait(10)
        text = leader.config.read_text()
        text = text.replace(led.http_url, other.http_url).replace(str(led.data_dir), str(other.data_dir))
        leader.config.write_text(text)
        leader.start()
        group.wait("the first nodeos to stop", lambda: not led.running or led.paused)
        group.wait_leads(standby)
        assert led.running, "a pause suffices, by the means that the agent before has left"
        assert other.paused
