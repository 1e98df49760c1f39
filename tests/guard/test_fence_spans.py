"""How long `fence --local` gives whom: nodeos's end keeps to the confirmation, and the block in flight is awaited."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from agent.core.model.chain import ProcessId
from agent.core.model.fields import RecordError
from agent.errors import ConfigError, FenceError
from agent.guard import fence
from agent.guard.stop import Found, Means, Pending
from agent.host.paths import Files, save_refusal
from agent.net.endpoint import parse_endpoint
from agent.nodeos.finder import FencePlan
from tests.support.moved_time import MovedTime
from tests.support.recorder import Recorder

URL = "http://127.0.0.1:1"
NODEOS = ProcessId(5, 77)
PAUSE_S, BLOCK_S, KILL_S, SLACK_S, TERM_S = 0.3, 0.5, 0.2, 0.1, 5.0


class Stop:
    """Means whose calls to nodeos are recorded; a pause takes 50 ms and is answered as the test says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, time: MovedTime) -> None:
        self.means = Means(parse_endpoint(URL), FencePlan(URL), PAUSE_S, BLOCK_S, KILL_S, SLACK_S, TERM_S)
        self.calls = Recorder({"paused": True, "end": "nodeos ended", "listens": True}, time, takes_ms=50)
        for name in ("paused", "end", "listens"):
            monkeypatch.setattr(Means, name, lambda _means, *given, _name=name: getattr(self.calls, _name)(*given))

    def armed(self, time: MovedTime, left_ms: int, **changes: Any) -> Pending:
        """Return a tenure whose validity ends so soon."""
        until = time.boot() + left_ms
        fields = {"stopping": False, "resume_open": False, **changes}
        return Pending(7, until - 800, until, process=NODEOS, means=self.means, **fields)


@pytest.fixture
def stop(monkeypatch: pytest.MonkeyPatch, moved: MovedTime) -> Stop:
    """Return means that are recorded, in time that is moved."""
    return Stop(monkeypatch, moved)


@pytest.mark.parametrize(
    ("left_ms", "term_s"), [(1050, 0.7), (10_000, TERM_S), (350, 0.0), (0, 0.0), (-60_000, 0.0)], ids=str
)
def test_sigterm_gets_what_the_confirmation_leaves(stop: Stop, moved: MovedTime, left_ms: int, term_s: float) -> None:
    """R3: with 1 s of validity left after the pause, K 0.2 s and G 0.1 s nodeos has 0.7 s to end by itself."""
    stop.calls.says["paused"] = False
    assert stop.armed(moved, left_ms).stop() == "nodeos ended"
    assert stop.calls.calls[-1] == ("end", (NODEOS, pytest.approx(term_s)))


def test_an_open_resume_is_not_paused_first(stop: Stop, moved: MovedTime) -> None:
    """R4: a pause proves nothing then, and its time would be taken from nodeos's end."""
    stop.armed(moved, 1000, resume_open=True).stop()
    assert stop.calls.calls == [("end", (NODEOS, pytest.approx(0.7)))]


@pytest.mark.parametrize("led", [True, False])
def test_the_block_in_flight_is_awaited(stop: Stop, moved: MovedTime, led: bool) -> None:
    """R4: with a tenure in the file or without one, a pause is proven B after its answer and no earlier."""
    assert (stop.armed(moved, 60_000).stop() if led else fence.stop_idle(stop.means)) == "nodeos is paused"
    assert stop.calls.names == ["paused"]
    assert moved.passed_s == pytest.approx(0.05 + BLOCK_S)


