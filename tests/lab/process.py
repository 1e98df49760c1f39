"""One child process that can be started, frozen, killed and started again, and commands that are run to their end.

No child outlives us: each asks the kernel (PR_SET_PDEATHSIG) for SIGKILL when its parent dies. The kernel means the
parent *thread*, so one thread starts all children and lives as long as the process. The request is made by a small
Python program that then becomes the child by exec: `preexec_fn` would run Python between fork and exec, which is
not safe beside threads (grpc's least of all).
"""

import contextlib
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from agent.host.process import stat
from tests.lab.errors import LabError, LabTimeout
from tests.lab.places import LOOPBACK, Place
from tests.lab.wait import until

# argv: the expected parent, then the command. Python ignores SIGPIPE and SIGXFSZ, and exec would hand that down.
BECOME = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)
if os.getppid() != int(sys.argv[1]):
    sys.exit("the lab is gone")
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
os.execv(sys.argv[2], sys.argv[2:])
"""
KEEP_LOG = 8 << 20  # bytes: a log above this is set aside (one generation) at the next start
MOST_LOG = 64 << 20  # bytes: a child whose log is larger is killed, for the disk is everybody's
LOOK_AT_LOG = 2.0  # seconds between two looks at its size
FREEZE_LIMIT = 5.0  # seconds; some ms, more on a machine that is held up


def run(
    command: Sequence[str | Path],
    limit: float,
    what: str = "",
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: str = "",
    failed: type[LabError] = LabError,
) -> str:
    """Run a command to its end and return its output. `failed`, with its words, on failure; LabTimeout in time.

    `what` names it in messages, where its arguments are secret or many. `limit` in seconds.
    """
    what = what or " ".join(map(str, command))
    try:
        done = subprocess.run(
            list(command), env=env, cwd=cwd, input=stdin, capture_output=True, text=True, timeout=limit
        )
    except subprocess.TimeoutExpired as error:
        raise LabTimeout(f"{what} did not end within {limit:g} s") from error
    if done.returncode:
        raise failed(f"{what}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def pids_of(wanted: Callable[[Sequence[bytes]], bool]) -> list[int]:
    """Return the processes of this machine whose command line, in words, is wanted; parents first, as a rule."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):  # it has just ended
                if wanted((entry / "cmdline").read_bytes().split(b"\0")):
                    found.append(int(entry.name))
    return sorted(found)


_spawner = ThreadPoolExecutor(max_workers=1, thread_name_prefix="lab-spawner")


