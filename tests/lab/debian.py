"""Programs out of Debian's packages, fetched once into the user's cache. Only that fetch lives here.

Nothing is installed and no root is needed: apt downloads and verifies the package, dpkg-deb unpacks it. Its programs
need nothing but libc.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

from tests.lab.errors import LabUnavailable
from tests.lab.wheel import cache_root


class Package(NamedTuple):
    """A package and the programs in it that are wanted."""

    name: str
    programs: tuple[str, ...]


PROMETHEUS = Package("prometheus", ("prometheus", "promtool"))
ALERTMANAGER = Package("prometheus-alertmanager", ("prometheus-alertmanager",))
BIN = Path("usr/bin")
FETCH_LIMIT = 180.0  # seconds for each of the commands; the package has 19 MB


def cached(package: Package, remedy: str, limit: float = FETCH_LIMIT) -> Path:
    """Return the directory of the unpacked executables, fetching them on first use.

    Raises LabUnavailable, its message ending in `remedy`, when there is no apt or the fetch fails.
    """
    target = cache_root() / f"debian-{package.name}"
    try:
        if not all(os.access(target / BIN / name, os.X_OK) for name in package.programs):
            target.parent.mkdir(parents=True, exist_ok=True)
            _fetch(package, target, limit)
    except LabUnavailable as error:
        raise LabUnavailable(f"{error}; {remedy}") from error
    except OSError as error:
        raise LabUnavailable(
            f"{package.name} could not be unpacked below {cache_root()} ({error}); {remedy}"
        ) from error
    return target / BIN


def _fetch(package: Package, target: Path, limit: float) -> None:
    """Download and unpack beside `target`, then rename into place: two processes at once do no harm."""
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise LabUnavailable(f"there is no apt-get and dpkg-deb to fetch Debian's package {package.name} with")
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=target.parent) as scratch:
        root = Path(scratch)
        _run(["dpkg-deb", "-x", str(_download(package.name, root, limit)), str(root / "unpacked")], root, limit)
        missing = [name for name in package.programs if not (root / "unpacked" / BIN / name).is_file()]
        if missing:
            raise LabUnavailable(f"the package {package.name} holds no {', '.join(missing)}")
        try:
            (root / "unpacked").rename(target)
        except OSError:
            if not (target / BIN).is_dir():  # else another process was first
                raise


def _download(package: str, root: Path, limit: float) -> Path:
    """Download with the lists that are there; when they are missing or old, with lists of our own."""
    apt = ["apt-get", "-q", "-o", "APT::Sandbox::User=", "-o", f"Acquire::http::Timeout={limit:g}"]
    try:
        _run([*apt, "download", package], root, limit)
    except LabUnavailable:
        state = root / "apt"
        (state / "lists" / "partial").mkdir(parents=True)
        apt += ["-o", f"Dir::State::Lists={state / 'lists'}", "-o", f"Dir::Cache={state / 'cache'}"]
        _run([*apt, "update"], root, limit)
        _run([*apt, "download", package], root, limit)
    found = list(root.glob(f"{package}_*.deb"))
    if len(found) != 1:
        raise LabUnavailable(f"apt-get brought {len(found)} packages {package} instead of one")
    return found[0]


def _run(command: list[str], root: Path, limit: float) -> None:
    try:
        done = subprocess.run(
            command, cwd=root, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=limit
        )
    except subprocess.TimeoutExpired as error:
        raise LabUnavailable(f"{command[0]} took longer than {limit:g} s: try again") from error
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise LabUnavailable(f"{' '.join(command[-2:])} failed ({reason}): check apt and the network")
