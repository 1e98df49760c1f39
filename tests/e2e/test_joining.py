"""How agents come to a group, on real parts: wrong ones refuse, a live producer is adopted, observers only look on."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.lab import evidence
from tests.lab.agents import Agent
from tests.lab.binaries import find_nodeos
from tests.lab.chain import START
from tests.lab.etcd import EtcdCluster
from tests.lab.group import LIMIT, Group
from tests.lab.lab import Lab
from tests.lab.measure.handovers import FIRST, SECOND, install
from tests.lab.nodeos import Node, NodeSpec
from tests.lab.wait import until

pytestmark = pytest.mark.real
REFUSED = 6
GENESIS: dict[str, Any] = {
    "initial_timestamp": "2020-02-02T00:00:00.000",
    "initial_key": "EOS6MRyAjQq8ud7hVNYcfnVPJqcVpscN5So8BhtHuGYqET5GDW5CV",
    "initial_configuration": {
        "max_block_net_usage": 1048576,
        "target_block_net_usage_pct": 1000,
        "max_transaction_net_usage": 524288,
        "base_per_transaction_net_usage": 12,
        "net_usage_leeway": 500,
        "context_free_discount_net_usage_num": 20,
        "context_free_discount_net_usage_den": 100,
        "max_block_cpu_usage": 200000,
        "target_block_cpu_usage_pct": 1000,
        "max_transaction_cpu_usage": 150000,
        "min_transaction_cpu_usage": 100,
        "max_transaction_lifetime": 3600,
        "deferred_trx_expiration_window": 600,
        "max_transaction_delay": 3888000,
        "max_inline_action_size": 4096,
        "max_inline_action_depth": 4,
        "max_authority_depth": 6,
    },
}
"""The lab's chains are one chain by nodeos's own genesis; this is another one."""


def intruder(group: Group, nodeos: Node, tmp_path: Path, **wrong: Any) -> Agent:
    """Return an agent (not started) whose configuration is as that of bp-c would be, but for what is wrong."""
    settings: dict[str, Any] = {
        "group": "lab",
        "node": "bp-c",
        "producer": "eosio",
        "nodeos": {"url": nodeos.http_url},
        "etcd": {"endpoints": group.etcd.urls},
    }
    return Agent({**settings, **wrong}, tmp_path / "intruder", group.lab.ports.take())


def refusal(group: Group, agent: Agent) -> str:
    """Start an agent that must refuse, and return its log; the leader loses no slot by it."""
    leader, epoch = group.leader, group.heartbeat()["epoch"]
    blocks = len(group.chain.signed())
    try:
        agent.start()
        assert agent.wait(20.0) == REFUSED, agent.log_tail(30)
    finally:
        agent.close()
    assert leader.leads
    assert group.heartbeat()["epoch"] == epoch
    group.wait("blocks to come", lambda: len(group.chain.signed()) > blocks + 2)
    return agent.log.read_text()


def slots(group: Group) -> set[int]:
    """Return the slots that were signed."""
    return {each.slot for each in group.chain.signed()}


def gaps(group: Group, since: int) -> int:
    """Return how many slots from `since` on have no block; the last may be under way."""
    signed = slots(group)
    return len(set(range(since, max(signed))) - signed)


def test_agent_that_names_the_nodeos_of_the_leader_is_refused(group: Group, tmp_path: Path) -> None:
    """P2: a copied line costs no slot; both sides tell of it."""
    since = max(slots(group))
    text = refusal(group, intruder(group, group.nodeos(group.leader), tmp_path))
    assert f"{group.leader.node} governs the same nodeos" in text
    assert gaps(group, since) == 0
    group.wait("the leader to tell", lambda: "stranger/lab/bp" in str(group.leader.status().get("open_alerts")))


def test_second_agent_with_the_leaders_name_leaves_its_nodeos_alone(group: Group, tmp_path: Path) -> None:
    """P2: with a run-time directory of its own it refuses, and the leader's nodeos was not paused meanwhile."""
    since = max(slots(group))
    leader = group.leader
    text = refusal(group, intruder(group, group.nodeos(leader), tmp_path, node=leader.node))
    assert f"node {leader.node} is alive elsewhere" in text
    assert gaps(group, since) == 0


