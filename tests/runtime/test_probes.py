"""Probes: every answer and every error becomes an event; the end of nodeos is known at once."""

from __future__ import annotations

import os
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.core.health.checks import (
    DiskProbed,
    GateProbed,
    InfoProbed,
    PausedProbed,
    PeersProbed,
    ProcessProbed,
    ScheduleProbed,
)
from agent.core.health.finality import FinalityProbed
from agent.core.model.chain import ChainInfo, Peers, ProcessId, Schedule
from agent.core.model.finality import Finality, Finalizer
from agent.core.node.urgency import MISSED
from agent.errors import FenceError, GateError, NodeosAnswer, NodeosTimeout, NodeosUnreachable
from agent.host.clock import SystemClock
from agent.nodeos.fence import ProcessFence
from agent.ports import GateStatus
from agent.runtime import probes
from agent.runtime.probes import NOBODY_KNOWS, ProcessWatch
from agent.telemetry.gate_watch import GateReading, GateWatch
from tests.support.children import IDLE, child, plan, state_of, wait_until
from tests.support.moved_time import MovedTime
from tests.support.recorder import Recorder

INFO = ChainInfo("c" * 64, "v4", 100, "id100", 1_000, "producer", 90, None)
SOON_S = 0.2


ERRORS = [NodeosTimeout("slow"), NodeosUnreachable("nobody"), NodeosAnswer(500, 1, "no")]


def test_answers_become_events() -> None:
    """What nodeos says stands in the event; a question is dated before it left, an answer after it came (R4)."""
    clock = MovedTime(1_000, 5_000)
    nodeos: Any = Recorder(True, clock, takes_ms=70)
    assert probes.paused(nodeos, clock, 0.4) == PausedProbed(1_000, True)
    nodeos.says = INFO
    assert probes.info(nodeos, clock, 0.5) == InfoProbed(INFO, 5_140)
    nodeos.says = Peers(3, 2)
    assert probes.peers(nodeos, 1.0) == PeersProbed(Peers(3, 2))
    nodeos.says = Schedule(1, ())
    assert probes.schedule(nodeos, 2.0) == ScheduleProbed(Schedule(1, ()))
    assert nodeos.calls == [("paused", (0.4,)), ("info", (0.5,)), ("peers", (1.0,)), ("schedule", (2.0,))]


@pytest.mark.parametrize("error", ERRORS, ids=str)
def test_errors_become_events(error: Exception) -> None:
    """No error of nodeos gets past a probe; each says why there is no answer."""
    clock = MovedTime(1_000, 5_000)
    nodeos: Any = Recorder(error, clock, takes_ms=70)
    assert probes.paused(nodeos, clock, 0.4) == PausedProbed(1_000, None, str(error))
    assert probes.info(nodeos, clock, 0.4) == InfoProbed(None, 5_140, str(error))
    assert probes.peers(nodeos, 0.4) == PeersProbed(None, str(error))
    assert probes.schedule(nodeos, 0.4) == ScheduleProbed(None, str(error))


def test_a_plugin_that_is_not_loaded_is_no_fault() -> None:
    """404 for the peers means that net_api_plugin is not there, which is told apart."""
    error = NodeosAnswer(404, 0, "unknown")
    nodeos: Any = Recorder(error)
    assert probes.peers(nodeos, 0.4) == PeersProbed(None, "unknown", missing=True)


def test_the_disk_is_looked_at(tmp_path: Path) -> None:
    """Bytes free to nodeos and in all; a directory that is gone is told."""
    found = probes.disk(tmp_path)
    assert 0 < found.free <= found.total
    real = os.statvfs(tmp_path)
    assert found.total == real.f_blocks * real.f_frsize
    assert probes.disk(tmp_path / "none") == DiskProbed(0, 0, f"{tmp_path}/none: No such file or directory")


def test_the_run_time_file_is_tried_each_time() -> None:
    """A directory that takes no file is told in the words of the system; nothing of it is kept from look to look."""
    failures = [OSError(28, "No space left on device"), OSError("odd"), GateError("no page")]
    file: Any = Recorder({"try_write": [None, *failures, None]})
    told = [probes.runtime_file(file).error for _ in range(5)]
    assert told == ["", "No space left on device", "odd", "no page", ""]
    assert file.names == ["try_write"] * 5


# --- the process -----------------------------------------------------------------------------------------------------


