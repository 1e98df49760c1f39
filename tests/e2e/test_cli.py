"""Every command as operators type it, on a real group that the tests of this file share."""

from __future__ import annotations

import json
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from agent import __version__
from agent.cli.main import main
from tests.lab.etcd import EtcdCluster, EtcdOptions
from tests.lab.group import ROOT, Group
from tests.lab.wait import until
from tests.support.etcd_bench import running

pytestmark = pytest.mark.real


class Operator:
    """Types commands, with the configuration of the first agent."""

    def __init__(self, group: Group) -> None:
        self.group = group
        self.config = str(next(iter(group.agents.values())).config)

    def command(self, *arguments: str) -> list[str]:
        """Return a command line."""
        return [sys.executable, "-m", "agent", *arguments, "--config", self.config]

    def run(self, *arguments: str, expect: int = 0, answer: str = "") -> str:
        """Run a command and return what it printed; AssertionError unless it exits as expected.

        In this process: the start of Python and its modules takes longer than most commands.
        """
        environment = {"COLUMNS": None}  # readline sets it in a process without a terminal
        done = CliRunner().invoke(main, [*arguments, "--config", self.config], input=answer, env=environment)
        said = done.output
        assert done.exit_code == expect, f"{arguments}: {done.exit_code}, {done.exception!r}\n{said}"
        return said


@pytest.fixture
def operator(group: Group) -> Operator:
    """Return an operator of the group, which is well and without any word in force."""
    return Operator(group)


def test_status_in_each_form_tells_the_same(operator: Operator) -> None:
    """The table, JSON and YAML name the leader; piped, nothing is coloured or broken."""
    leader = operator.group.leader.node
    data = json.loads(operator.run("status", "-f", "json"))
    assert (data["leader"], data["healthy"], data["confirmed"]) == (leader, True, True)
    assert yaml.safe_load(operator.run("status", "-f", "yaml"))["leader"] == leader
    text = operator.run("status", "--extended")
    assert f"lab: {leader} leads epoch" in text
    assert "\x1b" not in text
    assert operator.group.chain.observer.info()["server_version_string"] in text


def test_the_live_view_tells_a_handover_line_by_line(operator: Operator) -> None:
    """`status -W`, piped, prints each step of a handover; Ctrl-C ends it with 0."""
    standby = operator.group.standby
    # a shell gives what it starts in the background a deaf ear to Ctrl-C, and this test may run there
    command = ["env", "--default-signal=INT", *operator.command("status", "-W")]
    watch = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert watch.stdout is not None
        assert "leads epoch" in watch.stdout.readline()
        operator.group.etcdctl("put", "@leader", standby.node)
        operator.group.wait_leads(standby)
        time.sleep(1)  # the view looks every 0.3 s
        watch.send_signal(signal.SIGINT)
        said = watch.communicate(timeout=20)[0]
    finally:
        watch.kill()
        watch.communicate()
    assert watch.returncode == 0
    assert f"{standby.node} holds epoch" in said
    assert "-> leading" in said


def test_switchover_hands_over_and_says_what_it_cost(operator: Operator) -> None:
    """`switchover --to --wait` returns once the other leads; history has who, why, and the cost."""
    group, standby = operator.group, operator.group.standby
    said = operator.run("switchover", "--to", standby.node, "--at", "now", "--wait", "--yes", "-r", "a rehearsal")
    assert f"{standby.node} leads (epoch " in said
    assert "slots missed: " in said
    assert "etcdctl put" in said
    group.wait_leads(standby)
    found = json.loads(operator.run("history", "--since", "1h", "-f", "json"))
    word = next(each for each in reversed(found) if each["kind"] == "word")
    change = next(each for each in reversed(found) if each["kind"] == "change")
    assert (word["reason"], "@" in word["by"]) == ("a rehearsal", True)
    assert change["node"] == standby.node
    assert operator.run("history", "--since", "2h", "-n", "1").count("\n") == 2


def test_the_line_that_is_printed_does_the_same(operator: Operator) -> None:
    """A dry run changes nothing, and its line of etcdctl, typed as it stands, hands over."""
    group, standby = operator.group, operator.group.standby
    said = operator.run("switchover", "--to", standby.node, "--at", "now", "--dry-run")
    assert "nothing was changed" in said
    assert not group.etcdctl("get", "@switchover").strip()
    line = next(each for each in said.splitlines() if "$ etcdctl" in each).strip().removeprefix("$ etcdctl ")
    group.etcdctl(*shlex.split(line))
    group.wait_leads(standby)


