"""Child processes and ports: what is started is controlled, reaped, and never outlives its owner."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.lab.errors import LabError, LabTimeout
from tests.lab.ports import Ports
from tests.lab.process import Process
from tests.lab.wait import until
from tests.support.children import state_of

SLEEP = ["/bin/sleep", "60"]
THREADS = """
import hashlib, threading
for _ in range(8):
    threading.Thread(target=lambda: [hashlib.sha256(bytes(10 ** 7)) for _ in iter(int, 1)]).start()
print("busy", flush=True)
"""


def await_exec(process: Process) -> None:
    """Wait until the child has become its command: by then the parent-death signal is set."""
    until(lambda: Path(f"/proc/{process.pid}/cmdline").read_bytes().startswith(b"/bin/sleep"), 5, "exec")


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[Process]:
    """Start a child that sleeps."""
    with closing(Process("sleeper", SLEEP, tmp_path / "log")) as process:
        process.start()
        until(
            lambda: Path(f"/proc/{process.pid}/exe").readlink().name != Path(sys.executable).resolve().name, 5, "exec"
        )
        yield process


def test_pid_is_the_program_itself(sleeper: Process) -> None:
    """The pid belongs to the command and not to a wrapper."""
    assert Path(f"/proc/{sleeper.pid}/cmdline").read_bytes() == b"/bin/sleep\x0060\x00"


def test_freeze_and_thaw(sleeper: Process) -> None:
    """A frozen child is stopped and still counts as running; thawing lets it go on."""
    sleeper.freeze()
    assert state_of(sleeper.pid) == "T"
    assert sleeper.running
    sleeper.thaw()
    until(lambda: state_of(sleeper.pid) == "S", 5, "sleeping")


def test_a_frozen_child_does_nothing_more(tmp_path: Path) -> None:
    """Freezing returns once every thread stands: until then one more request could be answered."""
    with closing(Process("busy", [sys.executable, "-c", THREADS], tmp_path / "log")) as process:
        process.start()
        until(lambda: "busy" in process.log_tail(), 5, "threads")
        for _ in range(10):
            process.freeze()
            tasks = list(Path(f"/proc/{process.pid}/task").iterdir())
            assert {state_of(int(task.name)) for task in tasks} == {"T"}
            assert len(tasks) == 9
            process.thaw()


def test_kill_reports_the_signal(sleeper: Process) -> None:
    """After a kill the exit code names SIGKILL, and the child can be started again."""
    sleeper.kill()
    assert (sleeper.exit_code, sleeper.running) == (-signal.SIGKILL, False)
    first = sleeper.pid
    sleeper.start()
    assert sleeper.running and sleeper.pid != first


def test_stop_ends_a_frozen_child(sleeper: Process) -> None:
    """Stopping works on a frozen child too."""
    sleeper.freeze()
    sleeper.stop(5)
    assert sleeper.exit_code == -signal.SIGTERM


def test_a_child_killed_by_others_leaves_no_zombie(sleeper: Process) -> None:
    """A child that somebody else kills is reaped at once, so that others see it gone."""
    os.kill(sleeper.pid, signal.SIGKILL)
    until(lambda: state_of(sleeper.pid) == "", 5, "reaped")
    until(lambda: not sleeper.running, 5, "noticed")
    assert sleeper.signal(signal.SIGTERM) is False


def test_wait_has_a_limit(sleeper: Process) -> None:
    """Waiting for a child that does not end raises after the limit."""
    begun = time.monotonic()
    with pytest.raises(LabTimeout, match="sleeper"):
        sleeper.wait(0.1)
    assert time.monotonic() - begun < 2


def test_starting_twice_is_refused(sleeper: Process) -> None:
    """A running child is not started a second time."""
    with pytest.raises(LabError, match="runs already"):
        sleeper.start()


def test_child_survives_the_thread_that_started_it(tmp_path: Path) -> None:
    """The end of the starting thread does not end the child, as a plain parent-death signal would."""
    with closing(Process("sleeper", SLEEP, tmp_path / "log")) as process:

        def start() -> None:
            process.start()
            await_exec(process)

        thread = threading.Thread(target=start)
        thread.start()
        thread.join()
        with pytest.raises(LabTimeout):
            process.wait(0.3)


def test_child_dies_with_its_owner(tmp_path: Path) -> None:
    """When the owner is killed without a chance to clean up, its child is killed as well."""
    code = (
        "import sys, time; from pathlib import Path; from tests.lab.process import Process\n"
        "p = Process('s', ['/bin/sleep', '60'], Path(sys.argv[1])); p.start(); print(p.pid, flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "log")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        pid = int(owner.stdout.readline())
        assert state_of(pid) != ""
        owner.kill()
    until(lambda: state_of(pid) in ("", "Z"), 5, "the child is gone")


def test_log_is_kept_and_shown(tmp_path: Path) -> None:
    """What a child writes is in its log, over several starts."""
    with closing(Process("echo", ["/bin/echo", "once"], tmp_path / "log")) as process:
        for _ in range(2):
            process.start("more")
            assert process.wait(5) == 0
        assert process.log_tail() == "once more\nonce more"


def test_child_that_floods_its_log_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A child whose log grows beyond the limit is killed, and its log says so."""
    monkeypatch.setattr("tests.lab.process.MOST_LOG", 1000)
    monkeypatch.setattr("tests.lab.process.LOOK_AT_LOG", 0.05)
    code = "import time\nwhile True: print('x' * 99, flush=True); time.sleep(0.01)"
    with closing(Process("talker", [sys.executable, "-c", code], tmp_path / "log")) as process:
        process.start()
        assert process.wait(5) == -signal.SIGKILL
        assert process.log_tail(1) == "the lab has killed talker: its log has more than 1000 bytes"


def test_ports_are_given_once() -> None:
    """Two owners of ports never hold the same one, although nothing listens on them yet."""
    with closing(Ports()) as one, closing(Ports()) as two:
        taken = [owner.take() for owner in (one, two) for _ in range(50)]
        assert len(set(taken)) == len(taken)


def test_port_in_use_is_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """A port that somebody listens on is passed over, and running out is an error."""
    with socket.create_server(("127.0.0.1", 0)) as server, closing(Ports()) as ports:
        used = server.getsockname()[1]
        monkeypatch.setattr("tests.lab.ports.SPAN", 1)
        monkeypatch.setattr("tests.lab.ports.EPHEMERAL", FakeRange(used + 1))
        with pytest.raises(LabError, match="no free port"):
            ports.take()


class FakeRange:
    """Stands in for the kernel's file that names the ephemeral range."""

    def __init__(self, low: int) -> None:
        self.low = low

    def read_text(self) -> str:
        """Return the two numbers as the kernel does."""
        return f"{self.low}\t60999\n"