def test_agent_of_another_producer_is_refused(group: Group, tmp_path: Path) -> None:
    """P2: a group that belongs to another producer is left alone, and so is this producer's nodeos."""
    text = refusal(group, intruder(group, group.chain.observer, tmp_path, producer="othera"))
    assert "serves producer eosio, this agent othera" in text


def test_agent_on_another_chain_is_refused(group: Group, tmp_path: Path) -> None:
    """P2: a nodeos that produces for another chain goes on, though the configuration names no chain."""
    ports = group.lab.ports
    genesis = tmp_path / "genesis.json"
    genesis.write_text(json.dumps(GENESIS))
    spec = NodeSpec("elsewhere", ports.take(), ports.take(), ["eosio"], more=("--genesis-json", str(genesis)))
    nodeos = Node(spec, tmp_path / "other", find_nodeos())
    try:
        nodeos.launch(START)
        nodeos.wait_head(3)
        text = refusal(group, intruder(group, nodeos, tmp_path))
        assert "is on chain" in text
        assert not nodeos.paused
    finally:
        nodeos.close()


@pytest.mark.parametrize("first", [SECOND, FIRST], ids=["the other host first", "the live host first"])
def test_a_live_producer_is_adopted(tmp_path: Path, first: str) -> None:
    """R18, R19, P1: no slot is signed twice, the live nodeos goes on without a pause, and the other host waits."""
    with Lab(tmp_path) as lab:
        chain, etcd = lab.chain(2), lab.etcd(1)
        found = install(lab, chain, etcd, 0, first)
        assert found.twice == 0
        live, other = (lab.agents[name].log.read_text() for name in (FIRST, SECOND))
        assert "transition=adopt from=starting to=campaigning" in live
        assert "transition=adopted from=elected to=leading" in live
        assert "transition=ready" not in live
        assert "to=leading" not in other
        if first == SECOND:
            assert "a nodeos without an agent signs" in other.replace("\n", " ")


ENDS = """
import os, signal
from agent.runtime import calls

transact = calls.transact

def ends(store, action, names):
    transact(store, action, names)
    os.kill(os.getpid(), signal.{name})

calls.transact = ends
from agent.main import main
main()
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "frozen"])
def test_an_agent_that_ends_while_it_adopts_leaves_a_guard_that_knows(tmp_path: Path, number: signal.Signals) -> None:
    """R3, R19, P1: etcd has its take-over, and it has no answer: its nodeos stops before the other host takes over."""
    with Group(tmp_path) as group:
        live, other = group.chain.nodes.values()
        other.pause()
        waits, adopts = group.agents[other.name], group.agents[live.name]
        waits.start()
        waits.wait_phase("standby")
        group.wait("the standby to wait for the live nodeos", lambda: "without an agent signs" in waits.log.read_text())
        at = adopts.command.index("-m")
        adopts.command[at : at + 2] = ["-c", ENDS.format(name=number.name)]
        group.governed = time.time()
        adopts.start()
        group.wait("its take-over", lambda: group.heartbeat().get("node") == live.name)
        group.wait_leads(waits)
        assert live.paused


def test_a_chain_that_stands_is_begun_with_fast_spans(tmp_path: Path) -> None:
    """R9, P2: such a nodeos answers its first resume after 0.7 s; nobody ends it for that, however fast etcd is."""
    fast = {"validity": 3.0, "renew": 0.4, "request": 0.6, "election": 0.5}
    with Group(tmp_path, timing=fast) as group:
        nodes = group.chain.nodes.values()
        for node in nodes:
            node.pause()
        for node in nodes:
            node.restart(START)
        pids = [node.pid for node in nodes]
        group.start()
        assert [node.pid for node in nodes] == pids
        assert "did not resume" not in group.story()


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
