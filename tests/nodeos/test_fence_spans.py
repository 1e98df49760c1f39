"""What each step of the fence is given of its time, what it closes, and what a setting is worth beside a listener."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.core.model.chain import ProcessId
from agent.errors import FenceError
from agent.host import process
from agent.host.deadline import Deadline
from agent.host.process import Held
from agent.net.endpoint import parse_endpoint
from agent.nodeos import finder as finding
from agent.nodeos import listener
from agent.nodeos.fence import KILL_S, LOOK_S, ProcessFence
from agent.nodeos.finder import FencePlan, Finder
from tests.support.children import IDLE, child
from tests.support.moved_time import MovedTime
from tests.support.recorder import Recorder

pytestmark = pytest.mark.usefixtures("no_leaks")
NODEOS = ProcessId(5, 77)
NOWHERE = "http://127.0.0.1:1"
US = ProcessId(os.getpid(), process.start_ticks(os.getpid()))
OUR_PROGRAM = str(Path("/proc/self/exe").readlink())


def near(seconds: float) -> object:
    """Return a figure to compare with."""
    return pytest.approx(seconds, abs=0.002)


def test_systemd_is_given_what_is_left(moved: MovedTime, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever was asked before it, its answer has to come before the deadline."""
    spans: list[float] = []

    def run(*_: Any, timeout: float, **__: Any) -> Any:
        spans.append(timeout)
        return subprocess.CompletedProcess((), 0, b"MainPID=0\nLoadState=loaded\nActiveState=inactive\n")

    monkeypatch.setattr(subprocess, "run", run)
    deadline = Deadline(2.0)
    moved.go(500)
    assert process.by_unit("nodeos.service", deadline) is None
    assert spans == [near(1.5)]


# --- ending ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch, moved: MovedTime) -> Any:
    """Return a nodeos that does not end, whatever is done; each call takes 10 ms, and each wait its time."""
    found = Recorder({"stopped": False, "wait_gone": False}, moved, takes_ms=10)
    found.id = NODEOS  # type: ignore[attr-defined]  # a recorder stands for anything

    def wait_gone(seconds: float) -> bool:
        found.calls.append(("wait_gone", (seconds,)))
        moved.sleep(seconds)
        return False

    found.wait_gone = wait_gone  # type: ignore[attr-defined]
    monkeypatch.setattr(process, "hold", lambda _wanted: found)
    return found


def waited(held: Any) -> list[float]:
    """Return how long its end was waited for."""
    return [arguments[0] for name, arguments in held.calls if name == "wait_gone"]


@pytest.mark.parametrize(
    ("term_s", "timeout_s", "spans"),
    [(0.5, 2.0, [0.5, 1.47]), (5.0, 1.0, [0.8, 0.17]), (0.0, 1.0, [0.99]), (1.0, KILL_S - 0.01, [KILL_S - 0.02])],
)
def test_sigterm_and_sigkill_share_one_deadline(
    held: Any, moved: MovedTime, term_s: float, timeout_s: float, spans: list[float]
) -> None:
    """R3: SIGTERM leaves SIGKILL its 0.2 s, and SIGKILL gets all that is left; then it is told, in time."""
    with pytest.raises(FenceError, match="still there after SIGKILL"):
        ProcessFence(FencePlan(NOWHERE), NODEOS).stop(term_s, timeout_s)
    assert waited(held) == [near(span) for span in spans]
    assert moved.passed_s <= timeout_s + 0.02
    sent = [arguments[0] for name, arguments in held.calls if name == "signal"]
    assert sent == [signal.SIGTERM, signal.SIGKILL][-len(spans) :]
    assert held.names[-1] == "close"


def test_a_stopped_nodeos_is_not_asked_first(held: Any) -> None:
    """A frozen process hears no SIGTERM: all of the time is for SIGKILL."""
    held.says["stopped"] = True
    with pytest.raises(FenceError):
        ProcessFence(FencePlan(NOWHERE), NODEOS).stop(1.0, 2.0)
    assert waited(held) == [near(1.98)]


def test_the_handle_is_closed_whatever_goes_wrong(held: Any) -> None:
    """Not allowed to signal, not allowed to end, a command that cannot be started: each lets go of the process."""
    for plan, says in (
        (FencePlan(NOWHERE), {"stopped": False, "signal": FenceError("no permission")}),
        (FencePlan(NOWHERE, enabled=False), {}),
        (FencePlan(NOWHERE, command=("/none/such",)), {}),
    ):
        held.says, held.calls[:] = says, []
        with pytest.raises(FenceError):
            ProcessFence(plan, NODEOS).stop(1.0, 2.0)
        assert held.names.count("close") == 1


