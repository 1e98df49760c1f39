"""The whole laboratory: whatever happens in it, nothing of it stays behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab.lab import Lab
from tests.lab.process import Process

pytestmark = pytest.mark.real


def test_everything_ends_with_the_lab(tmp_path: Path) -> None:
    """When the body of the `with` fails, every process has ended all the same, frozen or not."""
    parts: list[Process] = []
    with pytest.raises(ZeroDivisionError), Lab(tmp_path) as lab:
        etcd = lab.etcd(1)
        chain = lab.chain(2, active=False)
        assert chain.wallet is not None
        assert all(node.paused for node in chain.nodes.values())
        agents = [lab.agent(node, etcd) for node in chain.nodes.values()]
        for agent in agents:
            agent.start()
        parts += [*etcd.members, *chain.all, chain.wallet.process, *agents]
        assert all(part.running for part in parts)
        chain.nodes["bp-b"].freeze()
        raise ZeroDivisionError
    assert [part.name for part in parts if part.running] == []
