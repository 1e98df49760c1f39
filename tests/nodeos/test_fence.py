"""Ending nodeos, on real processes: whatever the way, only a process that was seen to be gone counts (R3, R4)."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.core.model.chain import ProcessId
from agent.errors import FenceError
from agent.host.process import Held
from agent.nodeos import listener as listeners
from agent.nodeos.fence import ProcessFence
from tests.support.children import IDLE, STUBBORN, await_end, child, ident, listener, plan, state_of, wait_until
from tests.support.slack import within

pytestmark = [pytest.mark.real, pytest.mark.usefixtures("no_leaks")]
NOWHERE = "http://127.0.0.1:1"


def fence(known: ProcessId | None = None, url: str = NOWHERE, **more: object) -> ProcessFence:
    """Return a fence that knows the process already, as it does once it was found."""
    return ProcessFence(plan(url, **more), known)


@pytest.fixture
def script(tmp_path: Path) -> Callable[[str], tuple[str, ...]]:
    """Write a command of the operator."""

    def write(text: str) -> tuple[str, ...]:
        file = tmp_path / "fence.sh"
        file.write_text(f"#!/bin/sh\n{text}\n")
        file.chmod(0o755)
        return (str(file),)

    return write


# --- by signals ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("term_s", "number"), [(1.0, signal.SIGTERM), (0.0, signal.SIGKILL)])
def test_sigterm_comes_first(term_s: float, number: signal.Signals) -> None:
    """With time for it nodeos is asked to end, for a killed one needs a replay; `term_s` 0 means no SIGTERM at all."""
    with child(IDLE) as nodeos:
        assert fence(nodeos.id).stop(term_s, 2.0) == f"ended by {number.name}"
        assert nodeos.popen.wait(1) == -number


def test_one_that_ignores_sigterm_is_killed() -> None:
    """After `term_s` seconds without an end, SIGKILL."""
    with child(STUBBORN) as nodeos:
        begin = time.monotonic()
        assert fence(nodeos.id).stop(0.3, 2.0) == "ended by SIGKILL"
        assert 0.3 <= time.monotonic() - begin < 1.9
        assert nodeos.popen.wait(1) == -signal.SIGKILL


def test_sigkill_gets_its_share_of_the_deadline() -> None:
    """A grace as long as the whole deadline leaves time to kill, and to see it gone."""
    with child(STUBBORN) as nodeos, within(0.6):
        assert fence(nodeos.id).stop(0.6, 0.6) == "ended by SIGKILL"


def test_a_frozen_one_is_killed_at_once() -> None:
    """A stopped process does not hear SIGTERM, and would sign its open block when it thaws."""
    with child(IDLE) as nodeos:
        os.kill(nodeos.id.pid, signal.SIGSTOP)
        wait_until(lambda: state_of(nodeos.id.pid) == "T")
        begin = time.monotonic()
        assert fence(nodeos.id).stop(5.0, 6.0) == "ended by SIGKILL"
        assert time.monotonic() - begin < 4.0


def test_an_unreaped_child_counts_as_gone() -> None:
    """A zombie is gone; its parent may take its time."""
    with child(IDLE) as nodeos:
        os.kill(nodeos.id.pid, signal.SIGKILL)
        wait_until(lambda: state_of(nodeos.id.pid) == "Z")
        assert fence(nodeos.id).stop(1.0, 2.0) == "was gone already"


def test_one_that_is_gone_was_gone() -> None:
    """Nothing is done about a process that ended before."""
    with child(IDLE) as nodeos:
        nodeos.popen.kill()
        nodeos.popen.wait()
        assert fence(nodeos.id).stop(1.0, 2.0) == "was gone already"


def test_a_later_process_of_the_same_pid_is_left_alone() -> None:
    """The process that was known is gone, its pid is somebody else's now: that one lives on."""
    with child(IDLE) as other:
        gone = ProcessId(other.id.pid, other.id.start_ticks - 1)
        assert fence(gone).stop(0.5, 1.0) == "was gone already"
        assert other.alive


def test_the_process_that_was_found_last_is_the_one() -> None:
    """Finding remembers: the fence does not have to look again when every millisecond counts."""
    with listener() as nodeos:
        here = fence(url=f"http://127.0.0.1:{nodeos.said}")
        held = here.find()
        assert held is not None
        begin = time.monotonic()
        assert here.stop(0.0, 1.0) == "ended by SIGKILL"
        assert time.monotonic() - begin < 1.0
        assert held.wait_gone(0.0)
        held.close()
        assert here.find() is None
        assert here.stop(0.0, 1.0) == "was gone already"


def test_without_having_found_it_the_fence_looks() -> None:
    """A fence that was never asked to find nodeos finds it then."""
    with listener() as nodeos:
        assert fence(url=f"http://127.0.0.1:{nodeos.said}").stop(0.0, 1.0) == "ended by SIGKILL"


def test_one_that_begins_to_listen_between_two_looks_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A nodeos that starts is found, though it did not listen yet at the first look and answered right after it."""
    looks: list[int] = []
    real = listeners.listeners

    def late(*arguments: Any) -> list[Held]:
        looks.append(1)
        return real(*arguments) if len(looks) > 1 else []

    monkeypatch.setattr("agent.nodeos.finder.listener.listeners", late)
    with listener() as nodeos:
        assert ident(fence(url=f"http://127.0.0.1:{nodeos.said}").find()) == nodeos.id


def test_one_that_may_not_be_signalled_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without permission nothing was ended, and the error says what to do."""

    def refuse(_fd: int, _number: int) -> None:
        raise PermissionError

    with child(IDLE) as nodeos:
        monkeypatch.setattr(signal, "pidfd_send_signal", refuse)
        with pytest.raises(FenceError, match="CAP_KILL"):
            fence(nodeos.id).stop(0.0, 0.5)


