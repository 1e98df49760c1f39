"""A group whose nodes sign through gates that are required, on real nodeos, keosd and gates.

Each test ends with: no slot signed twice (P1). No process is ended here by anybody but the tests.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.gate.client import look
from agent.gate.settings import page_path
from tests.lab import evidence
from tests.lab.agents import Agent, to_toml
from tests.lab.binaries import find_nodeos
from tests.lab.gates import SigningGate
from tests.lab.group import Group
from tests.lab.lab import GROUP
from tests.lab.nodeos import PUBLIC_KEY

pytestmark = [pytest.mark.real, pytest.mark.timeout(240)]
E = 3.0
TIMING = {"validity": E, "renew": 0.4, "request": 0.6, "election": 0.5, "gate_close": 0.2}


@contextlib.contextmanager
def gated(root: Path) -> Iterator[Group]:
    """Yield a fresh group in which nothing is signed but through a gate."""
    with Group.running(root, gate={"mode": "required"}, timing=TIMING) as group:
        yield group


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Group]:
    """Such a group; `group` is this one, healed before each test."""
    with gated(tmp_path_factory.mktemp("gated")) as group:
        yield group


def signed_after(group: Group, agent: Agent, wall: float) -> list[evidence.Signature]:
    """Return what the node beside an agent signed after a moment."""
    node = group.nodeos(agent)
    return [each for each in evidence.read_log(node.name, node.log) if each.wall > wall]


@contextlib.contextmanager
def frozen(pid: int) -> Iterator[None]:
    """Freeze a process meanwhile; its parent may end it for that, as an agent does with its guard."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def test_handover_by_a_closed_gate(group: Group) -> None:
    """R4, R5: the release rests on the closed gate; the node that stopped is paused, alive, and signs no more."""
    leader, standby = group.leader, group.standby
    group.etcdctl("put", "@leader", standby.node)
    group.wait_leads(standby)
    assert group.nodeos(leader).running
    group.settle()
    group.wait("the old leader's nodeos to be paused", lambda: group.nodeos(leader).paused)
    begun = time.time()
    group.nodeos(leader).resume()  # by hand, on a standby
    group.wait("the agent to pause it again", lambda: group.nodeos(leader).paused)
    assert signed_after(group, leader, begun) == []


def test_frozen_nodeos_is_not_killed_and_signs_no_stale_block(tmp_path: Path) -> None:
    """R4: nodeos freezes with a block open and is left alone; when it thaws, a signature for it is refused.

    In a group of its own: to heal such a nodeos takes twice the processor time of a new group.
    """
    with gated(tmp_path) as group:
        leader, standby = group.leader, group.standby
        node = group.nodeos(leader)
        node.freeze()
        group.wait_leads(standby)
        assert node.running
        thawed = time.time()
        node.thaw()
        group.wait("it to be paused", lambda: node.paused)
        group.settle()
        assert signed_after(group, leader, thawed) == []
        assert group.leader is standby


def test_agent_and_guard_frozen_beyond_e(group: Group) -> None:
    """R3: with nobody left to pause or kill it nodeos goes on, and signs nothing from V - G on; the standby leads."""
    leader, standby = group.leader, group.standby
    node, guard = group.nodeos(leader), leader.guard_pid()
    assert guard is not None
    with frozen(guard):
        leader.freeze()
        since = time.time()
        group.wait_leads(standby)
        assert node.running
        assert not node.paused, "nobody was there to pause it"
        time.sleep(1.0)  # two slots in which it would sign
        assert signed_after(group, leader, since + E) == []
        leader.thaw()
        leader.wait_phase("standby")
        group.wait("it to be paused", lambda: node.paused)
    assert group.leader is standby
    assert signed_after(group, leader, since + E) == []