class Command:
    """An operator's command that takes its time."""

    pid = 1 << 22

    def __init__(self, moved: MovedTime, takes_s: float) -> None:
        self.spans: list[float] = []
        self._moved, self._takes_s = moved, takes_s

    def wait(self, timeout: float) -> int:
        """Take it."""
        self.spans.append(timeout)
        self._moved.sleep(min(timeout, self._takes_s))
        if timeout < self._takes_s:
            raise subprocess.TimeoutExpired("x", timeout)
        return 0


def test_a_command_and_the_look_after_it_share_one_deadline(
    held: Any, moved: MovedTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R3: the command gets all of the time, and what it leaves is for nodeos to be seen gone."""
    command = Command(moved, 1.5)
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: command)
    with pytest.raises(FenceError, match="is still there"):
        ProcessFence(FencePlan(NOWHERE, command=("/x",)), NODEOS).stop(9.0, 2.0)
    assert command.spans == [near(2.0)]
    assert waited(held) == [near(0.5)]


def test_a_command_has_nothing_of_ours(held: Any, moved: MovedTime, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither our streams, which a hanging reader would block, nor our group, whose signals are not for it."""
    given: dict[str, Any] = {}

    def popen(command: Any, **more: Any) -> Command:
        given.update(more, command=command)
        return Command(moved, 0.1)

    monkeypatch.setattr(subprocess, "Popen", popen)
    monkeypatch.setenv("NODEOS_FAILOVER_ETCD__PASSWORD", "secret")
    with pytest.raises(FenceError):
        ProcessFence(FencePlan(NOWHERE, command=("/x", "y")), NODEOS).stop(9.0, 2.0)
    assert given["command"] == ("/x", "y")
    assert [given[name] for name in ("stdin", "stdout", "stderr")] == [subprocess.DEVNULL] * 3
    assert given["start_new_session"] is True
    assert "secret" not in given["env"].values()
    assert given["env"]["PATH"] == os.environ["PATH"]


def test_a_command_that_hangs_is_killed_with_its_group(
    held: Any, moved: MovedTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the deadline; it has 0.1 s to be gone, and then nodeos is looked at without a wait."""
    command, killed = Command(moved, 100.0), list[tuple[int, int]]()
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: command)
    monkeypatch.setattr(os, "killpg", lambda group, number: killed.append((group, number)))
    with pytest.raises(FenceError, match="did not end in time"):
        ProcessFence(FencePlan(NOWHERE, command=("/x",)), NODEOS).stop(9.0, 2.0)
    assert killed == [(command.pid, signal.SIGKILL)]
    assert command.spans == [near(2.0), near(0.1)]
    assert waited(held) == [0.0]


# --- finding ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def port() -> Iterator[int]:
    """Listen on a port: this process stands for nodeos."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def plan(port: int, **more: Any) -> FencePlan:
    """Return a plan by which this process is nodeos."""
    return FencePlan(f"http://127.0.0.1:{port}", executable=OUR_PROGRAM, **more)


@pytest.fixture
def pid_file(tmp_path: Path) -> str:
    """Write a pid file that names this process, new enough."""
    file = tmp_path / "pid"
    file.write_text(str(os.getpid()))
    return str(file)


def found(finder: Finder) -> ProcessId | None:
    """Look once, and let go of what was found."""
    held = finder.find(Deadline(LOOK_S))
    if held is None:
        return None
    held.close()
    return held.id


def hide(monkeypatch: pytest.MonkeyPatch, error: OSError) -> None:
    """Let nobody look at the open files of any process."""
    real = os.listdir

    def listdir(path: Any = ".") -> Any:
        if str(path).startswith("/proc/") and str(path).endswith("/fd"):
            raise error
        return real(path)

    monkeypatch.setattr(os, "listdir", listdir)


def test_a_listener_that_may_not_be_looked_at_is_untold(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of another user, it speaks neither for nor against anything, and above all it has not ended (R4)."""
    hide(monkeypatch, PermissionError(13, "no"))
    with pytest.raises(listener.Untold, match="may not be looked at"):
        found(Finder(plan(port), US))


def test_processes_that_ended_meanwhile_hide_nothing(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A listener without any process that could be looked at is in another container: an error, but not untold."""
    hide(monkeypatch, ProcessLookupError(3, "gone"))
    with pytest.raises(FenceError, match="another container") as caught:
        found(Finder(plan(port), US))
    assert not isinstance(caught.value, listener.Untold)


def test_a_pid_file_counts_where_the_listener_may_not_be_looked_at(
    port: int, pid_file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The setting is all that there is then, and it is new enough."""
    hide(monkeypatch, PermissionError(13, "no"))
    assert found(Finder(plan(port, pid_file=pid_file))) == US


def test_a_stale_pid_file_counts_for_nothing_where_the_listener_may_not_be_looked_at(
    port: int, pid_file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its pid may be another process's by now, and nothing else tells (R4)."""
    os.utime(pid_file, (0, 0))
    hide(monkeypatch, PermissionError(13, "no"))
    with pytest.raises(listener.Untold):
        found(Finder(plan(port, pid_file=pid_file)))


def test_a_stale_pid_file_counts_when_its_process_listens(port: int, pid_file: str) -> None:
    """A clock that was set made it look stale: what listens at nodeos's address agrees with it."""
    os.utime(pid_file, (0, 0))
    assert found(Finder(plan(port, pid_file=pid_file))) == US


@pytest.mark.parametrize(("age_s", "stale"), [(-60, False), (60, True)])
def test_a_pid_file_is_stale_when_its_process_began_later(tmp_path: Path, age_s: float, stale: bool) -> None:
    """By more than five seconds, by the clock of files (wall-clock seconds)."""
    file = tmp_path / "pid"
    file.write_text("1")
    began = file.stat().st_mtime - _age_s()
    os.utime(file, (0, began - age_s))
    assert process.is_stale(str(file), US) is stale


def _age_s() -> float:
    """Return for how many seconds this process has been running."""
    uptime = float(Path("/proc/uptime").read_text().split()[0])
    return uptime - US.start_ticks / os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize("holder", ["us", "another", "nobody", "no nodeos"])
def test_behind_a_forwarder_the_lock_of_the_database_must_not_contradict(
    port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, holder: str
) -> None:
    """R4: the setting names a nodeos that does not listen; a database that is another's says that it is wrong."""
    with child(IDLE) as other:
        pid_file = tmp_path / "nodeos.pid"
        pid_file.write_text(str(other.id.pid))
        held = {"us": other.id.pid, "another": os.getppid(), "no nodeos": os.getpid()}.get(holder)
        monkeypatch.setattr(process, "by_lock", lambda _path: process.hold_pid(held) if held else None)
        monkeypatch.setattr(Held, "runs", lambda found, _executable: found.id.pid != os.getpid())
        finder = Finder(FencePlan(f"http://127.0.0.1:{port}", pid_file=str(pid_file), data_dir="/x"))
        if holder == "another":
            with pytest.raises(FenceError, match="data_dir is of another"):
                found(finder)
        else:
            assert found(finder) == other.id


def test_looking_is_bounded_in_all(moved: MovedTime, monkeypatch: pytest.MonkeyPatch) -> None:
    """systemd, the resolver and the connection that may come about share two seconds: each gets what is left."""
    spans: list[float] = []

    def take(deadline_s: float) -> None:
        spans.append(deadline_s)
        moved.sleep(0.6)

    def run(*_: Any, timeout: float, **__: Any) -> Any:
        take(timeout)
        return subprocess.CompletedProcess((), 0, b"MainPID=0\nLoadState=loaded\nActiveState=inactive\n")

    class Names:
        def find(self, _host: str, _port: int, deadline: Deadline) -> list[Any]:
            take(deadline.remaining())
            return []

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(finding, "Resolver", Names)
    assert found(Finder(FencePlan(NOWHERE, unit="nodeos.service"), US)) == US
    assert spans == [near(2.0), near(1.4)]


def test_a_refusal_is_waited_for_as_long_as_is_left(monkeypatch: pytest.MonkeyPatch, moved: MovedTime) -> None:
    """A host that answers nothing costs what is left, not the whole; one that is over costs a millisecond."""
    spans: list[float] = []
    monkeypatch.setattr(socket.socket, "settimeout", lambda _sock, seconds: spans.append(seconds))
    for ahead_ms in (0, 300, 600):
        deadline = Deadline(0.5)
        moved.go(ahead_ms)
        listener.see_that_nobody_answers(parse_endpoint(NOWHERE), _names(), deadline)
    assert spans == [near(0.5), near(0.2), near(0.001)]


def _names() -> Any:
    return Recorder({"find": [[(socket.AF_INET, ("127.0.0.1", 1))]]})
