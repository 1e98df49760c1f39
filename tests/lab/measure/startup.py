"""How long commands take to start: `run` to ready, `status` to its end, `fence --local` to its first request.

A real etcd of three and a real nodeos serve `run` and `status`; what `fence` asks is a listener of the
lab's that answers as a paused nodeos does. Wall time runs from before the process is made; processor time is that of
all threads of the process until then. `--other` measures another checkout in turn with this one, in the same run.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from agent.config.load import load
from agent.guard.plan import guard_fields
from agent.host.paths import save_plan
from tests.lab.agents import Agent
from tests.lab.errors import LabError
from tests.lab.figures import markdown, percentile
from tests.lab.lab import GROUP, Lab
from tests.lab.measure import Found, restarts, spread
from tests.lab.measure.restarts import MODES

LIMIT_S = 30.0
FENCE_AIM_S = 0.3
"""It is in the budget of a dead agent."""
_OK = b"HTTP/1.1 201 Created\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s"


@dataclass(frozen=True)
class Start:
    """One start: seconds of wall time and of processor time."""

    wall: float
    cpu: float


@dataclass
class Row:
    """All starts of one command."""

    name: str
    runs: list[Start] = field(default_factory=list)


def cpu_of(pid: int) -> float:
    """Return the processor seconds of all threads of a process that lives."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


class Starter:
    """Starts commands of one checkout, whose interpreter is `python`, on configurations of the lab's."""

    def __init__(self, python: str, agent: Agent, fence: Path, listener: socket.socket) -> None:
        self._python = python
        self._agent = agent
        self._fence = fence
        self._listener = listener

    def run(self) -> Start:
        """Start an agent; until it tells systemd that it is ready."""
        with (
            tempfile.TemporaryDirectory(prefix="nodeos-failover-") as root,
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ears,
        ):
            ears.settimeout(LIMIT_S)
            ears.bind(f"{root}/notify")
            begin = time.perf_counter()
            process = self._spawn("run", "--config", self._agent.config, env={"NOTIFY_SOCKET": f"{root}/notify"})
            try:
                while not ears.recv(4096).startswith(b"READY=1"):
                    pass
                return Start(time.perf_counter() - begin, cpu_of(process.pid))
            finally:
                self._end(process)
                shutil.rmtree(self._agent.runtime_dir, ignore_errors=True)  # each start is a first one

    def status(self) -> Start:
        """Ask for the status of the group; until the end."""
        begin = time.perf_counter()
        process = self._spawn("status", "--config", self._agent.config)
        _, _, used = os.wait4(process.pid, 0)
        process.returncode = 0
        return Start(time.perf_counter() - begin, used.ru_utime + used.ru_stime)

    def fence(self) -> Start:
        """Fence; until the first byte of the first request."""
        begin = time.perf_counter()
        process = self._spawn("fence", "--local", "--config", self._fence)
        try:
            first = self._answered(b'{"result":"ok"}', process.pid)
            self._answered(b"true")
            process.wait(LIMIT_S)
            return Start(first[0] - begin, first[1])
        finally:
            self._end(process)

    def _answered(self, body: bytes, pid: int = 0) -> tuple[float, float]:
        """Answer one request; return when it came, and the processor time of `pid` until then."""
        connection, _ = self._listener.accept()
        with connection:
            connection.settimeout(LIMIT_S)
            connection.recv(4096)
            found = time.perf_counter(), cpu_of(pid) if pid else 0.0
            connection.sendall(_OK % (len(body), body))
        return found

    def _spawn(self, *words: str | Path, env: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [self._python, "-m", "agent", *map(str, words)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env={**os.environ, **(env or {})},
        )

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(LIMIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise LabError(f"pid {process.pid} did not end on SIGTERM within {LIMIT_S:g} s") from None


def started(lab: Lab, runs: int, pythons: dict[str, str]) -> list[Row]:
    """Start every command `runs` times for each interpreter, one after another, and return what it took."""
    etcd, chain = lab.etcd(3), lab.chain(1)  # a command asks each of its members which cluster it is of
    agent = lab.agent(next(iter(chain.nodes.values())), etcd, log={"level": "info"})
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(LIMIT_S)
        fence = lab.root / "fence" / "agent.toml"
        fence.parent.mkdir()
        port = listener.getsockname()[1]
        fence.write_text(
            f'group = "{GROUP}"\nnode = "bp-a"\nproducer = "eosio"\nnodeos.url = "http://127.0.0.1:{port}"\n'
            f'etcd.endpoints = ["http://127.0.0.1:1"]\nruntime.dir = "{fence.parent}"\n'
        )
        save_plan(fence.parent / f"{GROUP}-bp-a.json", guard_fields(load(fence, {})))
        rows: dict[str, tuple[Row, Callable[[], Start]]] = {}
        for label, python in pythons.items():
            starter = Starter(python, agent, fence, listener)
            rows[f"fence{label}"] = Row(f"`fence --local`, to its first request{label}"), starter.fence
            rows[f"status{label}"] = Row(f"`status`, to its end{label}"), starter.status
            rows[f"run{label}"] = Row(f"`run`, to ready{label}"), starter.run
        for number in range(runs + 1):
            for row, start in rows.values():
                taken = start()
                if number:  # the first writes byte code, and reads files that the kernel has not cached
                    row.runs.append(taken)
    return [row for row, _ in rows.values()]


def table(rows: Sequence[Row]) -> str:
    """Return the figures as Markdown: p50 / p99 / max."""
    lines = []
    for row in rows:
        spans = [[each.wall for each in row.runs], [each.cpu for each in row.runs]]
        lines.append([row.name, str(len(row.runs)), *(" / ".join(spread(values, 2)) for values in spans)])
    return markdown(["command", "n", "wall, s", "processor, s"], lines)


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--runs", "-n", type=int, default=20, help="starts of each command (default 20)")
    parser.add_argument("--restarts", type=int, default=0, help="restarts of a leader in each mode (default 0)")
    parser.add_argument("--modes", nargs="+", default=list(MODES), help=f"of these (default: {' '.join(MODES)})")
    parser.add_argument("--other", type=Path, help="interpreter of another checkout, measured in turn with this one")


def measure(root: Path, chosen: argparse.Namespace) -> Found:
    """Measure; bad is when the median of `fence --local` is above its aim."""
    again = restarts.measured(root / "restarts", chosen.modes, chosen.restarts) if chosen.restarts else {}
    pythons = {"": sys.executable} | ({" (other)": str(chosen.other)} if chosen.other else {})
    with Lab(root / "starts") as lab:
        rows = started(lab, chosen.runs, pythons) if chosen.runs else []
    figures = {row.name: [[each.wall, each.cpu] for each in row.runs] for row in rows}
    figures |= {mode: [list(vars(each).values()) for each in runs] for mode, runs in again.items()}
    late = [row for row in rows[:1] if percentile([each.wall for each in row.runs], 0.5) > FENCE_AIM_S]
    text = "\n\n".join([*([table(rows)] if rows else []), *([restarts.table(again)] if again else [])])
    return Found(text, figures, [*(f"{row.name}: the aim is {FENCE_AIM_S} s" for row in late), *restarts.lost(again)])
