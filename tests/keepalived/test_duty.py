"""Production under keepalived's word: a fifo, stamps, a nodeos that may lie. The real keepalived is in tests/deploy."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from agent.cli.keepalived import metrics_text
from agent.core.model.chain import ProcessId
from agent.guard.fence import read_file
from agent.guard.stop import Means, read_means
from agent.host.clock import boot_ms
from agent.keepalived.duty import AFTER_TRIP_MS, ASK_MS, Duty, Spans
from tests.support.children import RELAY, child, program, wait_until
from tests.support.guard_bench import Bench

pytestmark = pytest.mark.real
SPANS = Spans(deadman=1500, delay=300, margin=1100)


class Stage:
    """A duty, with the test in the place of keepalived."""

    def __init__(self, root: Path, closing: ExitStack) -> None:
        self.bench = Bench(root, closing)
        self.stamp = root / "stamp"
        os.mkfifo(root / "fifo")
        self.reader = os.open(root / "fifo", os.O_RDONLY | os.O_NONBLOCK)
        self.writer = os.open(root / "fifo", os.O_WRONLY | os.O_NONBLOCK)
        closing.callback(os.close, self.reader)
        self.told: list[tuple[str, str]] = []
        self.beats = True
        self.duty: Duty

    def begin(self, how: str = "honest", spans: Spans = SPANS) -> None:
        """Put a nodeos beside it."""
        self.bench.start_nodeos(how)
        self.start(self.bench.plan(), spans)

    def start(self, more: dict[str, Any], spans: Spans = SPANS, led: ProcessId | None = None) -> None:
        """Begin, with what a process before has left."""
        means = read_means(json.dumps(more).encode())
        self.duty = Duty(self.reader, self.bench.file, self.stamp, means, spans, self._tell, led)
        self.duty.more = more

    def _tell(self, event: str, severity: str, _text: str) -> None:
        self.told.append((event, severity))

    def say(self, word: str) -> None:
        """Be keepalived."""
        os.write(self.writer, f'INSTANCE "producer" {word} 100\n'.encode())

    def look(self) -> bool:
        """Let it look once, with a stamp of this moment while keepalived lives."""
        if self.beats:
            self.stamp.write_text(f"{boot_ms()}\n")
        return self.duty.look()

    def until(self, condition: object) -> None:
        """Let it look until something holds."""
        assert callable(condition)
        wait_until(lambda: self.look() and condition())

    def master(self) -> None:
        """Make it MASTER, and wait until it produces."""
        self.say("MASTER")
        self.until(lambda: self.duty.producing)

    @property
    def resumes(self) -> list[int]:
        """When nodeos was resumed."""
        return self.bench.asked("resume")


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """Yield a stage that ends with the test."""
    with ExitStack() as closing:
        yield Stage(tmp_path, closing)


def test_the_first_act_is_a_pause(stage: Stage) -> None:
    """Before keepalived has said anything nodeos is paused, and that is proven (start and restart)."""
    stage.begin()
    stage.look()
    assert stage.duty.proven
    assert stage.bench.asked("pause")
    assert not stage.resumes


def test_only_master_resumes_and_not_at_once(stage: Stage) -> None:
    """MASTER waits for the other side to stop; then it resumes once, with the time to stop in the run-time file."""
    stage.begin()
    stage.look()
    said = boot_ms()
    stage.master()
    assert stage.resumes[0] >= said + SPANS.delay
    record = stage.bench.file.load()
    assert record is not None
    assert record.state == "held"
    assert record.stop_by <= boot_ms() + SPANS.deadman
    for _ in range(5):
        stage.look()
    assert len(stage.resumes) == 1
    later = stage.bench.file.load()
    assert later is not None
    assert later.stop_by > record.stop_by, "stamps put it off"


@pytest.mark.parametrize("word", ["BACKUP", "FAULT", "STOP"])
def test_every_other_word_stops(stage: Stage, word: str) -> None:
    """BACKUP, FAULT and STOP pause nodeos and prove it; nothing is left to guard (R3, R4)."""
    stage.begin()
    stage.master()
    pauses = len(stage.bench.asked("pause"))
    stage.say(word)
    stage.look()
    assert not stage.duty.producing
    assert stage.duty.proven
    assert len(stage.bench.asked("pause")) == pauses + 1
    assert stage.bench.file.path.read_bytes() == b""


@pytest.mark.parametrize("how", ["hangs", "lies", "refuses"])
def test_what_takes_no_pause_is_ended(stage: Stage, how: str) -> None:
    """A nodeos that cannot be paused does not go on, whoever it is (R3)."""
    stage.begin(how)
    stage.look()
    assert stage.bench.gone()
    assert stage.duty.fencings == 1


@pytest.mark.parametrize("anew", [False, True])
def test_behind_a_relay_that_ended_nodeos_is_ended(stage: Stage, tmp_path: Path, anew: bool) -> None:
    """No pause reaches nodeos, and nobody listens: it is ended, also by a duty that begins then (R3)."""
    nodeos, file = stage.bench.start_nodeos(), tmp_path / "nodeos.pid"
    file.write_text(str(nodeos.id.pid))
    with child(RELAY, "0", nodeos.said, python=program(tmp_path, "conmon")) as relay:
        more = stage.bench.plan(pid_file=str(file))
        more["guard"]["plan"]["url"] = more["guard"]["producer_url"] = f"http://127.0.0.1:{relay.said}"
        stage.start(more)
        stage.master()
    if anew:
        stage.start(more, led=led_by(stage.bench.file.path))
    else:
        stage.say("FAULT")
    stage.until(lambda: stage.duty.proven)
    assert stage.bench.gone()


def led_by(path: Path) -> ProcessId:
    """Return the process that a run-time file names."""
    found = read_file(path)[0].armed
    assert found is not None
    assert found.process is not None
    return found.process


def test_of_several_words_the_last_counts(stage: Stage) -> None:
    """A MASTER that is followed by BACKUP before anybody looked resumes nothing."""
    stage.begin()
    stage.say("MASTER")
    stage.say("BACKUP")
    for _ in range(5):
        stage.look()
    assert not stage.resumes


def test_a_keepalived_that_falls_silent_is_not_obeyed(stage: Stage) -> None:
    """Without stamps nodeos is stopped in time; when they come again it takes a while before MASTER counts (R3)."""
    stage.begin()
    stage.master()
    stage.beats = False
    stage.until(lambda: not stage.duty.producing)
    stopped = boot_ms()
    assert stage.duty.trips == 1
    assert ("keepalived_stops", "warning") in stage.told
    stage.beats = True
    stage.until(lambda: stage.duty.producing)
    assert boot_ms() - stopped >= AFTER_TRIP_MS


def test_a_stamp_that_comes_too_late_brings_nothing_back(stage: Stage) -> None:
    """When the span in the run-time file is over the guard has acted: what comes later begins anew (R3)."""
    stage.begin()
    stage.master()
    before = len(stage.resumes)
    due = int(stage.stamp.read_text()) + SPANS.deadman
    wait_until(lambda: boot_ms() >= due)
    stage.look()  # with a stamp of this moment
    assert not stage.duty.producing
    assert stage.duty.proven
    stage.until(lambda: stage.duty.producing)
    assert len(stage.resumes) == before + 1
    assert stage.resumes[-1] >= due + AFTER_TRIP_MS


def test_a_keepalived_that_is_gone_ends_it(stage: Stage) -> None:
    """The end of the fifo's writer is the end of keepalived: nodeos is stopped, and so are we."""
    stage.begin()
    stage.master()
    os.close(stage.writer)
    assert not stage.look()
    assert stage.duty.proven
    assert ("keepalived_gone", "critical") in stage.told