def test_one_that_does_not_end_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that hangs in the kernel is still there after SIGKILL: no success is told, and in time."""
    with child(IDLE) as nodeos:
        monkeypatch.setattr(signal, "pidfd_send_signal", lambda _fd, _number: None)
        with within(0.4, least=0.4), pytest.raises(FenceError, match="still there"):
            fence(nodeos.id).stop(0.1, 0.4)


def test_method_none_ends_nothing() -> None:
    """The operator forbade it: nodeos lives, and that is an error that says so."""
    with child(IDLE) as nodeos:
        with pytest.raises(FenceError, match=r"fence\.method is none"):
            fence(nodeos.id, enabled=False).stop(0.0, 1.0)
        assert nodeos.alive
        nodeos.popen.kill()
        nodeos.popen.wait()
        assert fence(nodeos.id, enabled=False).stop(0.0, 1.0) == "was gone already"


# --- by command ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [0, 3])
def test_a_command_that_ends_nodeos_counts(script: Callable[[str], tuple[str, ...]], code: int) -> None:
    """The command decides how; that the process is gone decides whether, whatever the command says of itself."""
    with child(IDLE) as nodeos:
        command = script(f"kill -9 {nodeos.id.pid}; exit {code}")
        assert fence(nodeos.id, command=command).stop(1.0, 2.0) == f"ended by fence.command (exit code {code})"


@pytest.mark.parametrize("code", [0, 1])
def test_a_command_that_leaves_nodeos_alive_is_an_error(script: Callable[[str], tuple[str, ...]], code: int) -> None:
    """Success by its own word is none while the process is there."""
    with child(IDLE) as nodeos:
        with within(0.4), pytest.raises(FenceError, match="still there"):
            fence(nodeos.id, command=script(f"exit {code}")).stop(1.0, 0.4)
        assert nodeos.alive


def test_a_command_that_hangs_is_ended_with_all_it_started(
    script: Callable[[str], tuple[str, ...]], tmp_path: Path
) -> None:
    """At the deadline its whole process group goes, and nothing is called done."""
    with child(IDLE) as nodeos:
        with within(0.4):
            command = script(f"sleep 60 & echo $! $$ > {tmp_path}/pids; wait")
            with pytest.raises(FenceError, match="did not end in time"):
                fence(nodeos.id, command=command).stop(1.0, 0.4)
        assert nodeos.alive
    for pid in map(int, (tmp_path / "pids").read_text().split()):
        await_end(pid)


def test_a_command_that_hangs_after_the_end_counts(script: Callable[[str], tuple[str, ...]]) -> None:
    """The process is gone though the command goes on: the proof stands."""
    with child(IDLE) as nodeos:
        command = script(f"kill -9 {nodeos.id.pid}; sleep 60")
        with within(0.4):
            assert "did not end in time" in fence(nodeos.id, command=command).stop(1.0, 0.4)


def test_a_command_that_cannot_be_started_is_an_error(tmp_path: Path) -> None:
    """A command that is gone since the start, or no program at all."""
    with child(IDLE) as nodeos:
        with pytest.raises(FenceError, match=r"fence\.command .*could not be started"):
            fence(nodeos.id, command=(str(tmp_path / "none"),)).stop(1.0, 1.0)
        assert nodeos.alive


@pytest.mark.parametrize("url", [NOWHERE, "http://192.0.2.1:8888"])
def test_where_nodeos_cannot_be_seen_the_command_is_believed(
    script: Callable[[str], tuple[str, ...]], tmp_path: Path, url: str
) -> None:
    """A nodeos that is not found here (another container, another host) is what the command is for."""
    command = script(f"echo ran >> {tmp_path}/log; exit $(cat {tmp_path}/code)")
    (tmp_path / "code").write_text("0")
    assert fence(url=url, command=command).stop(1.0, 2.0) == "ended by fence.command (exit code 0)"
    (tmp_path / "code").write_text("7")
    with pytest.raises(FenceError, match="ended with 7"):
        fence(url=url, command=command).stop(1.0, 2.0)
    assert (tmp_path / "log").read_text() == "ran\nran\n"


def test_a_command_gets_none_of_our_settings(
    script: Callable[[str], tuple[str, ...]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Secrets may stand in our environment; a command has no need of them."""
    monkeypatch.setenv("NODEOS_FAILOVER_ETCD__PASSWORD", "hidden")
    monkeypatch.setenv("OF_THE_HOST", "kept")
    fence(command=script(f"env > {tmp_path}/env")).stop(1.0, 2.0)
    seen = (tmp_path / "env").read_text()
    assert "hidden" not in seen
    assert "OF_THE_HOST=kept" in seen


def test_a_command_cannot_be_reached_through_our_group(script: Callable[[str], tuple[str, ...]]) -> None:
    """Ctrl-C in the agent's terminal is not for the command: it has a session of its own."""
    with child(IDLE) as nodeos:
        command = script(f"[ $(ps -o sid= -p $$) = $$ ] && kill -9 {nodeos.id.pid}")
        if subprocess.run(["sh", "-c", "command -v ps"], capture_output=True).returncode:
            pytest.skip("no ps here")
        assert fence(nodeos.id, command=command).stop(1.0, 2.0) == "ended by fence.command (exit code 0)"
