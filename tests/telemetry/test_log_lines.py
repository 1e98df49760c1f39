"""What the log tells of whole stories: the real cores in simulated time, their lines compared with golden transcripts.

After a wanted change: `python -m pytest tests/telemetry/test_log_lines.py --rewrite`, then read what changed.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from agent.core.alerts.notice import Notice
from agent.core.leadership import actions as do
from agent.core.node.state import Node, NodeAction, Notify, RecordChange
from agent.host.logs import LineFormatter
from agent.telemetry import log_lines
from tests.simulation.story import Host, Story, settled, two

GOLDEN = Path(__file__).parent / "golden"
MOST = 12
"""Lines of one side of a story; ten are wanted, a few stories have two faults in them."""


class Transcript:
    """The lines that each host logs from now on, as `log.level = "info"` shows them, with the time since now."""

    def __init__(self, told: Story) -> None:
        self.begin = told.now
        self.lines: dict[str, list[str]] = {host.name: [] for host in told.hosts}
        self.records: list[logging.LogRecord] = []
        told.watch = self.watch

    def watch(self, host: Host, before: Node, actions: Sequence[NodeAction]) -> None:
        """Take one step."""
        for line in log_lines.lines(before, host.node, actions):
            if line.level >= logging.INFO:
                record = logging.getLogger("agent.runtime.loop").makeRecord(
                    "agent.runtime.loop", line.level, "", 0, "%s", (line.message,), None, extra=line.fields
                )
                record.created = (host.story.now - self.begin) / 1000
                text = LineFormatter("text", {}).format(record)
                self.records.append(record)
                self.lines[host.name].append(text[len("1970-01-01T00:") :].replace("Z ", " ", 1))

    def text(self) -> str:
        """Return the whole transcript, one side after the other."""
        return "\n".join("\n".join([f"--- {name}", *lines]) for name, lines in self.lines.items()) + "\n"


def planned_handover(told: Story) -> None:
    """An operator puts the other node into the key leader."""
    _, standby = two(told)
    told.put("leader", standby.name.encode())
    told.until(lambda: standby.leads)
    told.go(15)


def nodeos_killed(told: Story) -> None:
    """The leader's nodeos is killed, and started again a while later."""
    leader, standby = two(told)
    leader.nodeos.kill()
    told.until(lambda: standby.leads)
    told.go(3)
    leader.nodeos.start()
    told.go(30)


def etcd_lost_and_back(told: Story) -> None:
    """Nobody reaches etcd for 20 s."""
    for host in told.hosts:
        host.store.cut = True
    told.go(20)
    for host in told.hosts:
        host.store.cut = False
    told.until(lambda: told.leader is not None, 30)
    told.go(15)


def override(told: Story) -> None:
    """An operator lets only the other node lead, and later takes that back."""
    _, standby = two(told)
    told.put("override", json.dumps({"leader": standby.name, "reason": "kernel update", "by": "joe@ops"}).encode())
    told.until(lambda: standby.leads)
    told.go(20)
    told.delete("override")
    told.go(15)


def agent_restarted(told: Story) -> None:
    """The leader's agent is killed and back at once: it goes on."""
    leader, _ = two(told)
    leader.restart()
    told.until(lambda: leader.leads)
    told.go(15)


STORIES: dict[str, Callable[[Story], None]] = {
    each.__name__: each for each in (planned_handover, nodeos_killed, etcd_lost_and_back, override, agent_restarted)
}


@cache
def transcript_of(name: str) -> Transcript:
    """Play a story; each is played once for all tests of this file."""
    told = settled()
    transcript = Transcript(told)
    STORIES[name](told)
    return transcript


@pytest.mark.parametrize("name", STORIES)
def test_a_story_reads_as_it_should(name: str, request: pytest.FixtureRequest) -> None:
    """The log of a whole story, line for line on each side, and no side is longer than a story."""
    transcript = transcript_of(name)
    text = transcript.text()
    file = GOLDEN / f"{name}.txt"
    if request.config.getoption("--rewrite"):
        file.write_text(text)
    assert text == file.read_text()
    assert all(len(lines) <= MOST for lines in transcript.lines.values())


@pytest.mark.parametrize("name", STORIES)
def test_text_and_json_tell_the_same(name: str) -> None:
    """Each line of a story has the same message and the same fields in both forms."""
    for record in transcript_of(name).records:
        data = json.loads(LineFormatter("json", {}).format(record))
        text = LineFormatter("text", {}).format(record)
        assert data["message"] in text
        assert data["level"] in text
        fields = {key: value for key, value in data.items() if key not in ("time", "level", "message")}
        assert all(f"{key}=" in text and str(value) in text for key, value in fields.items())


def test_what_follows_from_a_dead_process_is_no_news() -> None:
    """Five checks fail with the process; the log tells the one that says why."""
    told = settled()
    leader, _ = two(told)
    transcript = Transcript(told)
    leader.nodeos.kill()
    told.go(20)
    fails = [line for line in transcript.lines[leader.name] if "check " in line]
    assert len(fails) == 1
    assert "check process fails" in fails[0]


def test_an_end_by_force_is_told() -> None:
    """That nodeos is ended, and how, is no secret."""
    told = settled()
    leader, _ = two(told)
    found = [line.message for line in log_lines.lines(leader.node, leader.node, [do.FenceNodeos(1, 1000, 2000)])]
    assert found == ["ending nodeos by SIGTERM, after 1 s by SIGKILL"]
    found = [line.message for line in log_lines.lines(leader.node, leader.node, [do.FenceNodeos(1, 0, 500)])]
    assert found == ["ending nodeos by SIGKILL"]


def test_words_of_operators_are_told() -> None:
    """Override, maintenance and their ends are lines of their own, with reason and author."""
    told = settled()
    node = told.hosts[0].node
    assert list(log_lines.lines(node, node, ())) == []
    seen = replace(node.leadership.seen, maintenance="")
    on = replace(node, leadership=replace(node.leadership, seen=seen))
    assert [line.message for line in log_lines.lines(node, on, ())] == ["maintenance: no reason given"]
    assert [line.message for line in log_lines.lines(on, node, ())] == ["maintenance is over"]


def test_a_notice_is_a_warning_and_its_end_is_none() -> None:
    """What people are told stands in the log with its key; that it is over is no warning, and says how long it was."""
    node = settled().hosts[0].node
    notice = Notice("disk/lab", "disk_full", "warning", "the disk is full", fields={"duration": "3 s"}, lasts=True)
    (told,) = log_lines.lines(node, node, [Notify(notice)])
    assert (told.level, told.message, told.fields) == (logging.WARNING, notice.summary, {"alert": "disk/lab"})
    (over,) = log_lines.lines(node, node, [Notify(replace(notice, resolved=True))])
    assert (over.level, over.message) == (logging.INFO, "the disk is full (over, after 3 s)")


def test_the_first_whole_window_is_a_line_with_its_numbers() -> None:
    """Who saw it, what was signed and missed in it; how a tenure ended is no line of its own."""
    node = settled().hosts[0].node
    fields: dict[str, str | int] = {"witness": "bp-b", "window_signed": 11, "window_missed": 1, "window": 7}
    (line,) = log_lines.lines(node, node, [RecordChange(3, fields)])
    assert line.message == "the first whole window, by the chain of bp-b: 11 signed, 1 missed"
    assert (line.level, line.fields) == (logging.INFO, {"epoch": 3, "window": 7})
    assert list(log_lines.lines(node, node, [RecordChange(3, {"release_ms": 5})])) == []
