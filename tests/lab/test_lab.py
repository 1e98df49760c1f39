"""The whole laboratory: whatever happens in it, nothing of it stays behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab.errors import LabError, LabTimeout
from tests.lab.etcd import EtcdctlError
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


def test_a_lab_that_fails_to_start_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When a part does not start, those that did are ended."""
    seen: list[Process] = []
    start = Process.start

    def record(self: Process, *more: str) -> None:
        start(self, *more)
        seen.append(self)
        if self.name == "observer":
            raise LabError("as if it did not start")

    monkeypatch.setattr(Process, "start", record)
    with pytest.raises(LabError, match="as if"), Lab(tmp_path) as lab:
        lab.chain(1, simulated=True)
    assert [part.name for part in seen] == ["bp-a", "observer"]
    assert not any(part.running for part in seen)


def test_an_agent_is_told_where_its_parts_are(tmp_path: Path) -> None:
    """One host can be cut off from etcd alone, and the agent's configuration has what a guarded etcd asks for."""
    with Lab(tmp_path) as lab:
        etcd = lab.etcd(1, tls=True, user="agent")
        (node,) = lab.chain(1, simulated=True).nodes.values()
        agent = lab.agent(node, etcd, cuttable=True, timing={"validity": 7.0})
        text = agent.config.read_text()
        assert 'producer = "eosio"' in text
        assert "validity = 7.0" in text
        agent.start()
        agent.wait_phase("leading")
        lab.cut_from_etcd(node.name)
        urls = ["--endpoints", f"https://127.0.0.1:{lab.etcd_links[node.name].members[0].port}"]
        with pytest.raises((LabTimeout, EtcdctlError)):
            etcd.etcdctl("get", "/k", *urls, limit=0.5)
        etcd.etcdctl("get", "/k")
        lab.heal_etcd(node.name)
        etcd.etcdctl("get", "/k", *urls)