def test_a_standby_that_somebody_resumes_is_paused(stage: Stage) -> None:
    """Whoever is not MASTER and finds nodeos not paused pauses it, and says so."""
    stage.begin()
    stage.say("BACKUP")
    stage.look()
    from agent.net.endpoint import parse_endpoint
    from agent.net.http import call

    assert stage.bench.nodeos is not None
    call(parse_endpoint(f"http://127.0.0.1:{stage.bench.nodeos.said}"), "/v1/producer/resume", 2.0)
    begin = boot_ms()
    stage.until(lambda: ("unpaused", "warning") in stage.told)
    assert boot_ms() - begin < 3 * ASK_MS
    assert len(stage.bench.asked("pause")) == 2


def test_a_standby_is_not_asked_at_each_look(stage: Stage) -> None:
    """Once it is proven stopped, nodeos is asked again after ASK_MS, however often keepalived wakes us."""
    stage.begin()
    stage.say("BACKUP")
    stage.until(lambda: stage.duty.proven)
    begin = boot_ms()
    before = len(stage.bench.asked("paused"))
    for _ in range(20):
        assert stage.look()
    assert len(stage.bench.asked("paused")) - before <= 1 + (boot_ms() - begin) // ASK_MS


def test_a_process_that_ends_is_not_produced_with(stage: Stage) -> None:
    """A nodeos that dies under MASTER is told, and nothing resumes until there is another that was paused first."""
    stage.begin()
    stage.master()
    assert stage.bench.nodeos is not None
    stage.bench.nodeos.popen.kill()
    stage.bench.nodeos.popen.wait()
    stage.look()
    assert not stage.duty.producing
    for _ in range(3):
        stage.look()
    assert len(stage.resumes) == 1


