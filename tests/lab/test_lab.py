"""The whole laboratory: whatever happens in it, nothing of it stays behind."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.lab.group import Group
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


def test_a_group_whose_chain_has_split_is_healed(tmp_path: Path) -> None:
    """Two blocks of its own are irreversible on a chain of one producer: the node comes back with an empty chain only.

    As when a nodeos comes back unpaused, or two are resumed by hand.
    """
    with Group.running(tmp_path, p2p=True) as group:
        standby, observer = group.standby, group.chain.observer
        node = group.nodeos(standby)
        standby.stop()
        group.chain.cut(node.name)
        node.resume()  # it gets no transactions, so that its blocks are not the leader's
        node.wait_blocks(3)
        node.pause()
        group.chain.heal(node.name)
        observer.wait_head(node.head + 6)
        group.governed = time.time()  # what was signed by hand before is no agent's
        assert node.split_from(observer)
        group.heal()
        assert not node.split_from(observer)
        assert node.paused
