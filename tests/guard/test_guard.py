"""The guard, as its own process, with a real run-time file and a real nodeos process: it stops what the agent cannot.

nodeos is a small HTTP server here, so that it can lie; the real one is guarded in tests/e2e.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.core.model.chain import ProcessId
from agent.guard.guard import LOOK_S, Guard
from agent.guard.stop import means_of, stop_other
from agent.host.clock import boot_id, boot_ms
from tests.support.children import state_of, wait_until
from tests.support.guard_bench import LATE_MS, PAUSE_MS, Bench
from tests.support.odd_files import put

pytestmark = pytest.mark.real


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """Yield a bench that ends all it started."""
    with ExitStack() as closing:
        yield Bench(tmp_path, closing)


# --- when ------------------------------------------------------------------------------------------------------------


def test_it_acts_at_stop_by_and_not_before(bench: Bench) -> None:
    """At V - A the guard pauses nodeos, sees it paused, and lets it live (R3)."""
    nodeos = bench.start_nodeos()
    bench.start_guard()
    record = bench.save(bench.record(800))
    wait_until(lambda: bench.asked("paused"))
    (at,) = bench.asked()
    assert record.stop_by <= at < record.stop_by + LATE_MS
    time.sleep(1.5 * LOOK_S)
    assert nodeos.alive
    assert len(bench.asked()) == 1, "a confirmation is acted upon once"


def test_a_confirmation_puts_it_off(bench: Bench) -> None:
    """Each confirmation moves the time; when they end, the last one counts (R1, R3)."""
    bench.start_nodeos()
    bench.start_guard()
    for _ in range(6):
        record = bench.save(bench.record(700))
        time.sleep(0.2)
    assert not bench.asked()
    wait_until(bench.asked)
    assert record.stop_by <= bench.asked()[0] < record.stop_by + LATE_MS


@pytest.mark.parametrize("what", ["nothing", "stopped", "another boot", "removed"])
def test_what_is_not_held_is_not_guarded(bench: Bench, what: str) -> None:
    """A tenure that was proven stopped, one of another boot, and none at all, are no reason to touch nodeos."""
    nodeos = bench.start_nodeos()
    if what == "stopped":
        bench.save(bench.record(-100, state="stopped"))
    elif what == "another boot":
        bench.save(bench.record(-100, boot_id="another"))
    elif what == "removed":
        bench.save(bench.record(100_000))
        bench.file.remove()
    bench.start_guard()
    time.sleep(1.5 * LOOK_S)
    assert not bench.asked()
    assert nodeos.alive


def test_stopping_is_guarded_like_held(bench: Bench) -> None:
    """An agent that began to stop may hang in it: only a proven stop ends the guarding (R3)."""
    bench.start_nodeos()
    bench.start_guard()
    bench.save(bench.record(100, state="stopping"))
    wait_until(bench.asked)


@pytest.mark.parametrize("kind", ["pipe", "device", "huge"])
def test_what_stands_in_the_place_of_the_file_for_a_moment_does_not_end_the_guarding(bench: Bench, kind: str) -> None:
    """A guard that waits for the writer of a pipe guards no more when the file is back, and nobody sees it (R3)."""
    bench.start_nodeos()
    pid = bench.start_guard()
    put(kind, bench.file.path)
    time.sleep(1.5 * LOOK_S)
    record = bench.save(bench.record(800))
    wait_until(bench.asked)
    assert record.stop_by <= bench.asked()[0] < record.stop_by + LATE_MS
    assert int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") < 100 << 20


def test_a_storm_of_signals_does_not_end_the_guarding(bench: Bench) -> None:
    """Whatever an operator sends to all that is called nodeos-failover: the guard ends with its agent alone (R3)."""
    bench.start_nodeos()
    pid = bench.start_guard()
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM) * 30:
        os.kill(pid, number)
    bench.save(bench.record(300))
    wait_until(bench.asked)
    assert bench.guard.pid == pid


def test_a_guard_that_is_stopped_is_replaced(bench: Bench) -> None:
    """One that SIGSTOP holds guards nothing, should the agent die later; the agent sees it, and starts another (R3)."""
    bench.start_nodeos()
    pid = bench.start_guard()
    os.kill(pid, signal.SIGSTOP)

    def replaced() -> bool:
        bench.guard.ensure()  # once a second in an agent
        return bench.guard.pid not in (None, pid)

    wait_until(replaced)
    assert state_of(pid) == ""
    bench.save(bench.record(300))
    wait_until(bench.asked)


# --- how -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["hangs", "lies", "refuses", "babbles"])
def test_a_pause_that_proves_nothing_is_followed_by_the_kill(bench: Bench, how: str) -> None:
    """No answer, a refusal, nonsense, or a nodeos that says it is not paused: the process goes, in time (R3)."""
    bench.start_nodeos(how)
    bench.start_guard()
    record = bench.save(bench.record(400))
    wait_until(bench.gone)
    assert boot_ms() - record.stop_by < 2 * PAUSE_MS + LATE_MS
    assert bench.asked()


def test_with_a_gate_that_is_required_nobody_is_killed(bench: Bench) -> None:
    """R3: the gate signs nothing from V - G on: the guard pauses, again and again, and ends no process."""
    nodeos = bench.start_nodeos("refuses")
    bench.start_guard()
    record = bench.save(bench.record(300, resume_open=True), gated=True)
    wait_until(lambda: len(bench.asked()) >= 3)
    assert bench.asked()[0] >= record.stop_by
    assert nodeos.alive


def test_while_a_resume_is_open_a_pause_proves_nothing(bench: Bench) -> None:
    """An unanswered resume may act after any pause: only the end of the process is a proof (R4)."""
    bench.start_nodeos()
    bench.start_guard()
    record = bench.save(bench.record(300, resume_open=True))
    wait_until(bench.gone)
    assert record.stop_by <= boot_ms() < record.stop_by + LATE_MS


def test_another_process_of_the_pid_is_left_alone(bench: Bench) -> None:
    """The nodeos of the record is gone, and its pid is somebody else's: that one is not killed."""
    nodeos = bench.start_nodeos("hangs")
    pid = bench.start_guard()
    bench.save(bench.record(100, process=replace(nodeos.id, start_ticks=nodeos.id.start_ticks - 1)))
    wait_until(bench.asked)
    bench.guard.close()
    wait_until(lambda: bench.guard.pid is None)
    assert state_of(pid) == ""
    assert nodeos.alive