@pytest.mark.slow
def test_agent_restarted_within_v_costs_no_signature(tmp_path: Path) -> None:
    """Restart: the permit page stays as it is, so an agent that is killed and back in time costs no slot."""
    patient = {"validity": 20.0, "lease_ttl": 30}  # a busy machine takes its time to start a process
    with Group.running(tmp_path, gate={"mode": "required"}, timing=patient) as group:
        leader = group.leader
        epoch, head = group.heartbeat()["epoch"], group.chain.observer.head
        leader.kill()
        leader.start()
        group.wait("the agent to lead again", lambda: leader.leads)
        before = group.heartbeat()["seq"]
        group.wait("new confirmations", lambda: group.heartbeat()["seq"] > before + 2)
        group.chain.observer.wait_blocks(4)
        assert group.heartbeat()["epoch"] == epoch
        assert evidence.slots_missed(group.chain.observer, head) == 0


def test_permit_page_removed_under_a_leader_costs_no_lead(group: Group) -> None:
    """P2, P3: the page is made anew and the gate takes it up, within the same tenure, without a restart of either."""
    leader, epoch = group.leader, group.heartbeat()["epoch"]
    page = page_path(leader.runtime_dir, GROUP, leader.node)
    page.unlink()
    group.wait("the page to be made anew", lambda: page.exists() or None)
    begun = time.time()
    group.wait("blocks signed by it", lambda: signed_after(group, leader, begun)[2:] or None)
    assert (group.leader, group.heartbeat()["epoch"]) == (leader, epoch)
    assert leader.status()["checks"]["gate"]["ok"]


def test_wallet_locked_under_a_leader_is_known_at_once(group: Group) -> None:
    """P2: the gate tells with the first signature that keosd refuses, not with its next look, and the standby leads."""
    leader, standby = group.leader, group.standby
    gate = group.chain.gates[leader.node]
    password = gate.wallet.password_file.read_text()
    gate.wallet.password_file.write_text("PW5wrong")
    try:
        gate.wallet.cleos("wallet", "lock_all")
        group.wait("a refused signature", lambda: look(gate.control, 1.0).refused["keosd_error"] or None)
        assert "wallet_invalid_password_exception" in look(gate.control, 1.0).keosd
        group.wait_leads(standby)
        # what the first signature met, or a look just before it: the wrong password, or nothing unlocked
        words = ("wallet_invalid_password_exception", "keosd: no unlocked wallet has the key")
        assert any(word in leader.status()["checks"]["gate"]["reason"] for word in words)
    finally:
        gate.wallet.password_file.write_text(password)
    group.wait("the gate to unlock it again", lambda: leader.status()["checks"]["gate"]["ok"])


MOMENTS = (0.48, 0.45, 0.51, 0.4, 0.54, 0.35)
"""Seconds after a block at which nodeos is asking for the next signature, the likeliest first."""


def freeze_with_a_signature(group: Group, leader: Agent, moment: float) -> bool:
    """Freeze nodeos while keosd holds its signature up, then let that go; tell whether it left the gate.

    Nothing tells from outside when nodeos asks, so the moment may be missed: then all goes on.
    """
    node, gate = group.nodeos(leader), group.chain.gates[leader.node]
    group.chain.observer.wait_blocks(1)
    before = look(gate.control, 1.0).signed
    gate.wallet.process.freeze()
    try:
        time.sleep(moment)
        node.freeze()
    finally:
        gate.wallet.process.thaw()
    limit = time.monotonic() + 1.0
    while time.monotonic() < limit:
        if look(gate.control, 1.0).signed > before:
            return True
        time.sleep(0.02)
    node.thaw()
    return False


