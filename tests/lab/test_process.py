"""Child processes and ports: what is started is controlled, reaped, and never outlives its owner."""

import signal
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from tests.lab.errors import LabTimeout
from tests.lab.ports import Ports
from tests.lab.process import Process
from tests.lab.wait import until
from tests.support.children import await_end, state_of

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
    await_end(pid)


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
