"""A Debian host in a container that systemd booted, for tests of packages and units (needs root)."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.lab.binaries import find_etcd

PROGRAMS = ("mmdebstrap", "systemd-nspawn", "nsenter")
PACKAGES = "systemd,systemd-sysv,dbus,python3.11,python3-venv,iproute2"
SUITE = "bookworm"
BOOT_S = 60.0


def missing() -> str:
    """Return what is missing to boot a host here; empty: nothing is."""
    lacks = [name for name in PROGRAMS if shutil.which(name) is None]
    if os.geteuid() != 0:
        lacks.append("root")
    return ", ".join(lacks)


def make_root(root: Path, packages: str = PACKAGES) -> None:
    """Write a fresh Debian into `root`, from the mirrors that this host uses; about a minute."""
    sources = [str(path) for path in (Path("/etc/apt/sources.list"),) if path.exists()]
    sources += map(str, sorted(Path("/etc/apt/sources.list.d").glob("*.sources")))
    command = ["mmdebstrap", "--quiet", "--variant=apt", f"--include={packages}", SUITE, str(root), *sources]
    subprocess.run(command, check=True, capture_output=True, timeout=600)


def add_etcd(root: Path) -> None:
    """Put etcd and etcdctl into a Debian's /srv; `start_etcd` runs it there."""
    for program in (find_etcd().etcd, find_etcd().etcdctl):
        shutil.copy(program, root / "srv" / program.name)


def start_etcd(host: Booted) -> None:
    """Run one member at 127.0.0.1:2379. By addresses alone: a fresh Debian does not know `localhost`."""
    host.run("ip", "link", "set", "lo", "up")
    peers, clients = "http://127.0.0.1:2380", "http://127.0.0.1:2379"
    urls = (
        "--listen-peer-urls",
        peers,
        "--initial-advertise-peer-urls",
        peers,
        "--initial-cluster",
        f"default={peers}",
    )
    served = ("--listen-client-urls", clients, "--advertise-client-urls", clients)
    host.run("systemd-run", "--unit=etcd", "/srv/etcd", "--data-dir", "/srv/data", *urls, *served)


class Booted:
    """A host that runs. `pid` is its init's, as this host sees it."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def run(self, *command: str, check: bool = True, limit: float = 120.0) -> subprocess.CompletedProcess[str]:
        """Run a command there as root; return what became of it."""
        enter = ["nsenter", "--target", str(self.pid), "--all", "env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"]
        done = subprocess.run([*enter, *command], capture_output=True, text=True, timeout=limit)
        assert not check or done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done

    def says(self, *command: str) -> str:
        """Return the output of a command, whatever its exit code."""
        return self.run(*command, check=False).stdout.strip()


@contextmanager
def booted(root: Path) -> Iterator[Booted]:
    """Boot the Debian in `root` with a network of its own, and end it afterwards."""
    legacy = Path("/sys/fs/cgroup/systemd").exists()  # this host's cgroups: the guest's systemd gets the same
    environment = {**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "0" if legacy else "1"}
    command = ["systemd-nspawn", "-D", str(root), "--private-network", "--register=no", "--keep-unit", "-b"]
    with subprocess.Popen(
        [*command, "--console=pipe"],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as nspawn:
        try:
            yield Booted(_init(nspawn))
        finally:
            nspawn.terminate()  # nspawn has the host shut down; what still stands after that is killed with it
            try:
                nspawn.wait(30.0)
            except subprocess.TimeoutExpired:
                nspawn.kill()


def _init(nspawn: subprocess.Popen[bytes]) -> int:
    """Return the pid of the init that nspawn started, once it says that the host runs."""
    end = time.monotonic() + BOOT_S
    while time.monotonic() < end and nspawn.poll() is None:
        children = Path(f"/proc/{nspawn.pid}/task/{nspawn.pid}/children").read_text().split()
        for pid in map(int, children):
            if Booted(pid).says("systemctl", "is-system-running") in ("running", "degraded"):
                return pid
        time.sleep(0.2)
    raise TimeoutError("the host did not boot")
