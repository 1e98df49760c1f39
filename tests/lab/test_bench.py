"""The benchmark: what it reads, how it writes it, and that it measures real failovers."""

from __future__ import annotations

import json
import os
import shutil
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from agent.config.timing import TimingSection
from agent.core.leadership.timing import GateMode
from tests.lab.bench import __main__ as command
from tests.lab.bench import gated, keepalived, results
from tests.lab.bench.method import TITLES
from tests.lab.bench.picture import draw
from tests.lab.bench.results import Results, Run
from tests.lab.bench.tails import Blocks, Tail
from tests.lab.bench.trace import Tracer
from tests.lab.binaries import find_nodeos
from tests.lab.evidence import Signature
from tests.lab.figures import percentile
from tests.lab.nodeos import Node, NodeSpec

BLOCK = (
    "info  2026-11-23T10:00:0{second}.250 nodeos    producer_plugin.cpp:1 f ] {what} block {id}... #{num} "
    "@ 2026-11-23T10:00:0{second}.500 signed by eosio [trxs: 0]\n"
)


def some() -> Results:
    """Return figures of two methods: one that fails over, one that does not always."""
    found = Results({}, {"agent": "agent", "keepalived": "keepalived & a script"})
    for number in range(4):
        found.runs.append(
            Run("agent", "nodeos-killed", 0, 0.3 + number / 10, False, True, 0, trace={"noticed": number})
        )
    found.runs.append(Run("keepalived", "nodeos-killed", 2, 1.5, False, True, 0, 1))
    found.runs.append(Run("keepalived", "nodeos-frozen", 24, None, True, False, 0))
    return found


def test_lines_are_read_once_also_when_a_log_is_set_aside(tmp_path: Path) -> None:
    """A half written line waits for its end; what stands in a log that was set aside is read before the new one."""
    log = tmp_path / "log"
    tail = Tail(log)
    assert list(tail.lines()) == []
    log.write_text("one\ntw")
    assert list(tail.lines()) == ["one"]
    with log.open("a") as file:
        file.write("o\nthree\n")
    assert list(tail.lines()) == ["two", "three"]
    with log.open("a") as file:
        file.write("four\n")
    log.rename(tmp_path / "log.1")
    log.write_text("five\n")
    assert list(tail.lines()) == ["four", "five"]
    assert list(tail.lines()) == []


def test_blocks_of_two_nodes_for_one_slot_are_counted(tmp_path: Path) -> None:
    """P1: a slot that two nodes signed is one signed twice, also when the blocks are the same."""
    nodes = [Node(NodeSpec(name, 1, 2), tmp_path / name, None) for name in ("bp-a", "bp-b", "observer")]
    for node in nodes:
        node.root.mkdir()
    blocks = Blocks(nodes, nodes[-1])
    nodes[0].log.write_text(BLOCK.format(what="Produced", second=1, id="aa", num=5))
    nodes[1].log.write_text(BLOCK.format(what="Produced", second=2, id="bb", num=6))
    nodes[2].log.write_text(BLOCK.format(what="Received", second=2, id="bb", num=6))
    first = blocks.first_after("bp-b", 0.0)
    assert first is not None
    assert (first.num, blocks.twice) == (6, 0)
    assert blocks.seen["bb"] == pytest.approx(first.wall)
    with nodes[0].log.open("a") as file:
        file.write(BLOCK.format(what="Produced", second=2, id="bb", num=6))
    blocks.look()
    assert blocks.twice == 1


def test_a_trace_puts_the_logs_of_both_agents_on_one_line_of_time(tmp_path: Path) -> None:
    """Lines from before the fault are left out, and a step that did not happen is not told."""
    node = Node(NodeSpec("observer", 1, 2), tmp_path, None)
    lines = {
        "bp-a": [(9.9, {"to": "stopping"}), (10.1, {"to": "stopping"}), (10.2, {"transition": "proven"})],
        "bp-b": [(10.3, {"message": "bp-a has released the lead: it ended"}), (10.4, {"transition": "elected"})],
    }
    for name, story in lines.items():
        text = "".join(json.dumps({"time": f"1970-01-01T00:00:{at:06.3f}Z", **line}) + "\n" for at, line in story)
        (tmp_path / name).write_text(text)
    tracer = Tracer({name: Tail(tmp_path / name) for name in lines}, Blocks([], node))
    found = tracer.trace("bp-a", "bp-b", 10.0, Signature("bp-b", "eosio", 1, 1, "aa", 10.5))
    assert found == {"noticed": 100, "proven": 200, "watched": 300, "elected": 400, "signed": 500}


