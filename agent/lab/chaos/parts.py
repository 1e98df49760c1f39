"""Parts of the lab with the joints that chaos breaks: peer links of etcd, of nodes, guards, a wall clock that jumps."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from agent.lab.chain import Chain
from agent.lab.etcd import EtcdCluster, EtcdMember, EtcdOptions
from agent.lab.ports import Ports
from agent.lab.proxy import HOST, Proxy
from agent.lab.relay import Direction

QUOTA = 32 << 20
"""Bytes: small, so that a NOSPACE alarm is quickly raised; 20 minutes of a group's own writes need a tenth of it."""
PLACES = ("/usr/lib", "/usr/lib64", "/usr/local/lib", "/opt")
FAKETIME = "libfaketimeMT.so.1"
SHIM = """
import os, select, time
os.environ.pop("LD_PRELOAD")  # the guard, which reads no wall clock, runs without
def sleep(seconds):
    if seconds < 0:
        raise ValueError("sleep length must be non-negative")
    select.select([], [], [], seconds)
time.sleep = sleep
"""
"""Runs in the agent before all else: under libfaketime 0.9.10 every time.sleep of Python 3.11 fails with EINVAL.

Without it the chaos would be one of threads that die of that, which is nobody's wall clock.
"""
PROBE = "import time; time.sleep(0.2); print(time.time(), time.clock_gettime(time.CLOCK_BOOTTIME), time.monotonic())"
PROBE_LIMIT = 20.0
CLOSE_TO = 60.0
"""Seconds between two readings of one clock that are taken for the same clock, not for a faked one."""


class CutEtcd(EtcdCluster):
    """Three members that reach each other through proxies; `peer_links[member]` is the way to a member."""

    def __init__(self, root: Path, ports: Ports, closing: ExitStack) -> None:
        self.peer_links: dict[str, Proxy] = {}
        self._links_closing = closing
        super().__init__(root, ports, EtcdOptions(size=3, more=(f"--quota-backend-bytes={QUOTA}",)))

    def _member(self, name: str, client: int, peer: int, peers: str, scheme: str) -> EtcdMember:
        member = super()._member(name, client, peer, peers, scheme)
        own = self._ports.take()
        member.command[member.command.index("--listen-peer-urls") + 1] = f"http://{HOST}:{own}"
        self.peer_links[name] = link = Proxy(peer, own)
        self._links_closing.callback(link.close)
        return member

    def replace(self, member: EtcdMember) -> None:
        """Take a member out of the cluster, its data with it, and add it anew, as after the loss of a disk."""
        member.kill()
        members = json.loads(self.etcdctl("member", "list", "-w", "json"))["members"]
        old = next(each for each in members if each["peerURLs"] == [self._peer_url(member)])
        self.etcdctl("member", "remove", format(old["ID"], "x"))
        shutil.rmtree(member.data, ignore_errors=True)
        self.etcdctl("member", "add", member.name, f"--peer-urls={self._peer_url(member)}")
        member.start("--initial-cluster-state=existing")

    def _peer_url(self, member: EtcdMember) -> str:
        return f"http://{HOST}:{self.peer_links[member.name].port}"


class CutChain(Chain):
    """A chain whose links can be cut one by one, and one way only."""

    def ways(self, name: str) -> Iterator[tuple[Proxy, Direction, Direction]]:
        """Yield every proxy at a node, with the direction that leads out of the node, and the one into it."""
        for (dialler, dialled), proxy in self._proxies.items():
            if dialler == name:
                yield proxy, "to_server", "to_client"
            elif dialled == name:
                yield proxy, "to_client", "to_server"


def guards(runtime_dir: Path) -> list[int]:
    """Return the pids of the guards of one agent: whoever runs `agent.guard` on its run-time file."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with suppress(OSError):
            words = (entry / "cmdline").read_bytes().split(b"\0")
            if b"agent.guard" in words and any(word.startswith(os.fsencode(runtime_dir)) for word in words):
                found.append(int(entry.name))
    return found


def signal_guards(runtime_dir: Path, number: signal.Signals) -> int:
    """Send a signal to the guards of one agent; return to how many."""
    sent = 0
    for pid in guards(runtime_dir):
        with suppress(ProcessLookupError):
            handle = os.pidfd_open(pid)
            try:
                if pid in guards(runtime_dir):  # still the same one, now that it can not be mistaken
                    signal.pidfd_send_signal(handle, number)
                    sent += 1
            finally:
                os.close(handle)
    return sent


class FakeClock:
    """The wall clock of one agent, by libfaketime. CLOCK_BOOTTIME and CLOCK_MONOTONIC stay what they are."""

    def __init__(self, library: Path, file: Path) -> None:
        self._file = file
        shim = file.parent / "shim"
        shim.mkdir(parents=True, exist_ok=True)
        (shim / "sitecustomize.py").write_text(SHIM)
        self.env = {
            "PYTHONPATH": os.pathsep.join(filter(None, (str(shim), os.environ.get("PYTHONPATH")))),
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(file),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
        self.jump("+0")

    def jump(self, offset: str) -> None:
        """Let the wall clock be off by `offset` seconds from within a second on."""
        new = self._file.with_suffix(".new")
        new.write_text(offset + "\n")
        new.replace(self._file)

    def works(self) -> bool:
        """Whether the library moves the wall clock, and no other, and lets a process sleep."""
        self.jump("+100000")
        try:
            said = subprocess.run(
                [sys.executable, "-c", PROBE],
                env={**os.environ, **self.env},
                capture_output=True,
                text=True,
                timeout=PROBE_LIMIT,
                check=True,
            ).stdout.split()
        except (OSError, subprocess.SubprocessError):
            return False
        finally:
            self.jump("+0")
        wall, boot, monotonic = (float(word) for word in said)
        true = (time.time() + 100_000, time.clock_gettime(time.CLOCK_BOOTTIME), time.monotonic())
        return all(abs(one - two) < CLOSE_TO for one, two in zip((wall, boot, monotonic), true, strict=True))


def find_faketime(places: Sequence[str] = PLACES) -> Path | None:
    """Return the library of faketime, None where it is not installed."""
    for place in places:
        for found in sorted(Path(place).glob(f"**/{FAKETIME}")) if Path(place).is_dir() else ():
            return found
    return None
