"""`fence --local` as a process of its own, beside a nodeos that may lie: proven stopped, or ended, within its time."""

from __future__ import annotations

import os
import resource
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

from agent.core.leadership.timing import FENCE_START
from agent.core.model.chain import ProcessId
from agent.host import page as pages
from agent.host.clock import boot_ms
from agent.host.paths import Files, save_plan, save_refusal
from tests.lab.process import pids_of
from tests.support.children import PROGRAM, state_of, wait_until
from tests.support.guard_bench import BLOCK_MS, KILL_MS, LATE_MS, PAUSE_MS, Bench

pytestmark = pytest.mark.real
HEAVY = {"click", "pydantic", "pydantic_settings", "grpc", "google", "etcd3", "requests", "rich", "prometheus_client"}


class Fencing:
    """A bench, and the command beside it."""

    def __init__(self, bench: Bench, root: Path) -> None:
        self.bench = bench
        self.config = root / "agent.toml"
        self.config.write_text('group = "group"\nnode = "a"\n')
        self.env = {"PATH": os.environ["PATH"], "RUNTIME_DIRECTORY": str(bench.file.path.parent)}
        self.words = root / "words"
        self.took_ms = 0

    def run(self, *more: str, limit_s: float = 10.0) -> tuple[int, str]:
        """Run it; return its exit code and its words."""
        command = [sys.executable, "-m", "agent", "fence", "--local", "--config", str(self.config), *more]
        begin = boot_ms()
        with self.words.open("wb") as words:  # no pipe: a guard that is left behind keeps it open
            done = subprocess.run(command, env=self.env, stderr=words, timeout=limit_s, check=False)
        self.took_ms = boot_ms() - begin
        return done.returncode, self.words.read_text()

    def plan(self, **plan: Any) -> None:
        """Leave a plan file, as an agent does at its start."""
        save_plan(self.bench.file.path, self.bench.plan(**plan))


@pytest.fixture
def fencing(tmp_path: Path) -> Iterator[Fencing]:
    """Yield a bench and the command; everything ends with the test."""
    with ExitStack() as closing:
        bench = Bench(tmp_path, closing)
        (tmp_path / "run" / "group-a.lock").unlink()  # of the bench, as if its agent were gone
        yield Fencing(bench, tmp_path)


def test_nodeos_of_an_agent_that_refused_to_start_is_left_alone(fencing: Fencing) -> None:
    """P2: it is another agent's, which may lead with it; an operator who asks has it paused, and so a tenure (R3)."""
    fencing.bench.start_nodeos()
    save_refusal(fencing.bench.file.path, "bp-a governs the same nodeos")
    code, words = fencing.run("--restart")
    assert code == 0
    assert "nodeos is left alone" in words
    assert "bp-a governs the same nodeos" in words
    assert not fencing.bench.asked()
    fencing.bench.save(fencing.bench.record(60_000, state="stopping"))
    code, _ = fencing.run("--restart")
    assert code == 0
    assert fencing.bench.asked()


# --- now -------------------------------------------------------------------------------------------------------------


def test_it_pauses_and_proves_at_once(fencing: Fencing) -> None:
    """A tenure that still holds is stopped at once, by a pause, the block in flight included (R3, R4)."""
    nodeos = fencing.bench.start_nodeos()
    fencing.bench.save(fencing.bench.record(60_000))
    code, words = fencing.run()
    assert (code, nodeos.alive) == (0, True)
    assert "nodeos is paused" in words
    assert fencing.bench.asked()
    assert fencing.bench.asked("paused")
    assert boot_ms() - fencing.bench.asked()[0] >= BLOCK_MS, "the block in flight is over"


@pytest.mark.parametrize("how", ["hangs", "lies", "refuses", "babbles"])
def test_what_cannot_be_paused_is_ended(fencing: Fencing, how: str) -> None:
    """A nodeos that proves nothing is ended by the end of the validity: its start, P and K (R3)."""
    fencing.bench.start_nodeos(how)
    record = fencing.bench.save(fencing.bench.record(0))
    assert fencing.run()[0] == 0
    assert fencing.bench.gone()
    assert boot_ms() < record.valid_until + LATE_MS
    assert fencing.took_ms < FENCE_START + PAUSE_MS + KILL_MS + LATE_MS


def test_it_gives_nodeos_time_to_close_its_database(fencing: Fencing) -> None:
    """While the confirmation leaves time for it SIGTERM comes first: a nodeos that is killed has to replay."""
    fencing.bench.start_nodeos("hangs")
    fencing.bench.save(fencing.bench.record(60_000))
    assert "SIGTERM" in fencing.run()[1]
    assert fencing.bench.gone()