@pytest.mark.parametrize("process", [None, ProcessId(0, 0)])
def test_a_process_that_was_not_known_is_looked_for(bench: Bench, process: ProcessId | None) -> None:
    """Where the agent could not name the process the guard looks for it by itself."""
    bench.start_nodeos("hangs")
    bench.start_guard()
    bench.save(bench.record(100, process=process))
    wait_until(bench.gone)


def test_the_operators_command_is_used_and_gets_plain_signals(bench: Bench, tmp_path: Path) -> None:
    """fence.command is run by the guard as by the agent; what the guard ignores the command does not."""
    nodeos = bench.start_nodeos("hangs")
    bench.start_guard()
    script = f"grep -E 'Sig(Ign|Cgt)' /proc/self/status > {tmp_path}/signals; kill -9 {nodeos.id.pid}"
    bench.save(bench.record(100), command=("/bin/sh", "-c", script))
    wait_until(bench.gone)
    ignored = (tmp_path / "signals").read_text().split()[1]
    assert not int(ignored, 16) >> (signal.SIGTERM - 1) & 1


def test_it_goes_on_until_nodeos_is_stopped(bench: Bench) -> None:
    """When nodeos neither pauses nor may be ended the guard says so, and tries again and again (R3)."""
    bench.start_nodeos("refuses")
    bench.start_guard()
    bench.save(bench.record(100), enabled=False)
    wait_until(lambda: len(bench.asked()) >= 3)
    bench.save(bench.record(-1))  # the same again, and now it may be ended
    wait_until(bench.gone)


@pytest.mark.parametrize("news", ["renewed", "stopped", "removed"])
def test_news_that_come_during_the_pause_spare_the_process(bench: Bench, news: str) -> None:
    """A confirmation or a proven stop that is written while a pause hangs: there is no reason to kill any more."""
    nodeos = bench.start_nodeos("hangs a second")
    bench.start_guard()
    record = bench.save(bench.record(200))
    wait_until(bench.asked)
    if news == "renewed":
        bench.save(replace(record, stop_by=record.stop_by + 60_000, valid_until=record.valid_until + 60_000))
    elif news == "stopped":
        bench.save(replace(record, state="stopped"))
    else:
        bench.file.remove()
    time.sleep((PAUSE_MS + LATE_MS) / 1000)
    assert nodeos.alive


# --- its life --------------------------------------------------------------------------------------------------------


def test_it_acts_when_the_agent_is_dead(bench: Bench) -> None:
    """The end of the agent changes nothing before its confirmation runs out; then the guard acts, and ends (R3)."""
    nodeos = bench.start_nodeos("hangs")
    bench.start_guard()
    record = bench.save(bench.record(900))
    bench.guard.close()
    wait_until(bench.gone)
    assert record.stop_by <= bench.asked()[0] < record.stop_by + LATE_MS
    wait_until(lambda: bench.guard.pid is None)
    assert not nodeos.alive


