"""The guard's rounds on the test's thread: when it acts, how often it looks and tries again, and when it ends."""

from __future__ import annotations

import os
import select
import signal
import subprocess
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from agent.core.model import records
from agent.core.model.chain import ProcessId
from agent.core.model.runtime_record import RuntimeRecord
from agent.errors import FenceError
from agent.guard import guard
from agent.guard import stop as means
from agent.guard.guard import AGAIN_S, LOOK_S, Guard
from agent.guard.spawn import GuardProcess
from agent.host.clock import boot_id
from agent.nodeos.finder import FencePlan
from tests.support.moved_time import MovedTime
from tests.support.recorder import Recorder

AGENT = 4_000_000
NODEOS = ProcessId(4_000_001, 1)


class Bench:
    """A run-time file, a guard, and a nodeos that does what the test says; each call to it takes `takes_ms`."""

    def __init__(self, root: Path, time: MovedTime, monkeypatch: pytest.MonkeyPatch) -> None:
        self.time, self.path = time, root / "run.json"
        self.nodeos = Recorder({"paused": True, "end": "nodeos ended"}, time, takes_ms=50)
        for name in ("paused", "end"):
            monkeypatch.setattr(means.Means, name, self._call(name))
        self.guard = Guard(self.path, AGENT)
        self.said: list[str] = []
        monkeypatch.setattr(self.guard._voice, "say", self.said.append)

    def _call(self, name: str) -> Callable[..., Any]:
        return lambda _means, *given: getattr(self.nodeos, name)(*given)

    def save(self, stop_in_ms: int, *, gated: bool = False, **more: Any) -> None:
        """Write the file."""
        stop = self.time.boot() + stop_in_ms
        fields: dict[str, Any] = {"agent_pid": AGENT, "state": "held", "resume_open": False, "process": NODEOS} | more
        record = RuntimeRecord(
            boot_id=boot_id(),
            epoch=7,
            instance="f00d",
            seq=3,
            heartbeat_revision=12,
            leader_revision=11,
            lease=99,
            valid_until=stop + 1100,
            stop_by=stop,
            **fields,
        )
        spans = {"pause_ms": 300, "block_ms": 500, "kill_ms": 500, "slack_ms": 300, "term_ms": 1000}
        plan = {"plan": asdict(FencePlan("http://127.0.0.1:1")), "producer_url": "http://127.0.0.1:1", **spans}
        self.path.write_bytes(records.write(record, guard={**plan, "gated": gated}))

    def rounds(self, for_ms: int) -> int:
        """Let the guard go on for a time; return how many looks that took."""
        end, looks = self.time.now + for_ms, 0
        while self.time.now < end and (wait := self.guard.look()) is not None:
            self.time.sleep(wait)
            looks += 1
            assert looks < 1000, "it spins"
        return looks