@pytest.mark.parametrize("more", [(), ("--restart",)])
@pytest.mark.parametrize("resume_open", [True, False])
def test_a_tenure_with_a_torn_page_is_a_tenure(fencing: Fencing, resume_open: bool, more: tuple[str, ...]) -> None:
    """R3, R4: an agent killed in the middle of a write leaves a whole file, which tells what to stop."""
    fencing.bench.start_nodeos()
    record = fencing.bench.save(fencing.bench.record(1500, resume_open=resume_open))
    page = fencing.bench.page.page
    torn = replace(page, sequence=page.sequence + 1, stop_by=page.stop_by + 60_000)
    fencing.bench.page.path.write_bytes(pages.pack(torn))
    code, words = fencing.run(*more)
    assert code == 0
    if resume_open:
        assert fencing.bench.gone(), "a pause proves nothing"
        return
    assert ("may go on" in words) == bool(more)
    wait_until(lambda: bool(fencing.bench.asked()))
    assert fencing.bench.asked()[0] < record.valid_until + LATE_MS


def test_while_a_resume_is_open_a_pause_proves_nothing(fencing: Fencing) -> None:
    """The agent died with a resume under way, which may act after any pause: the process goes (R4)."""
    fencing.bench.start_nodeos()
    fencing.bench.save(fencing.bench.record(60_000, resume_open=True))
    assert fencing.run()[0] == 0
    assert fencing.bench.gone()


def test_what_it_cannot_stop_it_says(fencing: Fencing) -> None:
    """With fence.method = "none" nodeos stays, and the exit code tells the supervisor so."""
    nodeos = fencing.bench.start_nodeos("hangs")
    fencing.bench.save(fencing.bench.record(0), enabled=False)
    code, words = fencing.run()
    assert code == 1
    assert "could NOT be stopped" in words
    assert nodeos.alive


def test_a_nodeos_that_is_gone_needs_nothing(fencing: Fencing) -> None:
    """The process that led is gone already, and so is every proof to give."""
    fencing.bench.save(fencing.bench.record(0, process=ProcessId(4_000_000, 1)))
    code, words = fencing.run()
    assert code == 0
    assert "gone already" in words


# --- where nobody led ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", ["empty", "absent", "of another boot", "broken"])
def test_without_a_tenure_the_plan_counts(fencing: Fencing, file: str) -> None:
    """An agent that never led, ended well, or whose file is broken leaves a plan: by that nodeos is paused."""
    nodeos = fencing.bench.start_nodeos()
    fencing.plan()
    if file == "of another boot":
        fencing.bench.save(fencing.bench.record(60_000, boot_id="another"))
    elif file != "absent":
        fencing.bench.file.path.write_bytes(b"" if file == "empty" else b"{")
    code, words = fencing.run()
    assert (code, nodeos.alive) == (0, True)
    assert len(fencing.bench.asked()) == 1
    assert ("cannot be read" in words) == (file == "broken")


def test_without_a_tenure_a_deaf_nodeos_is_ended(fencing: Fencing) -> None:
    """Nobody led, but what takes no pause for longer than a busy moment may produce: it is ended, SIGTERM first."""
    fencing.bench.start_nodeos("refuses")
    fencing.plan()
    assert "SIGTERM" in fencing.run()[1]
    assert fencing.bench.gone()


def test_a_nodeos_that_starts_is_left_alone(fencing: Fencing, tmp_path: Path) -> None:
    """A nodeos that replays does not listen yet: an agent that is stopped meanwhile must not cost the replay."""
    nodeos = fencing.bench.start_nodeos()
    (tmp_path / "pid").write_text(str(nodeos.id.pid))
    url, nodeos.said = nodeos.said, "1"  # where nobody listens
    assert url
    fencing.plan(pid_file=str(tmp_path / "pid"))
    code, words = fencing.run()
    assert (code, nodeos.alive) == (0, True)
    assert "does not listen yet" in words


def test_without_any_file_the_configuration_counts(fencing: Fencing) -> None:
    """On a host where no agent ever started the fence reads the whole configuration."""
    nodeos = fencing.bench.start_nodeos()
    url = f"http://127.0.0.1:{nodeos.said}"
    fencing.config.write_text(
        f'group = "group"\nnode = "a"\nproducer = "myproducer11"\nnodeos.url = "{url}"\n'
        f'fence.executable = "{PROGRAM}"\n'
        'etcd.endpoints = ["http://127.0.0.1:1"]\n'
    )
    code, words = fencing.run()
    assert code == 0, words
    assert len(fencing.bench.asked()) == 1


def test_a_spoilt_configuration_does_not_hinder_it(fencing: Fencing) -> None:
    """The agent ended because its configuration was spoilt: the files in the run-time directory say what to do."""
    fencing.bench.start_nodeos()
    fencing.plan()
    fencing.bench.save(fencing.bench.record(60_000))
    fencing.config.write_text("group = [")
    assert fencing.run()[0] == 0
    assert fencing.bench.asked()