def test_what_is_refused_names_the_reason_and_exits_with_6(operator: Operator) -> None:
    """The leader itself, a node that is not there, a question that nobody answers or with no: nothing is changed."""
    group, leader, standby = operator.group, operator.group.leader, operator.group.standby
    assert "leads already" in operator.run("switchover", "--to", leader.node, expect=6)
    assert "is not among the members" in operator.run("switchover", "--to", "bp-x", "--force", expect=6)
    assert "add --yes" in operator.run("switchover", "--to", standby.node, expect=6)
    assert "nothing was changed" in operator.run("switchover", "--to", standby.node, expect=6, answer="n\n")
    assert "is not dead" in operator.run("failover", "--dead", leader.node, "--yes", expect=6)
    assert "no override is on" in operator.run("override", "clear", expect=6)
    assert "maintenance is not on" in operator.run("maintenance", "off", expect=6)
    assert not group.etcdctl("get", "@switchover").strip()
    assert group.leader is leader


def test_failover_changes_the_leader_now(operator: Operator) -> None:
    """`failover` asks a leader that lives to stop at once; the standby takes over."""
    standby = operator.group.standby
    operator.run("failover", "--yes", "--wait")
    operator.group.wait_leads(standby)


def test_failover_to_a_node_needs_no_leader_that_answers(operator: Operator) -> None:
    """The leader's agent and guard are gone: `failover --to --dead` ends the wait for it (R8).

    The standby is frozen until the command has written: after E_s it would lead by itself.
    """
    group, leader, standby = operator.group, operator.group.leader, operator.group.standby

    def thaw_in_time() -> None:
        try:
            until(lambda: not group.etcdctl("get", "@heartbeat").strip(), 15, "the heartbeat to be deleted")
        finally:
            standby.thaw()

    thawing = threading.Thread(target=thaw_in_time)
    standby.freeze()
    leader.lose_host()
    group.nodeos(leader).pause()
    try:
        begin = time.monotonic()
        thawing.start()
        said = operator.run("failover", "--to", standby.node, "--dead", leader.node, "--yes", "--wait")
        assert "two nodes sign at once" in said
        assert time.monotonic() - begin < 15
        group.wait_leads(standby)
    finally:
        thawing.join()
        leader.start()
    group.settle()


def test_override_set_and_clear(operator: Operator) -> None:
    """`override set` makes a node lead and nobody else; `override clear` ends it; both tell what they do."""
    group, standby = operator.group, operator.group.standby
    said = operator.run("override", "set", standby.node, "--yes", "--reason", "a test")
    assert f"only {standby.node} may lead" in said
    group.wait_leads(standby)
    value = json.loads(group.etcdctl("get", "@override", "--print-value-only"))
    assert (value["leader"], value["reason"]) == (standby.node, "a test")
    assert "WARNING" in operator.run("check", expect=1)
    operator.run("override", "clear", "--yes")
    assert not group.etcdctl("get", "@override").strip()


def test_an_override_for_a_name_that_is_no_member_stops_nobody(operator: Operator) -> None:
    """A typing mistake with --yes is refused; the leader goes on, and no key is left."""
    group, leader = operator.group, operator.group.leader
    operator.run("override", "set", "bp-typo", "--yes", expect=6)
    assert not group.etcdctl("get", "@override").strip()
    assert group.leader is leader


def test_override_none_with_a_ttl_ends_by_itself(operator: Operator) -> None:
    """`override set none --ttl` stops everybody; its lease ends it."""
    group = operator.group
    operator.run("override", "set", "none", "--ttl", "9", "--yes")
    group.wait("everybody to stop", lambda: all(node.paused for node in group.chain.nodes.values()))
    said = operator.run("status", expect=8)
    assert re.search(r"override: nobody may lead .*, ends by itself in [0-9] s", said), said
    group.settle()
    assert not group.etcdctl("get", "@override").strip()


def test_maintenance_on_and_off(operator: Operator) -> None:
    """`maintenance on` is known to every agent and stands in `status`; a switchover is refused meanwhile."""
    group = operator.group
    operator.run("maintenance", "on", "--reason", "replacing a disk")
    group.wait("all to know", lambda: all(agent.status()["maintenance"] for agent in group.agents.values()))
    assert "maintenance: replacing a disk" in operator.run("status", expect=8)
    assert "maintenance is on" in operator.run("switchover", "--yes", expect=6)
    operator.run("maintenance", "off")
    group.wait("all to know", lambda: all(not agent.status()["maintenance"] for agent in group.agents.values()))