class Bench:
    """A watch over a pid file, with a note of how long it waited."""

    def __init__(self, root: Path) -> None:
        self.file = root / "nodeos.pid"
        self.waited: list[float] = []
        fence = ProcessFence(plan("http://127.0.0.1:1", pid_file=str(self.file)))
        self.watch = ProcessWatch(fence, self.waited.append)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Return a watch without a process."""
    return Bench(tmp_path)


@pytest.mark.real
def test_the_end_of_nodeos_is_known_at_once(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process is found at the first look; its end is an event within milliseconds, not at the next poll."""
    monkeypatch.setattr(probes, "ALIVE_S", 5.0)
    with child(IDLE) as nodeos:
        bench.file.write_text(str(nodeos.id.pid))
        assert bench.watch.look() == ProcessProbed(nodeos.id)
        assert not bench.waited
        killed: list[float] = []

        def kill() -> None:
            time.sleep(0.2)
            killed.append(time.monotonic())
            os.kill(nodeos.id.pid, signal.SIGKILL)

        thread = threading.Thread(target=kill)
        thread.start()
        assert bench.watch.look() == ProcessProbed(None)
        assert time.monotonic() - killed[0] < SOON_S
        thread.join()


@pytest.mark.real
def test_a_live_process_is_reported_again(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """While it lives it is reported now and then, so that silence means a defect."""
    monkeypatch.setattr(probes, "ALIVE_S", 0.1)
    with child(IDLE) as nodeos:
        bench.file.write_text(str(nodeos.id.pid))
        assert bench.watch.look() == ProcessProbed(nodeos.id)
        for _ in range(2):
            begin = time.monotonic()
            found = bench.watch.look()
            assert found is not None
            assert found.cpu is not None, "what it has used of its processor tells one that works from one that hangs"
            assert found == ProcessProbed(nodeos.id, cpu=found.cpu)
        assert 0.1 <= time.monotonic() - begin < 0.1 + SOON_S


@pytest.mark.real
def test_a_zombie_does_not_flicker(bench: Bench) -> None:
    """A nodeos whose parent does not reap it is gone, again and again, and looking for it does not spin."""
    with child(IDLE) as nodeos:
        bench.file.write_text(str(nodeos.id.pid))
        bench.watch.look()
        os.kill(nodeos.id.pid, signal.SIGKILL)
        wait_until(lambda: state_of(nodeos.id.pid) == "Z")
        assert [bench.watch.look() for _ in range(4)] == [ProcessProbed(None)] * 4
        assert bench.waited == [probes.FIND_S] * 3


@pytest.mark.real
def test_the_next_process_is_found(bench: Bench) -> None:
    """After the end of one the next is found, as another."""
    with child(IDLE) as first:
        bench.file.write_text(str(first.id.pid))
        bench.watch.look()
    assert bench.watch.look() == ProcessProbed(None)
    assert bench.watch.look() == ProcessProbed(None)
    with child(IDLE) as second:
        bench.file.write_text(str(second.id.pid))
        assert bench.watch.look() == ProcessProbed(second.id)


def test_what_cannot_be_told_is_an_error_and_no_end() -> None:
    """A process that cannot be found is neither there nor gone; looking goes on, without spinning."""
    waited: list[float] = []
    fence: Any = Recorder(FenceError("hidden"))
    watch = ProcessWatch(fence, waited.append)
    assert [watch.look(), watch.look()] == [ProcessProbed(None, "hidden")] * 2
    assert waited == [probes.FIND_S] * 2


def test_after_an_end_what_cannot_be_told_may_be_a_new_process() -> None:
    """Nobody was there, and now somebody may be whom nobody can name: nothing is taken for stopped any more (R4)."""
    hidden = FenceError("hidden")
    fence: Any = Recorder({"find": [None, hidden, hidden, None, hidden]})
    watch = ProcessWatch(fence, lambda _s: None)
    told = [watch.look() for _ in range(5)]
    assert told == [
        ProcessProbed(None),
        ProcessProbed(NOBODY_KNOWS, "hidden"),
        ProcessProbed(None, "hidden"),
        ProcessProbed(None),
        ProcessProbed(NOBODY_KNOWS, "hidden"),
    ]


def test_the_handle_of_a_process_that_is_gone_is_closed_once() -> None:
    """Each nodeos that ended is let go of: an agent that sees many restarts does not run out of descriptors."""
    handles: list[Any] = [Recorder({"wait_gone": [False, True]}), Recorder({"wait_gone": True})]
    for number, handle in enumerate(handles):
        handle.id = ProcessId(100 + number, 1)
    fence: Any = Recorder({"find": [*handles, None]})
    watch = ProcessWatch(fence, lambda _s: None)
    told = [watch.look() for _ in range(6)]
    first, second = (ProcessProbed(handle.id) for handle in handles)
    assert told == [first, first, ProcessProbed(None), second, ProcessProbed(None), ProcessProbed(None)]
    assert [handle.names for handle in handles] == [["wait_gone", "wait_gone", "close"], ["wait_gone", "close"]]
    assert {span for handle in handles for span in handle.spans} == {probes.ALIVE_S}


def test_the_clock_of_the_host_serves() -> None:
    """The real clock is what the probes are given."""
    nodeos: Any = Recorder(False)
    before = SystemClock().boot()
    assert probes.paused(nodeos, SystemClock(), 0.1).asked - before < 1000


def test_a_gate_can_sign_when_it_holds_our_page_and_has_keosd() -> None:
    """The check `gate`: no answer, another page, and a keosd that is not ready are each told with the reason."""
    ready = GateStatus(7, 500, True, "ready", 3, 900, {}, (), 0.0)
    assert probes.gate(GateReading(1_000, ready, "", ready)) == GateProbed(1_000, "", 500, 900)
    assert probes.gate(GateReading(1_000, None, "no answer", ready)) == GateProbed(1_000, "no answer")
    locked = probes.gate(GateReading(1_000, replace(ready, keosd="locked")))
    assert (locked.error, locked.signed) == ("keosd: locked", 900)
    assert "permit page" in probes.gate(GateReading(1_000, replace(ready, holds=False))).error


def test_a_nodeos_that_knows_no_finalizers_is_asked_seldom() -> None:
    """Spring is asked each time; an older one once in SELDOM turns, for it may be replaced by Spring meanwhile."""
    known = Finality((Finalizer("eosio", "PUB_BLS_a"),))
    nodeos: Any = Recorder(known)
    looking = probes.FinalityLook(nodeos)
    assert [looking.look(1.0) for _ in range(3)] == [FinalityProbed(known)] * 3
    nodeos.says = NodeosAnswer(404, 0, "unknown endpoint")
    assert looking.look(1.0) == FinalityProbed(None, "unknown endpoint", missing=True)
    asked = len(nodeos.calls)
    assert [looking.look(1.0) for _ in range(probes.SELDOM)] == [None] * probes.SELDOM
    assert len(nodeos.calls) == asked
    nodeos.says = known
    assert looking.look(1.0) == FinalityProbed(known)


@pytest.mark.parametrize("error", ERRORS, ids=str)
def test_a_question_for_finalizers_that_failed_is_asked_again(error: Exception) -> None:
    """What is no definite answer says nothing of the version."""
    nodeos: Any = Recorder(error)
    looking = probes.FinalityLook(nodeos)
    assert [looking.look(1.0) for _ in range(2)] == [FinalityProbed(None, str(error))] * 2


@pytest.mark.parametrize(("ago", "waits"), [(MISSED, []), (MISSED - 150, [0.15])])
def test_a_silence_has_the_gate_asked_at_once(ago: int, waits: list[float]) -> None:
    """What the gate says of its last signature comes before the silence, once it could tell that one was missed."""
    clock: Any = Recorder({"boot": 5_000})
    ready = GateStatus(7, 500, True, "ready", 3, 5_000 - ago, {}, (), 0.0)
    gate: Any = Recorder({"status": ready})
    nodeos: Any = Recorder(NodeosTimeout("no answer in time"))
    told: list[object] = []
    slept: list[float] = []
    watch = GateWatch(gate, clock, probes.gate)
    look = probes.MainThreadLook(nodeos, clock, watch, told.append, slept.append)
    assert look.look(0.4) == PausedProbed(5_000, None, "no answer in time")
    assert told == [GateProbed(5_000, "", 500, 5_000 - ago)]
    assert slept == waits


def test_who_answers_has_no_gate_asked() -> None:
    """Nothing is asked of the gate beyond its turn while nodeos answers; without a gate a silence is only told."""
    clock: Any = Recorder({"boot": 5_000})
    watch: Any = Recorder(None)
    answers: Any = Recorder(False)
    assert probes.MainThreadLook(answers, clock, watch, print, print).look(0.4).paused is False
    assert watch.calls == []
    silent: Any = Recorder(NodeosTimeout("no answer in time"))
    assert probes.MainThreadLook(silent, clock, None, print, print).look(0.4).paused is None