def test_nothing_to_go_by_is_an_error(fencing: Fencing) -> None:
    """Without a readable configuration and without files there is no nodeos that could be proven stopped."""
    fencing.config.unlink()
    code, words = fencing.run()
    assert code == 3
    assert "name it with --config" in words


# --- for a restart of the agent --------------------------------------------------------------------------------------


def guards_of(path: Path) -> list[int]:
    """Return the guards of a run-time file, whoever started them."""
    name = os.fsencode(path)
    found = pids_of(lambda words: b"agent.guard" in words and name in words)
    return [pid for pid in found if state_of(pid) != "Z"]


@pytest.fixture
def restarting(fencing: Fencing) -> Iterator[Fencing]:
    """The same; guards that were left behind end with the test."""
    yield fencing
    for pid in guards_of(fencing.bench.file.path):
        os.kill(pid, signal.SIGKILL)


def test_an_agent_that_may_come_back_costs_no_block(restarting: Fencing) -> None:
    """With --restart nothing is paused while the confirmation holds; a process of its own acts at V - A (R3)."""
    bench = restarting.bench
    bench.start_nodeos()
    record = bench.save(bench.record(2500, agent_pid=4_000_000))
    code, words = restarting.run("--restart")
    assert code == 0
    assert "may go on" in words
    assert boot_ms() < record.stop_by, "it does not wait itself: the supervisor has to start the agent again"
    assert not bench.asked()
    assert len(guards_of(bench.file.path)) == 1
    wait_until(bench.asked)
    assert record.stop_by <= bench.asked()[0] < record.stop_by + LATE_MS
    wait_until(lambda: not guards_of(bench.file.path))


def test_an_agent_that_came_back_is_left_alone(restarting: Fencing) -> None:
    """A new agent wrote the file, with a confirmation of its own: what was left behind ends without a pause."""
    bench = restarting.bench
    bench.start_nodeos()
    record = bench.save(bench.record(2500, agent_pid=4_000_000))
    restarting.run("--restart")
    bench.save(replace(record, agent_pid=os.getpid(), stop_by=record.stop_by + 60_000))
    wait_until(lambda: not guards_of(bench.file.path))
    assert not bench.asked()


@pytest.mark.parametrize("what", ["stopping", "resume open", "too late", "never led"])
def test_what_cannot_go_on_is_fenced_at_once(restarting: Fencing, what: str) -> None:
    """A tenure that no new agent may continue is not waited for (R3)."""
    bench = restarting.bench
    bench.start_nodeos()
    restarting.plan()
    if what == "stopping":
        bench.save(bench.record(60_000, state="stopping"))
    elif what == "resume open":
        bench.save(bench.record(60_000, resume_open=True))
    elif what == "too late":
        bench.save(bench.record(0))
    assert restarting.run("--restart")[0] == 0
    assert bench.asked() or bench.gone()
    assert not guards_of(bench.file.path)


# --- what it costs ---------------------------------------------------------------------------------------------------


def test_it_starts_within_the_slack(fencing: Fencing, record_property: Any) -> None:
    """From its start to its first request it takes less than FENCE_START, by the processor time that it needs (G)."""
    fencing.bench.start_nodeos()
    fencing.bench.save(fencing.bench.record(60_000))
    best = 10_000
    for _ in range(5):
        before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), boot_ms()
        fencing.run()
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu_ms = round((after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime) * 1000)
        wall_ms = fencing.bench.asked()[-1] - begin
        best = min(best, max(cpu_ms, min(wall_ms, cpu_ms)))
        record_property("fence", f"{wall_ms} ms to the first request, {cpu_ms} ms of processor time in all")
    assert best < FENCE_START


def test_it_imports_little() -> None:
    """Neither the command line, the configuration nor etcd is loaded for a fence or a guard."""
    code = "import sys, agent.main as e; e.quick([sys.argv[1]]); print(*{n.split('.')[0] for n in sys.modules})"
    for word in ("fence", "guard"):
        done = subprocess.run([sys.executable, "-c", code, word], capture_output=True, check=True, text=True)
        assert not HEAVY & set(done.stdout.split())


def test_files_of_one_node_lie_together(tmp_path: Path) -> None:
    """The plan stands beside the run-time file, under the same name."""
    assert Files(tmp_path / "g-n.json").plan == tmp_path / "g-n.plan"
    save_plan(tmp_path / "g-n.json", {"guard": {}})
    assert (tmp_path / "g-n.plan").stat().st_mode & 0o777 == 0o600
    assert time.time() - (tmp_path / "g-n.plan").stat().st_mtime < 60
