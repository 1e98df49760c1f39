"""A group whose nodes sign through gates that are required, on real nodeos, keosd and gates.

Each test ends with: no slot signed twice (P1). No process is ended here by anybody but the tests.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.gate.client import look
from agent.gate.settings import page_path
from tests.lab import evidence
from tests.lab.agents import Agent
from tests.lab.group import Group
from tests.lab.lab import GROUP

pytestmark = [pytest.mark.real, pytest.mark.timeout(240)]
E = 3.0
TIMING = {"validity": E, "renew": 0.4, "request": 0.6, "election": 0.5, "gate_close": 0.2}


@pytest.fixture
def gated(tmp_path: Path) -> Iterator[Group]:
    """A fresh group in which nothing is signed but through a gate."""
    with Group(tmp_path, gate={"mode": "required"}, timing=TIMING) as group:
        group.start()
        yield group


def signed_after(group: Group, agent: Agent, wall: float) -> list[evidence.Signature]:
    """Return what the node beside an agent signed after a moment."""
    node = group.nodeos(agent)
    return [each for each in evidence.read_log(node.name, node.log) if each.wall > wall]


@contextlib.contextmanager
def frozen(pid: int) -> Iterator[None]:
    """Freeze a process meanwhile."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_handover_by_a_closed_gate(gated: Group) -> None:
    """R4, R5: the release rests on the closed gate; the node that stopped is paused, alive, and signs no more."""
    leader, standby = gated.leader, gated.standby
    gated.etcdctl("put", "@leader", standby.node)
    gated.wait_leads(standby)
    assert gated.nodeos(leader).running
    gated.settle()
    gated.wait("the old leader's nodeos to be paused", lambda: gated.nodeos(leader).paused)
    begun = time.time()
    gated.nodeos(leader).resume()  # by hand, on a standby
    gated.wait("the agent to pause it again", lambda: gated.nodeos(leader).paused)
    assert signed_after(gated, leader, begun) == []


def test_frozen_nodeos_is_not_killed_and_signs_no_stale_block(gated: Group) -> None:
    """R4: nodeos freezes with a block open and is left alone; when it thaws, a signature for it is refused."""
    leader, standby = gated.leader, gated.standby
    node = gated.nodeos(leader)
    node.freeze()
    gated.wait_leads(standby)
    assert node.running
    thawed = time.time()
    node.thaw()
    gated.wait("it to be paused", lambda: node.paused)
    gated.settle()
    assert signed_after(gated, leader, thawed) == []
    assert gated.leader is standby


def test_agent_and_guard_frozen_beyond_e(gated: Group) -> None:
    """R3: with nobody left to pause or kill it nodeos goes on, and signs nothing from V - G on; the standby leads."""
    leader, standby = gated.leader, gated.standby
    node, guard = gated.nodeos(leader), leader.guard_pid()
    assert guard is not None
    with frozen(guard):
        leader.freeze()
        since = time.time()
        gated.wait_leads(standby)
        assert node.running
        assert not node.paused, "nobody was there to pause it"
        time.sleep(1.0)  # two slots in which it would sign
        assert signed_after(gated, leader, since + E) == []
        leader.thaw()
        leader.wait_phase("standby")
        gated.wait("it to be paused", lambda: node.paused)
    assert gated.leader is standby
    assert signed_after(gated, leader, since + E) == []


@pytest.mark.slow
def test_agent_restarted_within_v_costs_no_signature(tmp_path: Path) -> None:
    """Restart: the permit page stays as it is, so an agent that is killed and back in time costs no slot."""
    patient = {"validity": 20.0, "lease_ttl": 30}  # a busy machine takes its time to start a process
    with Group(tmp_path, gate={"mode": "required"}, timing=patient) as group:
        group.start()
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


def test_permit_page_removed_under_a_leader_costs_no_lead(gated: Group) -> None:
    """P2, P3: the page is made anew and the gate takes it up, within the same tenure, without a restart of either."""
    leader, epoch = gated.leader, gated.heartbeat()["epoch"]
    page = page_path(leader.runtime_dir, GROUP, leader.node)
    page.unlink()
    gated.wait("the page to be made anew", lambda: page.exists() or None)
    begun = time.time()
    gated.wait("blocks signed by it", lambda: signed_after(gated, leader, begun)[2:] or None)
    assert (gated.leader, gated.heartbeat()["epoch"]) == (leader, epoch)
    assert leader.status()["checks"]["gate"]["ok"]


def test_wallet_locked_under_a_leader_is_known_at_once(gated: Group) -> None:
    """P2: the gate tells with the first signature that keosd refuses, not with its next look, and the standby leads."""
    leader, standby = gated.leader, gated.standby
    gate = gated.chain.gates[leader.node]
    gate.wallet.password_file.write_text("PW5wrong")
    gate.wallet.cleos("wallet", "lock_all")
    gated.wait("a refused signature", lambda: look(gate.control, 1.0).refused["keosd_error"] or None)
    assert "wallet_invalid_password_exception" in look(gate.control, 1.0).keosd
    gated.wait_leads(standby)
    assert "wallet_invalid_password_exception" in leader.status()["checks"]["gate"]["reason"]
