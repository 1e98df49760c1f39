"""`guard -- run …` as a process of its own, over agents that live, hang and die, beside a nodeos that takes a pause."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from agent.host.clock import boot_ms
from agent.host.paths import save_plan
from tests.support.children import state_of, wait_until
from tests.support.guard_bench import LATE_MS, Bench

pytestmark = pytest.mark.real
PLAYED = """
import os, signal, subprocess, sys, time
how, notes = open(sys.argv[1] + "/how").read(), open(sys.argv[1] + "/notes", "a", buffering=1)
fd = int(os.environ["NODEOS_FAILOVER_GUARD_FD"])
def note(number, _frame):
    print(signal.Signals(number).name, file=notes)
    if number == signal.SIGTERM:
        sys.exit(0)
for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
    signal.signal(number, note)
if how == "orphans":
    subprocess.Popen(["sh", "-c", "sleep 0.3 & exec true"])
print("started", os.getpid(), file=notes)
while True:
    os.write(fd, b".")
    time.sleep(0.1)
    how = open(sys.argv[1] + "/how").read()
    if how == "hang":
        signal.pause()
    if how.startswith("exit"):
        sys.exit(int(how.split()[1]))
"""
RUN = """
import sys
from pathlib import Path
from agent.guard.parent import Parent
from agent.host.paths import Files
root, code, silence, restart = sys.argv[1:]
def slow(): raise AssertionError("a plan is there")
command = [sys.executable, "-I", "-S", "-c", code, root]
sys.exit(Parent(command, Files(Path(root, "run/group-a.json")), slow, float(silence), restart=restart == "1").run())
"""


class Family:
    """A parent, a PLAYED agent below it, and a nodeos."""

    def __init__(self, root: Path, closing: ExitStack) -> None:
        self.root = root
        self.bench = Bench(root, closing)
        self.closing = closing
        self.popen: subprocess.Popen[bytes] | None = None
        self.say("live")
        self.words = root / "words"

    def say(self, how: str) -> None:
        """Tell the agent how to be."""
        new = self.root / "how.new"
        new.write_text(how)
        new.replace(self.root / "how")

    @property
    def notes(self) -> list[str]:
        """What the agents noted."""
        path = self.root / "notes"
        return path.read_text().split() if path.exists() else []

    @property
    def agent(self) -> int:
        """The pid of the newest agent."""
        return int(self.notes[-1 - self.notes[::-1].index("started") + 1])

    def start(self, silence: float = 2.0, restart: bool = False) -> None:
        """Start the parent, and wait for its agent."""
        save_plan(self.bench.file.path, self.bench.plan())
        command = [sys.executable, "-c", RUN, str(self.root), PLAYED, str(silence), "1" if restart else "0"]
        with self.words.open("wb") as words:
            self.popen = subprocess.Popen(command, stderr=words)
        self.closing.callback(self.end)
        wait_until(lambda: "started" in self.notes)

    def end(self) -> None:
        """End parent and agent."""
        assert self.popen is not None
        self.popen.kill()
        self.popen.wait()
        if state_of(self.agent):
            os.kill(self.agent, signal.SIGKILL)

    @property
    def code(self) -> int | None:
        """The exit code of the parent, None while it runs."""
        assert self.popen is not None
        return self.popen.poll()


@pytest.fixture
def family(tmp_path: Path) -> Iterator[Family]:
    """Yield a family that ends with the test."""
    with ExitStack() as closing:
        family = Family(tmp_path, closing)
        family.bench.start_nodeos()
        yield family


@pytest.mark.parametrize("how", ["exit 0", "exit 1", "killed"])
def test_no_agent_means_no_production(family: Family, how: str) -> None:
    """However the agent ends, nodeos is paused at once and the parent ends with the agent's code (R3)."""
    family.start()
    family.bench.save(family.bench.record(60_000))
    if how == "killed":
        os.kill(family.agent, signal.SIGKILL)
    else:
        family.say(how)
    wait_until(lambda: family.code is not None)
    assert family.code == (128 + signal.SIGKILL if how == "killed" else int(how[-1]))
    assert family.bench.asked()
    assert "nodeos is paused" in family.words.read_text()


def test_an_agent_that_falls_silent_is_ended_first(family: Family) -> None:
    """A frozen agent could wake up and resume: it is killed, and then nodeos is fenced (R3)."""
    family.start()
    family.bench.save(family.bench.record(60_000))
    pid = family.agent
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: family.code is not None)
    assert state_of(pid) == ""
    assert family.bench.asked()
    assert "no sign of life" in family.words.read_text()