class Process:
    """A child process with a log file; may be started again after it ended. Safe to use from several threads.

    `env` is the child's whole environment; None hands ours down. It runs in `place`.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        log: Path,
        env: Mapping[str, str] | None = None,
        place: Place = LOOPBACK,
    ) -> None:
        self.name = name
        self.place = place
        self.command = [str(part) for part in command]
        self.log = log
        self.env = dict(os.environ if env is None else env)
        self._lock = threading.Lock()
        self._popen: subprocess.Popen[bytes] | None = None
        self._pidfd = -1
        self._ended = threading.Event()
        self._ended.set()

    def start(self, *more: str) -> None:
        """Start the command, with `more` arguments this time only. Raises LabError when it runs already."""
        with self._lock:
            if not self._ended.is_set():
                raise LabError(f"{self.name} runs already as pid {self.pid}: stop it first")
            self._tidy_log()
            command = [sys.executable, "-I", "-S", "-c", BECOME, str(os.getpid()), *self._whole(more)]
            self._popen = _spawner.submit(self._spawn, command).result()
            self._pidfd = os.pidfd_open(self._popen.pid)
            self._ended = threading.Event()
            child = (self._popen, self._pidfd, self._ended)
        threading.Thread(target=self._reap, args=child, name=f"reap-{self.name}", daemon=True).start()

    def _whole(self, more: Sequence[str]) -> list[str]:
        """Return what is run, `more` arguments included."""
        return [str(part) for part in self.place.command([*self.command, *more])]

    def _spawn(self, command: list[str]) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:  # appending: the log may be read, or emptied, while it grows
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.log.parent,
                env=self.env,
                start_new_session=True,  # Ctrl-C is for the lab, which then ends its parts in order
            )

    def _tidy_log(self) -> None:
        """Set a large log aside, and cut off the half line that a killed run left: the next would write on into it."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        if not self.log.exists():
            return
        if self.log.stat().st_size > KEEP_LOG:
            self.log.replace(self.log.with_name(self.log.name + ".1"))
        elif (whole := self.log.read_bytes()) and not whole.endswith(b"\n"):
            os.truncate(self.log, whole.rfind(b"\n") + 1)

    def _reap(self, popen: subprocess.Popen[bytes], pidfd: int, ended: threading.Event) -> None:
        """Wait for the child, whoever ends it, so that no zombie stays behind for others to puzzle over."""
        end = select.poll()
        end.register(pidfd, select.POLLIN)
        while not end.poll(LOOK_AT_LOG * 1000):
            with contextlib.suppress(OSError):  # no log any more, or a full disk: the kill is what counts
                if self.log.stat().st_size > MOST_LOG:
                    self.signal(signal.SIGKILL)
                    with self.log.open("a") as log:
                        log.write(f"\nthe lab has killed {self.name}: its log has more than {MOST_LOG} bytes\n")
        popen.wait()
        with self._lock:
            os.close(self._pidfd)
            self._pidfd = -1
            ended.set()

    @property
    def pid(self) -> int:
        """The pid of the child, also after its end. Raises LabError before the first start."""
        if self._popen is None:
            raise LabError(f"{self.name} was never started")
        return self._popen.pid

    @property
    def running(self) -> bool:
        """Whether the child exists (a frozen one does)."""
        return not self._ended.is_set()

    @property
    def frozen(self) -> bool:
        """Whether the child is stopped by a signal, ours or another's, with all its threads."""
        try:
            states = [stat(int(task.name))[0] for task in Path(f"/proc/{self.pid}/task").iterdir()]
        except (FileNotFoundError, ProcessLookupError):
            return False
        return self.running and set(states) == {"T"}

    @property
    def exit_code(self) -> int | None:
        """What the last run ended with (a negative number is a signal), None while it runs or before the first."""
        return None if self.running or self._popen is None else self._popen.returncode

    def signal(self, number: signal.Signals) -> bool:
        """Send a signal; False when the child is gone. It cannot hit a later process of the same pid."""
        with self._lock:
            if self._pidfd < 0:
                return False
            try:
                signal.pidfd_send_signal(self._pidfd, number)
            except ProcessLookupError:
                return False
            return True

    def kill(self, limit: float = 10.0) -> None:
        """SIGKILL, and see it gone within `limit` seconds."""
        self.signal(signal.SIGKILL)
        self.wait(limit)

    def terminate(self) -> None:
        """SIGTERM, without waiting. A frozen child hears it when it thaws."""
        self.signal(signal.SIGTERM)

    def freeze(self) -> None:
        """SIGSTOP: what a stalled host or a suspended machine looks like from outside.

        It returns once every thread stands, or the child is gone; on a busy machine one answers for some ms more.
        """
        self.signal(signal.SIGSTOP)
        until(lambda: self.frozen or not self.running, FREEZE_LIMIT, f"{self.name} to stand", interval=0.001)

    def thaw(self) -> None:
        """SIGCONT."""
        self.signal(signal.SIGCONT)

    def wait(self, limit: float) -> int:
        """Return the exit code once the child has ended. Raises LabTimeout after `limit` seconds."""
        if not self._ended.wait(limit):
            raise LabTimeout(f"{self.name} (pid {self.pid}) still runs after {limit:g} s; its log is {self.log}")
        code = self.exit_code
        if code is None:
            raise LabError(f"{self.name} was never started")
        return code

    def stop(self, grace: float = 10.0) -> None:
        """SIGTERM, and SIGKILL if it is not gone within `grace` seconds. One that does not run is fine."""
        if not self.running:
            return
        self.terminate()
        self.thaw()
        if not self._ended.wait(grace):
            self.kill()

    def close(self) -> None:
        """End the child in any case."""
        if self.running:
            self.kill()

    def log_tail(self, lines: int = 20) -> str:
        """Return the last lines of the log, read from its last 64 KiB."""
        if not self.log.exists():
            return ""
        with self.log.open("rb") as file:
            file.seek(max(0, self.log.stat().st_size - (64 << 10)))
            return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])
