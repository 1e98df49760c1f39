"""Every word of the operators, typed with the real etcdctl. Each test ends with: no slot signed twice (P1)."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

import pytest

from tests.lab import evidence
from tests.lab.agents import Agent
from tests.lab.group import ROOT, Group

pytestmark = pytest.mark.real


def test_get_prefix_shows_who_leads_and_how_everyone_is(group: Group) -> None:
    """`etcdctl get --prefix` tells who leads, since when, and how each member is."""
    leader = group.leader
    lines = group.etcdctl("get", "--prefix", "@").splitlines()
    found = dict(zip(lines[::2], lines[1::2], strict=True))
    assert found[ROOT + "leader"] == leader.node
    assert json.loads(found[ROOT + "heartbeat"])["state"] == "held"
    assert json.loads(found[f"{ROOT}history/{group.heartbeat()['epoch']}"])["node"] == leader.node
    for node in group.agents:
        member = json.loads(found[f"{ROOT}members/{node}"])
        assert member["healthy"] is True
        assert member["head"] > 0


def test_put_leader_hands_over(group: Group) -> None:
    """`etcdctl put leader NAME` hands over to that node, which goes first and resumes after the proof (R10, R9)."""
    leader, standby = group.leader, group.standby
    head = group.chain.observer.head
    group.etcdctl("put", "@leader", standby.node)
    group.wait_leads(standby)
    group.settle()
    assert group.nodeos(leader).paused
    assert evidence.slots_missed(group.chain.observer, head) <= 2
    record = json.loads(group.etcdctl("get", f"@history/{group.heartbeat()['epoch']}", "--print-value-only"))
    assert record["node"] == standby.node
    assert record["from"] == leader.node


def test_del_leader_steps_down(group: Group) -> None:
    """`etcdctl del leader`: the leader steps down and somebody else takes over (R12)."""
    standby = group.standby
    group.etcdctl("del", "@leader")
    group.wait_leads(standby)


@pytest.mark.parametrize("value", ["bp-x", " ", "bp-é"])
def test_put_leader_that_names_nobody_costs_nothing(group: Group, value: str) -> None:
    """P3, R10: the leader leads on, and puts its own name back; no slot is lost."""
    leader, head, epoch = group.leader, group.chain.observer.head, group.heartbeat()["epoch"]
    group.etcdctl("put", "@leader", value)
    group.wait("its name to be back", lambda: leader.node in group.etcdctl("get", "@leader", "--print-value-only"))
    group.chain.observer.wait_blocks(10)
    assert group.leader is leader
    assert group.heartbeat()["epoch"] == epoch
    assert evidence.slots_missed(group.chain.observer, head) == 0


def test_override_names_the_leader_until_it_goes(group: Group) -> None:
    """`override NAME`: that node leads and nobody else may, even when it dies; then the key goes (override)."""
    leader, standby = group.leader, group.standby
    group.etcdctl("put", "@override", json.dumps({"leader": standby.node, "reason": "test", "by": "me"}))
    group.wait_leads(standby)
    group.nodeos(standby).stop()
    standby.wait_phase("standby")
    time.sleep(3)  # what must not happen is given the time in which it would: several campaigns
    assert not leader.leads
    group.etcdctl("del", "@override")
    group.wait_leads(leader)


def test_override_none_stops_everybody_until_it_goes(group: Group) -> None:
    """`override none`: nobody produces until the key goes."""
    group.etcdctl("put", "@override", "none")
    group.wait("everybody to stop", lambda: all(node.paused for node in group.chain.nodes.values()))
    head = group.chain.observer.head
    time.sleep(2)  # what must not happen, a block, is given the time of four slots
    assert group.chain.observer.head <= head + 1
    group.etcdctl("del", "@override")
    group.settle()


def test_override_with_a_lease_ends_by_itself(group: Group) -> None:
    """The same with `--lease`: the override ends with its lease."""
    lease = group.etcdctl("lease", "grant", "3").split()[1]
    group.etcdctl("put", "@override", "none", f"--lease={lease}")
    group.wait("everybody to stop", lambda: all(node.paused for node in group.chain.nodes.values()))
    group.settle()
    assert not group.etcdctl("get", "@override").strip()


def test_maintenance_changes_nothing(group: Group) -> None:
    """`maintenance`: the leader's nodeos dies, and nobody takes over until the key goes."""
    leader, standby = group.leader, group.standby
    group.etcdctl("put", "@maintenance", "replacing a disk")
    group.wait("all to know", lambda: all(agent.status()["maintenance"] for agent in group.agents.values()))
    group.nodeos(leader).stop()
    leader.wait_phase("standby")
    time.sleep(3)  # what must not happen is given the time in which it would
    assert not standby.leads
    group.etcdctl("del", "@maintenance")
    group.wait_leads(standby)


def test_del_heartbeat_ends_the_wait_for_a_dead_leader(group: Group) -> None:
    """`del heartbeat`, "the old leader is dead, I looked": no more waiting for it (R8)."""
    leader, standby = group.leader, group.standby
    leader.lose_host()
    group.nodeos(leader).kill()
    started = time.time()
    group.etcdctl("del", "@heartbeat")
    assert group.wait_signs(standby, started) < 3


def test_epochs_go_on_after_del_heartbeat(group: Group) -> None:
    """An epoch is never used again, also when the heartbeat was deleted under a living leader's eyes (R8)."""
    group.etcdctl("put", "@override", "none")
    group.wait("everybody to stop", lambda: all(agent.phase == "standby" for agent in group.agents.values()))
    epoch = group.heartbeat()["epoch"]
    group.etcdctl("del", "@heartbeat")
    group.etcdctl("del", "@override")
    group.settle()
    assert group.heartbeat()["epoch"] > epoch


def test_garbage_in_every_key_is_told_and_loses_nothing(group: Group) -> None:
    """Garbage in any key costs at most a change of leader, is told, and a right value mends it."""
    for key in ("override", "switchover", "members/bp-z", "history/7"):
        group.etcdctl("put", f"@{key}", "{garbage")
    group.wait("all to tell", lambda: all(len(agent.status()["problems"]) >= 3 for agent in group.agents.values()))
    group.chain.observer.wait_blocks(3)
    group.etcdctl("put", "@leader", "{garbage")
    group.etcdctl("put", "@heartbeat", "{garbage")
    group.wait("a heartbeat again", lambda: _is_json(group))
    for key in ("override", "switchover", "members/bp-z", "history/7"):
        group.etcdctl("del", f"@{key}")
    group.settle()


def _is_json(group: Group) -> bool:
    try:
        return bool(group.heartbeat())
    except ValueError:
        return False


def test_second_agent_of_one_name_refuses_to_start(group: Group, tmp_path: Path) -> None:
    """Two agents with one node name: the second one refuses, and says why (exit code 6)."""
    standby = group.standby
    settings = {
        "group": "lab",
        "node": standby.node,
        "producer": "eosio",
        "nodeos": {"url": group.nodeos(standby).http_url},
        "etcd": {"endpoints": group.etcd.urls},
    }
    second = Agent(settings, tmp_path / "second", group.lab.ports.take())
    second.start()
    try:
        assert second.wait(20.0) == 6
        assert "is alive elsewhere" in second.log.read_text()
        assert group.leader is not standby
    finally:
        second.close()


def test_second_agent_on_one_runtime_file_refuses_to_start(group: Group) -> None:
    """Two agents on one host with one configuration: the second one refuses before it touches nodeos (exit code 6)."""
    leader = group.leader
    done = subprocess.run(leader.command, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 6
    assert "another agent runs" in done.stderr
    assert leader.leads