@pytest.fixture
def bench(tmp_path: Path, moved: MovedTime, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Return a guard in time that is moved."""
    return Bench(tmp_path, moved, monkeypatch)


def test_it_waits_for_the_stop_time_and_looks_twice_a_second(bench: Bench) -> None:
    """R3: not a millisecond early, and a confirmation is heard of in time; it sleeps no longer than what is left."""
    bench.save(1700)
    assert bench.guard.look() == LOOK_S
    bench.time.go(1500)
    assert bench.guard.look() == pytest.approx(0.2)
    bench.time.go(199)
    assert bench.guard.look() == pytest.approx(0.001)
    assert not bench.nodeos.calls
    bench.time.go(1)
    bench.guard.look()
    assert bench.nodeos.names == ["paused"]


def test_what_it_did_it_does_once(bench: Bench) -> None:
    """A nodeos that is paused, or ended, is left alone; a new tenure in the file is guarded anew."""
    for paused, calls in ((True, ["paused"]), (False, ["paused", "end"])):
        bench.nodeos.calls.clear()
        bench.nodeos.says["paused"] = paused
        bench.save(0)
        assert bench.rounds(5000) >= 10
        assert bench.nodeos.names == calls
        bench.time.go(10)


def test_a_nodeos_that_does_not_end_is_tried_twice_a_second(bench: Bench) -> None:
    """Neither given up nor stormed: ten seconds are some twenty tries, which are told once a minute."""
    bench.nodeos.says |= {"paused": False, "end": FenceError("still there")}
    bench.save(0)
    bench.rounds(10_000)
    tries = bench.nodeos.names.count("end")
    assert 15 <= tries <= 10 / AGAIN_S
    assert len(bench.said) == 1
    assert "stop it by hand: still there" in bench.said[0]
    bench.rounds(60_000)
    assert len(bench.said) == 2


def test_what_was_done_is_told_once_though_the_file_is_written_again(bench: Bench) -> None:
    """The agent writes its file while it stops, too: the guard acts again, and says so once."""
    for state in ("held", "stopping"):
        bench.save(0, state=state)
        bench.rounds(2000)
    assert bench.nodeos.names == ["paused", "paused"]
    assert len(bench.said) == 1


def test_a_gated_nodeos_is_paused_and_never_ended(bench: Bench) -> None:
    """Where a gate is required it signs nothing by then: it is asked to pause twice a second, and told of once."""
    bench.nodeos.says["paused"] = [False] * 10 + [True]
    bench.save(0, gated=True, process=None)
    bench.rounds(20_000)
    assert bench.nodeos.names == ["paused"] * 11
    assert [line for line in bench.said if "takes no pause" in line] == bench.said[:1]
    assert "nodeos is paused" in bench.said[-1]


def test_a_gated_nodeos_that_is_gone_is_done_with(bench: Bench) -> None:
    """Its process is known and is not there any more."""
    bench.nodeos.says["paused"] = False
    bench.save(0, gated=True)
    bench.rounds(5000)
    assert bench.nodeos.names == ["paused"]


def test_while_a_resume_is_open_it_ends_nodeos_without_a_pause(bench: Bench) -> None:
    """R4: a resume under way may act after any pause."""
    bench.save(0, resume_open=True)
    bench.rounds(1000)
    assert bench.nodeos.calls == [("end", (NODEOS,))]


def test_a_confirmation_that_comes_during_the_pause_spares_nodeos(bench: Bench) -> None:
    """It reads again before it ends the process, and goes on guarding."""
    bench.save(0)

    def paused() -> bool:
        bench.save(3000)
        return False

    bench.nodeos.says["paused"] = paused
    assert bench.guard.look() == 0.0
    assert bench.nodeos.names == ["paused"]
    assert bench.guard.look() == LOOK_S


@pytest.mark.parametrize("state", ["stopped", "none"])
def test_it_ends_with_the_agent_when_nothing_is_guarded(bench: Bench, state: str) -> None:
    """While the agent lives it waits for the next tenure; without agent and tenure it ends."""
    if state == "stopped":
        bench.save(60_000, state="stopped")
    assert bench.guard.look() == LOOK_S
    bench.guard.agent_lives = False
    assert bench.guard.look() is None


def test_it_leaves_the_file_of_a_new_agent_to_the_guard_of_that(bench: Bench) -> None:
    """Only once its own agent is gone: until then whoever writes the file is guarded."""
    bench.save(60_000, agent_pid=AGENT + 1)
    assert bench.guard.look() == LOOK_S
    bench.guard.agent_lives = False
    assert bench.guard.look() is None
    bench.save(60_000)
    assert bench.guard.look() == LOOK_S


def test_what_it_read_last_counts_while_the_file_cannot_be_read(bench: Bench) -> None:
    """R3: a file that is broken or gone is no proof, and is told when it is broken."""
    bench.save(1000)
    bench.guard.look()
    bench.path.write_bytes(b"{")
    bench.time.go(500)
    assert bench.guard.look() == LOOK_S
    assert "cannot be read" in bench.said[-1]
    bench.path.unlink()
    bench.time.go(500)
    bench.guard.look()
    assert bench.nodeos.names == ["paused"]


def test_the_end_of_a_life_costs_nothing_open(bench: Bench) -> None:
    """Looking whether a gated nodeos is gone leaves no descriptor, one that lives included."""
    us = ProcessId(os.getpid(), _ticks())
    bench.nodeos.says["paused"] = False
    bench.save(0, gated=True, process=us)
    before = len(list(Path("/proc/self/fd").iterdir()))
    bench.rounds(3000)
    assert len(bench.nodeos.calls) >= 5
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def _ticks() -> int:
    return int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])


class Stub:
    """A guard whose rounds are told by the test."""

    def __init__(self, rounds: list[float | None]) -> None:
        self.rounds, self.lives = rounds, list[bool]()
        self.agent_lives = True

    def look(self) -> float | None:
        """Return the next."""
        self.lives.append(self.agent_lives)
        return self.rounds.pop(0)


def test_the_end_of_the_pipe_is_the_end_of_the_agent(moved: MovedTime, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says that it guards, waits for the pipe while the agent lives and then by the clock; no signal ends it."""
    made, signals = list[tuple[Path, int]](), dict[int, Any]()
    stub = Stub([0.5, 0.25, 0.5, 0.2, None])
    polls = Recorder({"poll": [[], [(0, 1)], [(0, 16)]]})
    written = list[tuple[int, bytes]]()
    reads = [b"x", b""]

    def make(path: Path, pid: int) -> Stub:
        made.append((path, pid))
        return stub

    with monkeypatch.context() as patch:
        patch.setattr(guard, "Guard", make)
        patch.setattr(signal, "signal", signals.__setitem__)
        patch.setattr(select, "poll", lambda: polls)
        patch.setattr(os, "write", lambda *given: written.append(given))
        patch.setattr(os, "read", lambda _fd, _size: reads.pop(0))
        assert guard.main(["/x.json", "77"]) == 0
    assert made == [(Path("/x.json"), 77)]
    assert written == [(1, b".")]
    assert polls.calls == [("register", (0, select.POLLIN)), ("poll", (500,)), ("poll", (250,)), ("poll", (500,))]
    assert stub.lives == [True, True, True, False, False]
    assert moved.slept == [0.2]
    ended_by = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
    assert set(signals) == set(ended_by)
    assert all(callable(each) for each in signals.values()), "SIG_IGN would go on to a command that it runs"


def test_a_guard_is_started_apart_from_us(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a pipe that ends with us, in a session of its own, with nothing of ours to write to but standard error."""
    given: dict[str, Any] = {}

    def popen(command: list[str], **more: Any) -> Any:
        given.update(more, command=command)
        return Recorder({"poll": None})

    monkeypatch.setattr(subprocess, "Popen", popen)
    found = GuardProcess(Path("/run/x.json"))
    found.ensure()
    found.ensure()
    assert given.pop("command")[1:] == ["-I", "-m", "agent.guard", "/run/x.json", str(os.getpid())]
    assert given == {
        "stdin": subprocess.PIPE,
        "stdout": subprocess.DEVNULL,
        "cwd": "/",
        "start_new_session": True,
    }
