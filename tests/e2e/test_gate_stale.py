"""What a signing gate cannot do, on real parts: take back a signature that left into a nodeos that was frozen."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from agent.gate.client import look
from tests.lab import evidence
from tests.lab.agents import Agent
from tests.lab.group import Group

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.timeout(240)]
TIMING = {"validity": 3.0, "renew": 0.4, "request": 0.6, "election": 0.5, "gate_close": 0.2}
MOMENTS = (0.45, 0.4, 0.5, 0.35, 0.55, 0.3)
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


def test_a_signature_in_a_frozen_nodeos_is_a_stale_block_for_a_slot_of_its_own(tmp_path: Path) -> None:
    """P1: when it thaws, nodeos makes one block of it, for a slot that its successor has not signed and will not."""
    with Group(tmp_path, gate={"mode": "required"}, timing=TIMING) as group:
        group.start()
        leader, standby = group.leader, group.standby
        node = group.nodeos(leader)
        assert any(freeze_with_a_signature(group, leader, moment) for moment in MOMENTS)
        group.wait_leads(standby)
        thawed = time.time()
        node.thaw()
        group.wait("it to be paused", lambda: node.paused)
        group.chain.observer.wait_blocks(3)
        stale = [each for each in evidence.read_log(node.name, node.log) if each.wall >= thawed]
        first = evidence.first_after(group.chain.signed(), standby.node, group.governed)
        assert first is not None
        assert len(stale) <= 1
        assert all(each.slot < first.slot for each in stale)