@pytest.mark.slow
def test_a_signature_in_a_frozen_nodeos_is_a_stale_block_for_a_slot_of_its_own(tmp_path: Path) -> None:
    """P1: when it thaws, nodeos makes one block of it, for a slot that its successor has not signed and will not."""
    with gated(tmp_path) as group:
        for moment in MOMENTS:
            group.settle()  # one that was missed may have cost the lead
            leader, standby, since = group.leader, group.standby, time.time()
            if freeze_with_a_signature(group, leader, moment):
                break
        else:
            pytest.fail("nodeos was never caught with a signature")
        node = group.nodeos(leader)
        group.wait_leads(standby)
        thawed = time.time()
        node.thaw()
        group.wait("it to be paused", lambda: node.paused)
        group.chain.observer.wait_blocks(3)
        stale = [each for each in evidence.read_log(node.name, node.log) if each.wall >= thawed]
        first = evidence.first_after(group.chain.signed(), standby.node, since)
        assert first is not None
        assert len(stale) <= 1
        assert all(each.slot < first.slot for each in stale)


def settle(group: Group) -> None:
    """Wait until one leads and the other is a healthy standby; a busy machine takes long to find a node healthy."""
    group.wait("a settled group", group.settled, 60.0)


def set_gate(agent: Agent, gate: SigningGate, mode: str) -> None:
    """Write the table [gate] into an agent's configuration, as an operator does."""
    text = re.sub(r"(?ms)^\[gate\]\n.*\Z", "", agent.config.read_text())
    agent.config.write_text(f"{text}\n[gate]\n{to_toml({**gate.settings, 'mode': mode})}\n")


def move_key(group: Group, agent: Agent) -> SigningGate:
    """Take the standby of a group from its key to a gate: steps 1 to 4 of deploy/gate."""
    node = group.nodeos(agent)
    root = group.lab.root / f"agent-{node.name}"
    gate = SigningGate(root / "gate", (GROUP, node.name), agent.runtime_dir, group.lab.ports, find_nodeos())
    group.chain.gates[node.name] = gate  # ends with the chain
    gate.start()
    set_gate(agent, gate, "on")
    agent.kill()
    agent.start()
    settle(group)
    key = next(each for each in node.command if each.startswith(f"{PUBLIC_KEY}=KEY:"))
    node.command[node.command.index(key)] = gate.provider
    node.command += ["--keosd-provider-timeout", "100"]
    node.restart()
    node.wait_level(group.chain.observer)
    node.wait_blocks(3)  # it takes part again: a node that has just started produces only after a block in time
    settle(group)
    return gate


def lag(group: Group, agent: Agent) -> int:
    """Return by how many blocks the leader finds a standby behind."""
    members = {str(each["node"]): int(each["head"]) for each in group.leader.status()["members"]}
    return max(members.values()) - members[agent.node]


def hand_over(group: Group, to: Agent) -> None:
    """Hand the lead over, and see the gate sign."""
    gate = group.chain.gates[to.node]
    group.wait(f"{to.node} to be reported level", lambda: abs(lag(group, to)) <= 2)
    group.etcdctl("put", "@switchover", f'{{"to":"{to.node}","by":"test"}}')
    group.wait_leads(to)
    pattern = rb'gate_signatures_total\{[^}]*result="signed"[^}]*\} [1-9]'
    group.wait(f"signatures through {gate.process.name}", lambda: re.search(pattern, to.get("/metrics")[1]))
    settle(group)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_the_key_moves_behind_the_gate_without_a_lost_slot(tmp_path: Path) -> None:
    """One host after another, then `required` on both: no slot is missed, none is signed twice (P1, P3)."""
    patient = {"validity": 15, "lease_ttl": 20}  # for agents that start on a busy machine
    with Group.running(tmp_path, timing=patient) as group:
        first, second = group.leader, group.standby
        head = group.chain.observer.head
        for agent in (second, first):
            move_key(group, agent)
            hand_over(group, agent)
        for agent in (group.standby, group.leader):
            set_gate(agent, group.chain.gates[agent.node], "required")
            agent.kill()
            agent.start()
            settle(group)
        assert group.leader is first, "its restart cost it nothing"
        group.chain.observer.wait_blocks(4)
        assert evidence.slots_missed(group.chain.observer, head) == 0
        assert not any("=KEY:" in each for agent in (first, second) for each in group.nodeos(agent).command)
