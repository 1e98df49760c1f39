"""Runs all tests but the slow ones, for `make test`: those that only compute have what others leave of the processors.

Tests of real processes keep times, and mostly wait. What only computes (the marker `compute`) runs beside them, but
gets a processor only when nobody else wants it: where both were alike, agents and nodeos of a slow machine missed the
times that they are held to. It goes on beside the other tests that keep times, and has all there is when those are
through.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import IO, NoReturn

from tests.conftest import COMPUTE
from tests.lab.process import BECOME

ROOT = Path(__file__).parents[1]

REAL = ("real and not slow", "--dist", "loadfile", "--no-loadscope-reorder")
MODULES, FEWER = "4", "3"
"""So many modules of real processes at a time: each has ports, directories and network namespaces of its own."""
FAST_S = 0.15
"""So much of a processor the agent's modules take to load where there is room for the fourth."""
TIMED = ("not real and not compute and not slow", "--numprocesses", "3", "--timeout", "900")
COMPUTING = ("compute and not real and not slow", *COMPUTE, "--numprocesses", "2", "--maxschedchunk", "1")
"""Looked for in their folders only, for to look everywhere takes as long as many of them. No worker gets many at once:
a few take much longer than all others."""

IDLE, USUAL = 19, 0
"""Niceness of a session."""
TRIES = 20


def pytest(name: str, part: tuple[str, ...]) -> list[str]:
    """Return the command that runs a part of the tests, by the name of what it remembers."""
    marked, *options = part
    return [sys.executable, "-m", "pytest", "-m", marked, "-o", f"cache_dir=.pytest_cache/{name}", *options]


def modules() -> str:
    """Return how many modules of real processes the machine can take at a time: on a slow one they miss their times."""
    for _ in range(2):  # what is read for the first time takes longer
        before = os.times()
        subprocess.run([sys.executable, "-c", "import agent.run"], cwd=ROOT, check=True)
    after = os.times()
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    return MODULES if spent < FAST_S and (os.cpu_count() or 1) > 1 else FEWER


def say(name: str) -> None:
    """Tell which part comes now."""
    sys.stdout.write(f"--- {name}\n")
    sys.stdout.flush()


def run(name: str, part: tuple[str, ...]) -> bool:
    """Run a part of the tests to its end; return whether all passed."""
    say(name)
    with subprocess.Popen(pytest(name, part), cwd=ROOT) as found:
        try:
            return found.wait() == 0
        except BaseException as why:
            if not isinstance(why, KeyboardInterrupt):  # of Ctrl-C it has heard itself
                found.send_signal(signal.SIGINT)
            found.wait()  # it ends its processes in order
            raise


@contextmanager
def beside(name: str, part: tuple[str, ...], log: IO[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """Run a part of the tests on what others leave of the processors, in a session of its own.

    Whoever ends us ends it too; where we are killed the kernel does it.
    """
    command = [sys.executable, "-I", "-S", "-c", BECOME, str(os.getpid()), *pytest(name, part), "--beside"]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        start_new_session=True,
        preexec_fn=step_back,  # there is one thread only
    ) as found:
        try:
            yield found
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(found.pid, signal.SIGKILL)


def step_back() -> None:
    """Let this process, and all that it starts, have a processor only when nobody else wants it."""
    weigh(os.getpid(), IDLE)
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def weigh(session: int, niceness: int) -> None:
    """Set what a session counts against others, where the kernel gives each session the same share (autogroup).

    There a policy counts within its own session only. The kernel takes ten changes a second.
    """
    file = Path(f"/proc/{session}/autogroup")
    for _ in range(TRIES):
        try:
            file.write_text(str(niceness))
        except BlockingIOError:
            time.sleep(0.1)
        except OSError:
            return  # this kernel has none
        else:
            return


def hurry(session: int) -> None:
    """Let a session count like any other again, as far as we may: only root takes a thread back from idling."""
    weigh(session, USUAL)
    for process in Path("/proc").iterdir():
        with contextlib.suppress(OSError):  # it has ended
            if process.name.isdigit() and os.getsid(int(process.name)) == session:
                for thread in (process / "task").iterdir():
                    os.sched_setscheduler(int(thread.name), os.SCHED_OTHER, os.sched_param(0))


def main() -> int:
    """Run all; return the exit code."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end)
    real = modules()
    with tempfile.TemporaryFile() as log:
        with beside("compute", COMPUTING, log) as computing:
            passed = [run("real", (*REAL, "--numprocesses", real)), run("timed", TIMED)]
            hurry(computing.pid)
            say("compute")
            passed.append(computing.wait() == 0)
        log.seek(0)
        sys.stdout.write(log.read().decode(errors="replace"))
    return 0 if all(passed) else 1


def _end(number: int, _frame: FrameType | None) -> NoReturn:
    sys.exit(128 + number)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
