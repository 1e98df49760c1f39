"""A defect in a real agent beside a real nodeos: nodeos is paused before it ends, and no slot is signed twice (P1)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab.group import Group

pytestmark = pytest.mark.real
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
