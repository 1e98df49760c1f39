"""Agents that only observe a producer that is live, and then take part: real etcd, real nodeos."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.lab import evidence
from tests.lab.agents import Agent
from tests.lab.etcd import EtcdCluster
from tests.lab.group import LIMIT
from tests.lab.lab import Lab
from tests.lab.measure.handovers import FIRST, SECOND
from tests.lab.wait import until

pytestmark = pytest.mark.real


def _revision(etcd: EtcdCluster) -> int:
    return int(json.loads(etcd.etcdctl("get", "any", "-w", "json"))["header"]["revision"])


def _would(agent: Agent, what: str) -> None:
    """Wait until an agent says that it would do this."""
    until(lambda: (agent.status().get("would") or {}).get("what") == what, LIMIT, f"{agent.node} to say {what}")


def _fence(agent: Agent) -> str:
    """Fence as the unit does when its agent has ended; return what it says."""
    words = [sys.executable, "-m", "agent", "fence", "--local", "--restart", "--config", str(agent.config)]
    return subprocess.run(words, capture_output=True, text=True, timeout=30, check=True).stderr


def test_an_agent_that_observes_does_nothing_until_it_is_told_to_lead(tmp_path: Path) -> None:
    """P1: beside a live producer nothing is written, paused, resumed or ended; a reload makes it lead without a gap."""
    with Lab(tmp_path) as lab:
        chain, etcd = lab.chain(2), lab.etcd(1)
        live, other = chain.nodes[FIRST], chain.nodes[SECOND]
        resumed = time.time()
        live.resume()
        until(lambda: evidence.first_after(chain.signed(), FIRST, resumed), LIMIT, "the live producer to sign")
        head, revision = chain.observer.head, _revision(etcd)
        first, second = (lab.agent(node, etcd, group="observed", mode="observe") for node in (live, other))
        first.start()
        second.start()
        _would(first, "lead")
        _would(second, "stand_by")
        chain.observer.wait_blocks(8)
        found = first.status()
        assert (found["mode"], found["phase"], found["leads"]) == ("observe", "starting", False)
        assert first.get("/leader")[0] == first.get("/readyz")[0] == 503
        assert b'nodeos_failover_would_lead{group="observed",node="bp-a"} 1.0' in first.get("/metrics")[1]
        assert "it would take the lead: nodeos signs already" in first.log.read_text()
        second.stop()
        assert second.exit_code == 0
        assert "left alone" in _fence(second)
        assert "left alone" in _fence(first)
        assert (live.paused, _revision(etcd)) == (False, revision)

        first.config.write_text(first.config.read_text().replace('mode = "observe"', 'mode = "lead"'))
        first.signal(signal.SIGHUP)
        first.wait_phase("leading")
        chain.observer.wait_blocks(4)
        assert evidence.slots_missed(chain.observer, head) == 0
