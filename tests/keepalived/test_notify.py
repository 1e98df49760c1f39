"""`keepalived-notify` as a process, with the test in the place of keepalived, beside what stands for a nodeos."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from agent.host.clock import boot_ms
from agent.host.paths import Files
from agent.host.small_file import write_whole
from tests.lab.process import pids_of
from tests.support.children import NODEOS, PROGRAM, child, wait_until

pytestmark = pytest.mark.real


class Notifier:
    """A notifier; stamps come until `closing` ends."""

    def __init__(self, root: Path, closing: ExitStack) -> None:
        self.root, self.requests = root, root / "nodeos.log"
        self.nodeos = closing.enter_context(child(NODEOS, "honest", str(self.requests)))
        config = root / "agent.toml"
        config.write_text(
            f'group = "g"\nnode = "n"\nproducer = "eosio"\nnodeos.url = "http://127.0.0.1:{self.nodeos.said}"\n'
            f'fence.executable = "{PROGRAM}"\nruntime.dir = "{root / "run"}"\n'
        )
        self.files = Files(root / "run" / "g-n.json")
        self.files.runtime.parent.mkdir(mode=0o700)
        os.mkfifo(root / "fifo")
        reader = os.open(root / "fifo", os.O_RDONLY | os.O_NONBLOCK)
        self.writer = os.open(root / "fifo", os.O_WRONLY | os.O_NONBLOCK)
        closing.callback(os.close, reader)  # until the notifier has it open, too
        closing.callback(os.close, self.writer)
        over = threading.Event()
        thread = threading.Thread(target=self._stamp, args=(over,))
        thread.start()
        closing.callback(thread.join)
        closing.callback(over.set)
        words = ["keepalived-notify", "--deadman", "2", "--config", str(config), str(root / "fifo")]
        self.log = (root / "notify.log").open("wb")
        closing.callback(self.log.close)
        self.process = subprocess.Popen([sys.executable, "-m", "agent", *words], stdout=self.log, stderr=self.log)
        closing.callback(self.end)

    def _stamp(self, over: threading.Event) -> None:
        while not over.wait(0.2):
            write_whole(self.files.stamp, f"{boot_ms()}\n")

    def end(self) -> None:
        """End it and its guard, whatever they do."""
        self.process.kill()
        self.process.wait(10)
        for pid in self.guards():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def guards(self) -> list[int]:
        """Return its guards."""
        return pids_of(lambda words: b"agent.guard" in words and os.fsencode(self.files.runtime) in words)

    def say(self, word: str) -> None:
        """Be keepalived."""
        os.write(self.writer, f'INSTANCE "producer" {word} 100\n'.encode())

    def asked(self, what: str) -> int:
        """Return how often nodeos was asked for something."""
        lines = self.requests.read_text().splitlines() if self.requests.exists() else []
        return sum(line.split()[0] == what for line in lines)

    @property
    def said(self) -> str:
        """What it wrote into its log."""
        return (self.root / "notify.log").read_text()


@pytest.fixture
def notifier(tmp_path: Path) -> Iterator[Notifier]:
    """Yield one that ends with the test."""
    with ExitStack() as closing:
        yield Notifier(tmp_path, closing)


def test_guard_that_cannot_be_started_again_ends_no_notifier(notifier: Notifier) -> None:
    """R3: the guard dies, no descriptor is left for another: the notifier goes on, and stops nodeos when told to."""
    notifier.say("MASTER")
    wait_until(lambda: notifier.asked("resume"), 20)
    pid = notifier.process.pid
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    used = max(int(each.name) for each in Path(f"/proc/{pid}/fd").iterdir()) + 1
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (used + 1, before[1]))  # a pipe needs two
    (guard,) = notifier.guards()
    os.kill(guard, signal.SIGKILL)
    wait_until(lambda: "the guard cannot be started" in notifier.said or notifier.process.poll() is not None)
    assert notifier.process.poll() is None, notifier.said
    resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
    wait_until(lambda: notifier.guards() not in ([], [guard]))
    pauses = notifier.asked("pause")
    notifier.say("BACKUP")
    wait_until(lambda: notifier.asked("pause") > pauses)


def test_sign_of_life_comes_again_and_again(notifier: Notifier) -> None:
    """P2: the check can tell that the notifier goes round, and that it does not."""
    alive = notifier.files.alive
    wait_until(lambda: alive.exists())
    first = int(alive.read_text())
    wait_until(lambda: int(alive.read_text()) > first)
    notifier.process.send_signal(signal.SIGSTOP)
    wait_until(lambda: boot_ms() - int(alive.read_text()) > 2000)