def test_frozen_between_the_decision_and_the_resume_does_not_resume(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R3: who was held up until after its sign of life was over may not resume: the other host may produce by then."""
    stage.begin()
    held_up: list[int] = []

    def frozen(_means: Means, _process: ProcessId | None) -> str:
        if stage.duty.proven:  # right before the resume
            monkeypatch.undo()
            time.sleep((SPANS.deadman + 200) / 1000)
            held_up.append(boot_ms())
        return ""

    monkeypatch.setattr(Means, "astray", frozen)
    stage.say("MASTER")
    stage.until(lambda: held_up)
    assert not stage.resumes
    stage.until(lambda: stage.duty.producing)


def test_noise_on_the_fifo_is_nothing(stage: Stage) -> None:
    """Other instances' groups, half lines and binary noise change nothing."""
    stage.begin()
    os.write(stage.writer, b'GROUP "x" MASTER 1\n\xff\xfe\nINSTANCE\nINSTANCE "producer" FLYING 3\nINST')
    stage.look()
    assert stage.duty.word == ""
    os.write(stage.writer, b'ANCE "producer" BACKUP 3\n')
    stage.look()
    assert stage.duty.word == "BACKUP"


def test_the_spans_are_checked() -> None:
    """R3: who hears nothing more has stopped before another resumes, which may be MASTER by then; else the remedy."""
    assert Spans(2000, 3300, 1100).problem() == ""
    assert "raise --delay" in Spans(2000, 3299, 1100).problem()


def test_the_textfile_is_what_the_collector_reads(stage: Stage) -> None:
    """Every series has its type and our labels, and tells the state as 0 and 1."""
    from prometheus_client.parser import text_string_to_metric_families

    stage.begin()
    stage.master()
    families = {
        each.name: each for each in text_string_to_metric_families(metrics_text(stage.duty, 'group="g",node="n"'))
    }
    name = "nodeos_failover_keepalived"
    states = {each.labels["state"]: each.value for each in families[f"{name}_state"].samples}
    assert states == {"MASTER": 1, "BACKUP": 0, "FAULT": 0, "STOP": 0}
    assert families[f"{name}_producing"].samples[0].value == 1
    assert abs(families[f"{name}_written_timestamp_seconds"].samples[0].value - time.time()) < 60
    assert all(each.labels["node"] == "n" for family in families.values() for each in family.samples)