def test_figures_survive_a_file(tmp_path: Path) -> None:
    """A later run goes on from what an earlier one wrote."""
    file = tmp_path / "figures.json"
    some().save(file)
    assert results.load(file) == some()


def test_the_table_hides_nothing() -> None:
    """A method that nobody came after, or that signed twice, says so in its row; faults keep their order."""
    rows = results.table(some()).splitlines()[2:]
    assert [row.split("|")[1].strip() for row in rows] == [TITLES["nodeos-killed"]] * 2 + [TITLES["nodeos-frozen"]]
    assert "0.50 / 0.60 / 0.60" in rows[0]
    assert rows[1].split("|")[-3:-1] == [" 0 ", " 1 "]
    assert "1 of 1" in rows[2]
    assert "ended by us" in rows[2]
    assert results.traces(some()).splitlines()[2].startswith("| nodeos killed | agent | 2 |")
    assert percentile([3, 1, 2], 0.5) == 2


def test_the_picture_is_well_formed() -> None:
    """The picture is XML, with every fault that was measured, and says who signed twice."""
    picture = draw(some(), "a <title>")
    text = "".join(ET.fromstring(picture).itertext())
    assert TITLES["nodeos-frozen"] in text
    assert "signed twice: 1" in text
    assert "nobody came: 1 of 1" in text
    assert "a <title>" in text


def test_unknown_faults_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """A fault that there is not is named, with those that there are."""
    with pytest.raises(SystemExit):
        command.main(["--faults", "nodeos-killed,earthquake"])
    assert "earthquake" in capsys.readouterr().err


def test_the_spans_with_a_gate_are_the_least_that_hold() -> None:
    """The method with gates is measured with spans that an agent accepts, and E is as short as it may be."""
    spans = TimingSection.model_validate(gated.SPANS).spans(GateMode.REQUIRED)
    assert spans.problems() == []
    assert spans.validity == spans.validity_needed


def test_a_node_is_told_another_way_to_its_signatures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the method with gates governs nodeos has no key; afterwards it has it again, and nothing else changed."""
    node = Node(NodeSpec("bp-a", 1, 2, ["eosio"]), tmp_path, find_nodeos())
    monkeypatch.setattr(node, "restart", lambda *_: None)
    gated._sign_by(node, "KEY=KEOSD:http://127.0.0.1:3/sign")
    assert not any("=KEY:" in each for each in node.command)
    gated._sign_by(node, gated.PLAIN)
    assert node.command[node.command.index(gated.PROVIDER) + 1] == gated.PLAIN
    assert node.command.count(gated.TIMEOUT) == 1


def test_keepalived_never_runs_pidof_itself() -> None:
    """keepalived follows links, and Debian's pidof is one to killall5: a script of our own is what it runs."""
    assert 'script "{check}"' in keepalived.CONF
    assert keepalived.CHECK.startswith("#!/bin/sh\n")


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_methods_are_measured_side_by_side(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each method replaces a nodeos that was killed, with a trace of ours; a second call goes on from the first."""
    figures = tmp_path / "figures.json"
    own = ["--json", str(figures), "--svg", str(tmp_path / "p.svg"), "--idle", "0", "--faults", "nodeos-killed"]
    assert command.main([*own, "-n", "1"]) == 0
    found = results.load(figures)
    both = os.geteuid() == 0 and shutil.which("keepalived", path=keepalived.SEARCH)
    assert {run.method for run in found.runs} >= ({"agent", "keepalived"} if both else {"agent"})
    mine = next(run for run in found.runs if run.method == "agent")
    assert mine.twice == mine.twice_back == 0
    steps = [mine.trace[name] for name in ("noticed", "proven", "campaign", "elected", "resumed")]
    assert steps == sorted(steps)
    assert command.main([*own, "-n", "2", "--resume", "--methods", "agent"]) == 0
    assert [run.method for run in results.load(figures).runs].count("agent") == 2
    assert "Where the time goes" in capsys.readouterr().out
