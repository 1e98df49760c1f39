"""Real child processes that stand where nodeos would: they listen, ignore signals, have children of their own.

Each ends with the test, and when the test process dies: they read a pipe whose other end we hold.
"""

from __future__ import annotations

import select
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from agent.core.model.chain import ProcessId
from agent.host.process import Held, start_ticks
from agent.nodeos.finder import FencePlan

LIMIT_S = 10.0
PROGRAM = Path("/proc/self/exe").readlink().name
"""What our children run: it stands for nodeos's program."""
IDLE = "print('ready', flush=True); sys.stdin.read()"
STUBBORN = f"signal.signal(signal.SIGTERM, signal.SIG_IGN); {IDLE}"
TCP = """
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
listener = socket.socket(family)
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
if family == socket.AF_INET6:
    listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, sys.argv[3] == "only")
listener.bind((sys.argv[1], int(sys.argv[2])))
listener.listen()
print(listener.getsockname()[1], flush=True)
sys.stdin.read()
"""
SHARED = """
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
listener.bind(("127.0.0.1", int(sys.argv[1])))
listener.listen()
print(listener.getsockname()[1], flush=True)
sys.stdin.read()
"""
CLOSES = """
listener = socket.create_server(("127.0.0.1", 0))
signal.signal(signal.SIGUSR1, lambda *_: listener.close())
print(listener.getsockname()[1], flush=True)
while True:
    signal.pause()
"""
"""Listens, and no longer after a SIGUSR1. It ends by signals only."""
LOCKS = f"""
import fcntl
os.makedirs(sys.argv[1] + "/state")
file = open(sys.argv[1] + "/state/shared_memory.bin", "w")
fcntl.lockf(file, fcntl.LOCK_EX)
{IDLE}
"""
"""Locks the database in a data directory, its argument, as nodeos does."""
UNIX = "listener = socket.socket(socket.AF_UNIX); listener.bind(sys.argv[1]); listener.listen(1);" + IDLE
RELAY = """
import threading
def pump(source, sink):
    try:
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        source.close()
def serve():
    while True:
        client = listener.accept()[0]
        server = socket.create_connection(("127.0.0.1", int(sys.argv[2])))
        for ways in ((client, server), (server, client)):
            threading.Thread(target=pump, args=ways, daemon=True).start()
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
threading.Thread(target=serve, daemon=True).start()
print(listener.getsockname()[1], flush=True)
sys.stdin.read()
"""
"""A forwarder. Arguments: its port, 0 for any, and the port that it forwards to."""
WRAPPER = """
inner = subprocess.Popen([sys.argv[1], "-I", "-S", "-c", *sys.argv[2:]])
sys.exit(inner.wait())
"""
"""Starts a Python, its first argument, for the code in the second."""

NODEOS = """
how, log, paused = sys.argv[1], open(sys.argv[2], "a", buffering=1), False
host, port = sys.argv[3:] or ("127.0.0.1", "0")
listener = socket.create_server((host, int(port)), backlog=16)
print(listener.getsockname()[1], flush=True)
keep = []
while True:
    client, data = listener.accept()[0], b""
    while b"\\r\\n\\r\\n" not in data:
        data += client.recv(4096)
    what = data.split()[1].decode().rpartition("/")[2]
    print(what, time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000000, file=log)
    if what == "pause" and how == "hangs":
        keep.append(client)
        continue
    if what == "pause" and how == "hangs a second":
        time.sleep(1)
    status = "500 No" if how == "refuses" else "201 Created"
    paused = what != "resume" and (paused or (what == "pause" and how != "lies"))
    body = b'{"result":"ok"}' if what != "paused" else str(paused).lower().encode()
    head = f"HTTP/1.0 {status}\\r\\nContent-Length: {len(body)}\\r\\n\\r\\n"
    client.sendall(b"what?" if how == "babbles" else head.encode() + body)
    client.close()
"""
"""A nodeos as far as the guard sees it. Arguments: how it takes a pause, where it notes each request and its time (ms
of CLOCK_BOOTTIME), and, if it is to be another one, address and port. It ends by signals only."""


class Child:
    """A running child; `said` is the first line that it wrote."""

    def __init__(self, popen: subprocess.Popen[bytes], said: str) -> None:
        self.popen = popen
        self.said = said
        self.id = ProcessId(popen.pid, start_ticks(popen.pid))

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self.popen.poll() is None


def program(root: Path, name: str) -> str:
    """Return a Python whose executable file has another name, so that it is not taken for what PROGRAM stands for."""
    folder = root / "programs"
    folder.mkdir(exist_ok=True)
    (folder / "pyvenv.cfg").write_text(f"home = {Path(sys.base_prefix) / 'bin'}\n")
    return str(shutil.copy(str(Path("/proc/self/exe").readlink()), str(folder / name)))


@contextmanager
def child(code: str, *arguments: str, python: str = sys.executable) -> Iterator[Child]:
    """Run Python code, from its first line of output to the end of the block."""
    whole = f"import os, signal, socket, subprocess, sys, time\n{code}"
    command = [python, "-I", "-S", "-c", whole, *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as popen:
        try:
            assert popen.stdout is not None
            assert select.select([popen.stdout], [], [], LIMIT_S)[0], "the child says nothing"
            yield Child(popen, popen.stdout.readline().decode().strip())
        finally:
            popen.kill()


@contextmanager
def listener(
    host: str = "127.0.0.1", port: int | str = 0, only: str = "", python: str = sys.executable
) -> Iterator[Child]:
    """Run a child that listens on TCP; it says its port. `only`: IPv6 without IPv4."""
    with child(TCP, host, str(port), only, python=python) as found:
        yield found


def plan(url: str, **more: Any) -> FencePlan:
    """Return how a child that stands for nodeos is found and ended."""
    return FencePlan(url, **{"executable": PROGRAM, **more})


def ident(held: Held | None) -> ProcessId | None:
    """Return who is held, and let go."""
    if held is None:
        return None
    held.close()
    return held.id


def state_of(pid: int) -> str:
    """Return the state letter of a process, nothing when there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def wait_until(condition: Callable[[], object], limit_s: float = LIMIT_S) -> None:
    """Wait for a condition."""
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end, f"not within {limit_s:g} s"
        time.sleep(0.005)


def await_end(pid: int | str) -> None:
    """Wait until a process is gone; one that nobody has waited for yet is."""
    wait_until(lambda: state_of(int(pid)) in ("", "Z"))