def test_a_busy_nodeos_is_asked_again_for_a_moment(
    stop: Stop, moved: MovedTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nobody led, a pause without an answer is tried for a second, not without a pause, and then nodeos ends."""
    found: Any = Recorder()
    found.id = NODEOS
    looks = Recorder({"find": found})
    monkeypatch.setattr(fence, "ProcessFence", lambda plan: looks if plan == stop.means.plan else None)
    stop.calls.says["paused"] = False
    assert fence.stop_idle(stop.means) == "nodeos ended"
    tries = stop.calls.names.count("paused")
    assert fence.TRIES_S <= moved.passed_s < fence.TRIES_S + 0.3
    assert 5 <= tries <= 12
    assert stop.calls.calls[-1] == ("end", (NODEOS, TERM_S))
    assert found.names == ["close"], "its descriptor is closed, however it ended"


def test_a_nodeos_that_takes_the_second_pause_stays(stop: Stop, moved: MovedTime) -> None:
    """It was busy for a moment: B counts from the pause that it took."""
    stop.calls.says["paused"] = [False, False, True]
    assert fence.stop_idle(stop.means) == "nodeos is paused"
    assert moved.now - stop.calls.at[-1] >= 1000 * BLOCK_S


# --- what is done with what the files say ----------------------------------------------------------------------------


class Whole:
    """`fence` with what the run-time file says, a guard that comes up or not, and ways to stop that are recorded."""

    def __init__(self, stop: Stop, monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
        self.files = Files(root / "g-n.json")
        self.found, self.why = Found(None), ""
        self.guards = Recorder({"leave": True})
        self.slow = Recorder({"slow": stop.means})
        monkeypatch.setattr(fence, "read_file", lambda _path: (self.found, self.why))
        monkeypatch.setattr(fence, "leave_guard", lambda files, found: self.guards.leave(files, found))

    def __call__(self, *, restart: bool, supervised: bool = False) -> fence.Outcome:
        """Fence."""
        return fence.fence(self.files, restart=restart, slow=self.slow.slow, supervised=supervised)


@pytest.fixture
def whole(stop: Stop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Whole:
    """Return it."""
    return Whole(stop, monkeypatch, tmp_path)


def test_an_agent_that_may_come_back_is_left_to_a_guard(whole: Whole, stop: Stop, moved: MovedTime) -> None:
    """With --restart and time left nothing is stopped here, and the time is told in seconds."""
    whole.found = Found(stop.armed(moved, 5000), 7)
    outcome = whole(restart=True)
    assert outcome.proven
    assert "for 4.2 s" in outcome.text
    assert whole.guards.calls == [("leave", (whole.files, whole.found))]
    assert not stop.calls.calls


@pytest.mark.parametrize("case", ["no restart", "no time", "resume open", "stopping", "no guard", "never led"])
def test_whatever_speaks_against_that_is_fenced_now(whole: Whole, stop: Stop, moved: MovedTime, case: str) -> None:
    """R3: each reason alone is enough."""
    pending = stop.armed(
        moved, 800 if case == "no time" else 5000, resume_open=case == "resume open", stopping=case == "stopping"
    )
    whole.found = Found(None if case == "never led" else pending, 7)
    whole.guards.says["leave"] = case != "no guard"
    assert whole(restart=case != "no restart").proven
    assert stop.calls.names == (["end"] if case == "resume open" else ["paused"])
    assert len(whole.guards.calls) == (case == "no guard")


def test_only_a_supervisor_leaves_a_nodeos_that_is_not_this_agents(
    whole: Whole, stop: Stop, moved: MovedTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An agent that refused to start touched nothing; where an operator asks, or a tenure stands, nodeos is stopped."""
    save_refusal(whole.files.runtime, "it is another's")
    monkeypatch.setattr(fence, "read_plan", lambda _files: stop.means)
    outcome = whole(restart=True, supervised=True)
    assert outcome.proven
    assert "it is another's" in outcome.text
    assert not stop.calls.calls
    assert whole(restart=True).text == "nodeos is paused"
    whole.found = Found(stop.armed(moved, 0), 7)
    assert whole(restart=True, supervised=True).text == "nodeos is paused"


def test_without_a_tenure_the_plan_counts_and_without_a_plan_the_configuration(
    whole: Whole, monkeypatch: pytest.MonkeyPatch, stop: Stop
) -> None:
    """The whole configuration is read only where nothing else says how nodeos is stopped: it takes a second."""
    monkeypatch.setattr(fence, "read_plan", lambda _files: stop.means)
    whole.why = "the run-time file cannot be read"
    outcome = whole(restart=False)
    assert (outcome.proven, outcome.text) == (True, "nodeos is paused (the run-time file cannot be read)")
    assert not whole.slow.calls
    monkeypatch.setattr(fence, "read_plan", lambda _files: None)
    assert whole(restart=False).proven
    assert whole.slow.names == ["slow"]


@pytest.mark.parametrize("error", [FenceError("still there"), OSError(5, "broken"), RecordError("x")])
def test_what_cannot_be_stopped_is_said(whole: Whole, stop: Stop, moved: MovedTime, error: Exception) -> None:
    """Whatever went wrong, the outcome is not proven, and tells who has to act."""
    stop.calls.says |= {"paused": False, "end": error}
    whole.found = Found(stop.armed(moved, 5000), 7)
    outcome = whole(restart=False)
    assert not outcome.proven
    assert "stop it by hand" in outcome.text


class Popen:
    """A guard that says that it guards, after a while or not at all, on a real pipe."""

    def __init__(self, says: bytes) -> None:
        source, sink = os.pipe()
        os.write(sink, says)
        os.close(sink)
        self.stdout = os.fdopen(source, "rb", 0)
        self.returncode: int | None = None


@pytest.mark.usefixtures("no_leaks")
@pytest.mark.parametrize(("says", "up"), [(b".", True), (b"", False)])
def test_a_guard_is_believed_when_it_says_so(
    stop: Stop, moved: MovedTime, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, says: bytes, up: bool
) -> None:
    """One that ends without a word does not guard; either way nothing of it stays open here."""
    commands: list[list[str]] = []

    def start(command: list[str], **_: Any) -> Popen:
        commands.append(command)
        return Popen(says)

    monkeypatch.setattr(subprocess, "Popen", start)
    assert fence.leave_guard(Files(tmp_path / "g-n.json"), Found(stop.armed(moved, 5000), 7)) is up
    assert commands[0][1:] == ["-I", "-m", "agent.guard", str(tmp_path / "g-n.json"), "7"]


def test_a_guard_that_cannot_be_started_does_not_guard(
    stop: Stop, moved: MovedTime, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Then it is fenced at once."""

    def start(*_: Any, **__: Any) -> Popen:
        raise OSError(11, "no more processes")

    monkeypatch.setattr(subprocess, "Popen", start)
    assert not fence.leave_guard(Files(tmp_path / "g-n.json"), Found(stop.armed(moved, 5000), 7))


def test_each_node_is_fenced_and_one_failure_is_the_exit_code(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """0 when all are proven, 1 when one is not, 3 when there is no such configuration."""
    (tmp_path / "c.toml").write_text('group = "g"\nnode = "n"\n')
    outcomes = [fence.Outcome(True, "a"), fence.Outcome(False, "b"), fence.Outcome(True, "c")]
    monkeypatch.setattr(fence, "find", lambda *_: [Files(tmp_path / "1"), Files(tmp_path / "2")])
    monkeypatch.setattr(fence, "fence", lambda *_, **__: outcomes.pop(0))
    words = ["--local", "--config", str(tmp_path / "c.toml")]
    assert fence.main(words, {}) == 1
    assert capsys.readouterr().err == "nodeos-failover fence: a\nnodeos-failover fence: b\n"
    outcomes[:] = [fence.Outcome(True, "c")] * 2
    assert fence.main(words, {}) == 0

    def find(*_: Any) -> Any:
        raise ConfigError(["none"])

    monkeypatch.setattr(fence, "find", find)
    assert fence.main(words, {}) == 3