@pytest.mark.parametrize("fault", ["killed", "hangs"])
def test_with_restart_nodeos_produces_on(family: Family, fault: str) -> None:
    """An agent that died or hangs is replaced while its confirmation holds, and nodeos is left alone."""
    family.start(restart=True)
    family.bench.save(family.bench.record(60_000))
    first = family.agent
    os.kill(first, signal.SIGKILL if fault == "killed" else signal.SIGSTOP)
    wait_until(lambda: family.notes.count("started") == 2)
    assert state_of(first) == ""
    assert family.agent != first
    assert not family.bench.asked()
    assert family.code is None


def test_with_restart_the_time_to_stop_counts(family: Family) -> None:
    """When no new agent has confirmed by V - A the parent stops nodeos itself, once (R3)."""
    family.start(restart=True)
    record = family.bench.save(family.bench.record(1500))
    os.kill(family.agent, signal.SIGKILL)
    wait_until(family.bench.asked)
    assert record.stop_by <= family.bench.asked()[0] < record.stop_by + LATE_MS
    assert family.code is None


def test_what_cannot_go_on_is_fenced_before_a_restart(family: Family) -> None:
    """A tenure that had begun to stop is fenced at once, though a new agent starts (R3)."""
    family.start(restart=True)
    family.bench.save(family.bench.record(60_000, state="stopping"))
    os.kill(family.agent, signal.SIGKILL)
    wait_until(family.bench.asked)
    wait_until(lambda: family.notes.count("started") == 2)


def test_a_configuration_that_cannot_be_used_is_not_tried_again(family: Family) -> None:
    """Exit code 3 ends parent and agent, also with --restart: the next one would end the same."""
    family.start(restart=True)
    family.say("exit 3")
    wait_until(lambda: family.code is not None)
    assert family.code == 3
    assert family.notes.count("started") == 1


def test_signals_are_handed_on(family: Family) -> None:
    """SIGHUP and SIGUSR1 reach the agent, and SIGTERM ends it and then the parent, with nodeos fenced."""
    family.start(restart=True)
    assert family.popen is not None
    for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGTERM):
        family.popen.send_signal(number)
        wait_until(lambda number=number: number.name in family.notes)  # type: ignore[misc] # mypy: lambdas with defaults
    wait_until(lambda: family.code is not None)
    assert family.code == 0
    assert family.bench.asked()


def test_it_is_tiny(family: Family) -> None:
    """The parent takes little memory and no processor time while all is well."""
    family.start()
    assert family.popen is not None
    begin = boot_ms()
    before = _cpu_ticks(family.popen.pid)
    wait_until(lambda: boot_ms() > begin + 1500)
    status = Path(f"/proc/{family.popen.pid}/status").read_text()
    rss_mib = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) / 1024
    assert rss_mib < 30
    assert _cpu_ticks(family.popen.pid) - before < 15


def _cpu_ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def test_as_pid_1_it_reaps_whatever_is_left(family: Family) -> None:
    """In a process namespace of its own no zombie stays behind of what the agent started and left."""
    family.say("orphans")
    save_plan(family.bench.file.path, family.bench.plan())
    probe = subprocess.run(["unshare", "--pid", "--fork", "true"], check=False, capture_output=True)
    if probe.returncode:
        pytest.skip(f"no process namespaces here: {probe.stderr.decode()}")
    command = [
        "unshare",
        "--pid",
        "--fork",
        "--kill-child",
        sys.executable,
        "-c",
        RUN,
        str(family.root),
        PLAYED,
        "2",
        "0",
    ]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as popen:
        try:
            wait_until(lambda: "started" in family.notes)
            family.say("live")
            parent = int(Path(f"/proc/{popen.pid}/task/{popen.pid}/children").read_text().split()[0])
            children = Path(f"/proc/{parent}/task/{parent}/children")
            wait_until(lambda: len(children.read_text().split()) >= 1)
            wait_until(lambda: all(state_of(int(pid)) != "Z" for pid in children.read_text().split()))
            wait_until(lambda: len(children.read_text().split()) == 1)
        finally:
            popen.kill()


@pytest.mark.parametrize(
    ("words", "wrong"),
    [
        ([], "say what to run"),
        (["--", "status"], "say what to run"),
        (["--silence", "1", "--", "run"], "give 2 to 60"),
        (["--silence", "nan", "--", "run"], "give 2 to 60"),
    ],
)
def test_a_wrong_command_line_is_told(words: list[str], wrong: str) -> None:
    """What cannot be meant ends with the usage and exit code 2."""
    done = subprocess.run(
        [sys.executable, "-m", "agent", "guard", *words], capture_output=True, text=True, check=False, timeout=30
    )
    assert done.returncode == 2
    assert wrong in done.stderr
