"""What an agent takes of a host that it shares with its nodeos, as far as no load of the machine changes that."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab.group import Group
from tests.lab.measure.usage import usage

pytestmark = [pytest.mark.real, pytest.mark.timeout(180)]
THREADS = 28
"""An agent of a group with peers and no gate: one for each thing that may hang, and six of gRPC's own."""


def test_threads_are_few(tmp_path: Path) -> None:
    """Leader and standby, settled, have no thread that only waits for what another could wait for."""
    with Group(tmp_path, simulated=True) as group:
        group.start()
        assert [usage(agent.pid).threads for agent in group.agents.values() if usage(agent.pid).threads > THREADS] == []