def test_check_says_in_one_line_how_the_group_is(operator: Operator) -> None:
    """OK with performance data; UNKNOWN for an etcd that does not answer."""
    said = operator.run("check")
    assert said.startswith("NODEOS-FAILOVER OK - lab: ")
    assert said.count("\n") == 1
    assert " | members=2 healthy=2 " in said
    assert "UNKNOWN" in operator.run("check", "--etcd", "http://127.0.0.1:1", "--group", "lab", expect=3)


def test_several_groups_in_one_etcd_do_not_mix(operator: Operator) -> None:
    """`--group` looks at another group of the same etcd; what is said there is not said here."""
    group = operator.group
    assert "nobody has ever led" in operator.run("status", "--group", "other", expect=8)
    operator.run("maintenance", "on", "--group", "other")
    assert group.etcdctl("get", ROOT.replace("/lab/", "/other/") + "maintenance").strip()
    assert not group.etcdctl("get", "@maintenance").strip()
    group.etcdctl("del", "--prefix", ROOT.replace("/lab/", "/other/"))


def test_an_etcd_that_is_frozen_ends_a_command_in_time(operator: Operator, tmp_path: Path) -> None:
    """A change that etcd does not answer ends with 4 and says so; a command needs no agent."""
    with running(tmp_path, EtcdOptions(size=1)) as cluster:
        _frozen(operator, cluster)


def _frozen(operator: Operator, cluster: EtcdCluster) -> None:
    cluster.members[0].freeze()
    try:
        words = ("--etcd", cluster.urls[0], "--group", "lab", "--timeout", "0.5")
        assert "etcd" in operator.run("maintenance", "on", *words, expect=4)
    finally:
        cluster.members[0].thaw()


def test_version_and_completion_need_nothing() -> None:
    """`version` names the product's; each shell gets a script, and bash takes its own."""
    assert __version__ in CliRunner().invoke(main, ["version"]).output
    for shell in ("bash", "zsh", "fish"):
        script = CliRunner().invoke(main, ["completion", shell])
        assert script.exit_code == 0
        assert "_NODEOS_FAILOVER_COMPLETE" in script.output
        if shell == "bash":
            assert subprocess.run(["bash", "-n"], input=script.output, text=True, timeout=20).returncode == 0


def test_drain_hands_over_and_undrain_lets_take_part_again(operator: Operator) -> None:
    """`drain` of the leader: it hands over and does not take over again, until `undrain`; both tell and are told."""
    group, leader, standby = operator.group, operator.group.leader, operator.group.standby
    said = operator.run("drain", leader.node, "--yes", "--reason", "new disk")
    assert f"{leader.node} leads: it hands over" in said
    group.wait_leads(standby)
    assert f"drained: {leader.node}, new disk" in operator.run("status", expect=8)
    assert f"drained: {leader.node}" in operator.run("check", expect=1)
    assert "is drained (new disk" in operator.run("switchover", "--to", leader.node, "--yes", expect=6)
    operator.run("undrain", leader.node)
    assert "is not drained by key" in operator.run("undrain", leader.node, expect=6)
    group.wait("it to take part", lambda: not json.loads(_member(group, leader.node))["drained"] or None)


def test_drain_with_etcdctl_is_the_same_word(operator: Operator) -> None:
    """`etcdctl put drain/NODE 'why'`: free text drains as well, and the leader hands over."""
    group, leader, standby = operator.group, operator.group.leader, operator.group.standby
    group.etcdctl("put", f"@drain/{leader.node}", "moving house")
    group.wait_leads(standby)
    assert f"drained: {leader.node}, moving house" in operator.run("status", expect=8)
    group.etcdctl("del", f"@drain/{leader.node}")


def test_a_wish_that_the_leader_refuses_is_answered(operator: Operator) -> None:
    """A wish put by hand for a node that is drained is refused by the leader: it goes, and the answer says why."""
    group, leader, standby = operator.group, operator.group.leader, operator.group.standby
    operator.run("drain", standby.node)
    group.wait("it to be drained", lambda: json.loads(_member(group, standby.node))["drained"] or None)
    group.etcdctl("put", "@switchover", json.dumps({"to": standby.node, "when": "now"}))
    group.wait("an answer", lambda: group.etcdctl("get", "@answer", "--print-value-only").strip() or None)
    answer = json.loads(group.etcdctl("get", "@answer", "--print-value-only"))
    assert (answer["node"], answer["to"]) == (leader.node, standby.node)
    assert "drained" in answer["refused"]
    assert group.leader is leader
    said = operator.run("switchover", "--to", standby.node, "--at", "now", "--force", "--wait")
    assert "risk: " in said
    group.wait_leads(standby)
    operator.run("undrain", standby.node)


def _member(group: Group, node: str) -> str:
    return group.etcdctl("get", f"@members/{node}", "--print-value-only")
