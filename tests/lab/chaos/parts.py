"""Parts of the lab with the joints that chaos breaks: peer links of etcd, of nodes, guards, a wall clock that jumps."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from tests.lab.chain import OBSERVER, Chain
from tests.lab.chaos.kinds import MEMBERS
from tests.lab.chaos.links import Link, ProxyLink, SpaceLink
from tests.lab.etcd import EtcdCluster, EtcdMember, EtcdOptions
from tests.lab.gates import SigningGate
from tests.lab.places import LOOPBACK
from tests.lab.ports import Ports
from tests.lab.proxy import HOST, Direction, Proxy
from tests.lab.slow_disk import SlowDisk, possible
from tests.lab.spaces import Spaces

QUOTA = 32 << 20
"""Bytes: small, so that a NOSPACE alarm is quickly raised; 20 minutes of a group's own writes need a tenth of it."""
DESK = OBSERVER
"""Where the operator's etcdctl runs: nobody cuts that host from etcd."""
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
    """Three members that reach each other through links; `peer_links[member]` is the way to a member.

    Without namespaces a link is a proxy: what is cut is what others ask of the member. With them it is every packet
    to the member from another one. `disks[member]` can be slow, where the kernel lets us.
    """

    def __init__(self, root: Path, ports: Ports, closing: ExitStack, spaces: Spaces | None) -> None:
        self.peer_links: dict[str, Link] = {}
        self.disks: dict[str, SlowDisk] = {}
        self._peer_urls: dict[str, str] = {}
        self._links_closing = closing
        self._spaces = spaces
        slow = possible()
        places = spaces.places if spaces else {}
        more = (f"--quota-backend-bytes={QUOTA}",)
        options = EtcdOptions(size=3, more=more, places=places, desk=places.get(DESK, LOOPBACK), fsync=slow)
        super().__init__(root, ports, options)
        for member in self.members if slow else ():
            self.disks[member.name] = disk = SlowDisk(member)
            closing.callback(disk.close)

    def _member(self, name: str, client: int, peer: int, peers: str, scheme: str) -> EtcdMember:
        member = super()._member(name, client, peer, peers, scheme)
        self._peer_urls[name] = f"http://{member.place.address}:{peer}"
        if self._spaces is not None:
            others = [other for other in MEMBERS if other != name]
            self.peer_links[name] = SpaceLink(self._spaces, [(other, name) for other in others], [])
            return member
        own = self._ports.take()
        member.command[member.command.index("--listen-peer-urls") + 1] = f"http://{HOST}:{own}"
        proxy = Proxy(peer, own)
        self.peer_links[name] = ProxyLink(proxy)
        self._links_closing.callback(proxy.close)
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
        return self._peer_urls[member.name]


class CutChain(Chain):
    """A chain whose links can be cut one by one, and one way only."""

    def __init__(
        self,
        root: Path,
        ports: Ports,
        count: int,
        spaces: Spaces | None,
        env: Mapping[str, Mapping[str, str]],
        gates: Mapping[str, SigningGate],
    ) -> None:
        self._spaces = spaces
        places = spaces.places if spaces else None
        super().__init__(root, ports, count, cuttable=spaces is None, places=places, env=env, gates=gates)

    def ways(self, name: str) -> Iterator[tuple[Link, Direction]]:
        """Yield every link at a node, with the direction that leads out of the node."""
        if self._spaces is not None:
            for other in self._everybody:
                if other != name:
                    yield SpaceLink(self._spaces, [(name, other)], [(other, name)]), "to_server"
        for (dialler, dialled), proxy in self._proxies.items():
            if dialler == name:
                yield ProxyLink(proxy), "to_server"
            elif dialled == name:
                yield ProxyLink(proxy), "to_client"


class FakeClock:
    """The wall clock of one process, by libfaketime. CLOCK_BOOTTIME and CLOCK_MONOTONIC stay what they are.

    `env` is for an agent, `library_env` for a program that is not Python.
    """

    def __init__(self, library: Path, file: Path) -> None:
        self._file = file
        shim = file.parent / "shim"
        shim.mkdir(parents=True, exist_ok=True)
        (shim / "sitecustomize.py").write_text(SHIM)
        self.library_env = {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(file),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
        path = os.pathsep.join(filter(None, (str(shim), os.environ.get("PYTHONPATH"))))
        self.env = {**self.library_env, "PYTHONPATH": path}
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