def test_it_leaves_a_new_agent_alone(bench: Bench) -> None:
    """A new agent that wrote the file has a guard of its own: the old one ends, without a pause that nobody expects."""
    bench.start_nodeos()
    bench.start_guard()
    record = bench.save(bench.record(1500))
    bench.guard.close()
    time.sleep(0.2)
    assert bench.guard.pid is not None
    bench.save(replace(record, agent_pid=os.getpid() + 1))
    wait_until(lambda: bench.guard.pid is None, LOOK_S + 1)
    assert boot_ms() < record.stop_by + LATE_MS
    assert not bench.asked()


@pytest.mark.parametrize("what", ["nothing", "stopped", "removed"])
def test_it_ends_when_there_is_nothing_to_guard(bench: Bench, what: str) -> None:
    """An agent that ended well leaves nothing behind, its guard neither."""
    if what != "nothing":
        bench.save(bench.record(100_000))
    bench.start_guard()
    if what == "stopped":
        bench.save(bench.record(100_000, state="stopped"))
    elif what == "removed":
        bench.file.remove()
    bench.guard.close()
    wait_until(lambda: bench.guard.pid is None, LOOK_S + 1)


def test_a_file_that_vanishes_is_no_proof(bench: Bench) -> None:
    """Somebody else took the run-time file away (its directory was cleaned) under a dead agent: the guard remembers."""
    bench.start_nodeos()
    bench.start_guard()
    record = bench.save(bench.record(1000))
    time.sleep(1.2 * LOOK_S)
    bench.file.path.unlink()
    bench.guard.close()
    wait_until(bench.asked)
    assert record.stop_by <= bench.asked()[0]
    wait_until(lambda: bench.guard.pid is None)


def test_signals_do_not_end_it(bench: Bench) -> None:
    """systemd ends a service by SIGTERM to all of it, a terminal by SIGINT or SIGHUP: none is for the guard."""
    bench.start_nodeos()
    pid = bench.start_guard()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        os.kill(pid, number)
    bench.save(bench.record(300))
    wait_until(bench.asked)


def test_a_reader_of_its_words_that_hangs_does_not_hold_it_up(bench: Bench) -> None:
    """Standard error may be a pipe that nobody empties: the guard acts on the next tenure all the same."""
    nodeos = bench.start_nodeos()
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    while select.select([], [write_end], [], 0)[1]:
        os.write(write_end, b"x" * 4096)
    os.set_blocking(write_end, True)
    command = [sys.executable, "-m", "agent.guard", str(bench.file.path), str(os.getpid())]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=write_end) as guard:
        try:
            for turn in range(3):
                bench.save(bench.record(0, epoch=turn))
                wait_until(lambda turn=turn: len(bench.asked()) > turn)  # type: ignore[misc] # mypy: lambdas with defaults
            bench.save(bench.record(0, state="stopped"))
            assert guard.stdin is not None
            guard.stdin.close()
            assert guard.wait(5) == 0
        finally:
            guard.kill()
            os.close(read_end)
            os.close(write_end)
    assert nodeos.alive


# --- what it reads ---------------------------------------------------------------------------------------------------


def broken(good: bytes) -> Iterator[bytes]:
    """Yield contents that somebody might write by mistake, each near a good one."""
    whole: dict[str, Any] = json.loads(good)
    value: Any
    yield from (b"", b"{", b"null", b"[]", b'"x"', b"\xff\xfe", b"[" * 100_000, b"x" * 1_000_000, good[:-1])
    for name in whole:
        for value in (None, -1, 1e400, "x", [], {}, 10**30):
            yield json.dumps({**whole, name: value}).encode()
        yield json.dumps({key: value for key, value in whole.items() if key != name}).encode()
    for name in whole["guard"]:
        for value in (None, -1, 1e400, "x", [], 5, 10**30):
            yield json.dumps({**whole, "guard": {**whole["guard"], name: value}}).encode()
    for name in whole["guard"]["plan"]:
        for value in (None, 5, "x", [5], {}):
            plan = {**whole["guard"]["plan"], name: value}
            yield json.dumps({**whole, "guard": {**whole["guard"], "plan": plan}}).encode()


def test_nothing_in_the_file_ends_it(bench: Bench, capfd: pytest.CaptureFixture[str]) -> None:
    """Whatever stands in the file, each look comes to an end with the time of the next."""
    bench.save(bench.record(-1), enabled=False)
    good = bench.file.path.read_bytes()
    for content in broken(good):
        guard = Guard(bench.file.path, os.getpid())
        bench.file.path.write_bytes(content)
        wait = guard.look()
        guard._voice.end()
        assert wait is not None, content
        assert 0 <= wait <= LOOK_S, content
    assert "cannot be read" in capfd.readouterr().err


