"""The benchmark: what it reads, how it writes it, and that it measures real failovers."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from agent.config.protocol import TimingSection
from agent.core.leadership.timing import GateMode
from tests.lab.bench import __main__ as command
from tests.lab.bench import gated, keepalived, results
from tests.lab.bench.method import TITLES
from tests.lab.bench.results import Results, Run
from tests.lab.bench.tails import Blocks
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


def test_the_spans_with_a_gate_are_the_least_that_hold() -> None:
    """The method with gates is measured with spans that an agent accepts, and E is as short as it may be."""
    spans = TimingSection.model_validate(gated.SPANS).spans(GateMode.REQUIRED)
    assert spans.problems() == []
    assert spans.validity == spans.validity_needed


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_methods_are_measured_side_by_side(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each method replaces a nodeos that was killed, with a trace of ours; a second call goes on from the first."""
    figures = tmp_path / "figures.json"
    own = ["--json", str(figures), "--svg", str(tmp_path / "p.svg"), "--faults", "nodeos-killed"]
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