def test_a_running_guard_survives_a_broken_file(bench: Bench) -> None:
    """After a broken content the guard goes on with the next good one."""
    bench.start_nodeos()
    pid = bench.start_guard()
    bench.locked.save(b"[" * 100_000)
    time.sleep(1.2 * LOOK_S)
    assert state_of(pid) in "SR"
    bench.save(bench.record(100))
    wait_until(bench.asked)


@pytest.mark.parametrize("broken_how", ["unreadable", "malformed"])
def test_what_it_read_last_counts(bench: Bench, monkeypatch: pytest.MonkeyPatch, broken_how: str) -> None:
    """With the agent dead a file that cannot be read for once does not end the guard: it goes on with what it knew."""
    bench.save(bench.record(60_000))
    guard = Guard(bench.file.path, os.getpid())
    assert guard.look()
    guard.agent_lives = False
    if broken_how == "malformed":
        bench.locked.save(b"{")
    else:

        def no_descriptor(_path: Path) -> bytes:
            raise OSError(24, "Too many open files")

        monkeypatch.setattr(Path, "read_bytes", no_descriptor)
    assert guard.look() == LOOK_S
    guard._voice.end()


# --- what it costs ---------------------------------------------------------------------------------------------------


def test_what_it_costs(bench: Bench, record_property: Any) -> None:
    """It starts in well under a second, and takes little memory and next to no processor time when idle."""
    begin = time.monotonic()
    pid = bench.start_guard()
    start_s = time.monotonic() - begin
    bench.save(bench.record(600_000))
    status = Path(f"/proc/{pid}/status").read_text()
    rss_mib = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) / 1024
    before = _cpu_s(pid)
    time.sleep(2.0)
    cpu = (_cpu_s(pid) - before) / 2.0
    record_property("guard", f"start {start_s * 1000:.0f} ms, {rss_mib:.1f} MiB, {cpu:.1%} of a core when idle")
    assert start_s < 2.0
    assert rss_mib < 30
    assert cpu < 0.05


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# --- starting it -----------------------------------------------------------------------------------------------------


def test_a_guard_that_ended_is_started_again(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """The agent looks after its guard: one that was killed is replaced, and that is logged."""
    first = bench.start_guard()
    bench.guard.ensure()
    assert bench.guard.pid == first
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: bench.guard.pid is None)
    assert state_of(first) == "", "no zombie stays behind"
    second = bench.start_guard()
    assert second != first
    assert "the guard ended with -9" in caplog.text


def test_after_the_end_no_guard_is_started(bench: Bench) -> None:
    """Whoever still looks after the guard when the agent ends does not start another."""
    bench.start_guard()
    bench.guard.close()
    wait_until(lambda: bench.guard.pid is None)
    bench.guard.ensure()
    assert bench.guard.pid is None


def test_a_signal_to_our_group_is_not_for_it(bench: Bench) -> None:
    """The guard has a session of its own."""
    pid = bench.start_guard()
    assert os.getsid(pid) == pid


def test_it_does_not_keep_the_lock(bench: Bench) -> None:
    """While the guard outlives the agent a new agent can take the lock of the run-time file."""
    pid = bench.start_guard()
    links = {str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir()}
    assert not any(link.startswith(str(bench.file.path.parent)) for link in links), links


# --- another nodeos than ours ----------------------------------------------------------------------------------------


def test_the_nodeos_that_was_led_with_is_stopped_if_it_is_another(bench: Bench) -> None:
    """R4: by the means in the run-time file, for a pause of ours does not reach it; ours is not touched."""
    bench.start_nodeos()
    bench.save(bench.record(60_000))
    led, log = bench.nodeos, bench.log
    bench.log = log.with_name("ours.log")
    bench.start_nodeos()
    how = stop_other(bench.file.path, boot_id(), means_of(bench.plan()))
    assert how == "nodeos is paused"
    assert led is not None
    assert led.alive
    assert not bench.asked()
    bench.log = log
    assert bench.asked()


@pytest.mark.parametrize("what", ["the same address", "the same process", "none led", "another boot", "damaged"])
def test_a_nodeos_that_is_ours_goes_on(bench: Bench, what: str) -> None:
    """P3: a restart costs no block, also where nodeos is asked at another address since; nor does a file of nobody."""
    bench.start_nodeos()
    bench.save(bench.record(60_000, **{"boot_id": "another"} if what == "another boot" else {}))
    if what == "none led":
        bench.file.remove()
    elif what == "damaged":
        bench.file.path.write_bytes(b"{")
    ours = bench.plan()
    if what != "the same address":
        ours["guard"] |= {"producer_url": "http://127.0.0.1:1"}
    assert stop_other(bench.file.path, boot_id(), means_of(ours)) == ""
    assert not bench.asked()
