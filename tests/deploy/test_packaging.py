"""`make package`: wheel, sdist and .deb work where nothing else of ours is. Slow: every dependency is fetched anew."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from agent import __version__

ROOT = Path(__file__).resolve().parents[2]
CLEAN = {key: value for key, value in os.environ.items() if key not in {"VIRTUAL_ENV", "PYTHONPATH"}}


def run(command: Sequence[str | Path], cwd: Path, limit: float = 60.0) -> str:
    """Run a command; return what it printed."""
    done = subprocess.run(command, cwd=cwd, env=CLEAN, capture_output=True, text=True, timeout=limit)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build all packages from a copy of the sources."""
    copy = tmp_path_factory.mktemp("source") / "nodeos-failover"
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".venv", ".git", ".*_cache", "dist", "__pycache__"))
    (copy / ".venv").symlink_to(Path(sys.prefix))
    (copy / ".venv" / ".installed").touch()
    run(["make", "package"], copy, 600.0)
    return copy / "dist"


def python(version: str) -> str:
    """Return the interpreter of a version that works here (one on PATH may be a shim without anything behind it)."""
    for found in (sys.executable, shutil.which(f"python{version}")):
        if (
            found
            and subprocess.run(
                [found, "-c", f"import sys; sys.exit('%d.%d' % sys.version_info[:2] != '{version}')"], timeout=30.0
            ).returncode
            == 0
        ):
            return found
    pytest.skip(f"there is no Python {version} here")


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
@pytest.mark.parametrize("pattern", ["*.whl", "*.tar.gz"])
def test_installs_in_an_empty_environment(dist: Path, tmp_path: Path, pattern: str, version: str) -> None:
    """Wheel and sdist install with pip alone, and the command works outside of the sources."""
    (package,) = dist.glob(pattern)
    run([python(version), "-m", "venv", tmp_path / "venv"], tmp_path)
    run([tmp_path / "venv/bin/python", "-m", "pip", "install", "--quiet", package], tmp_path, 600.0)
    command = tmp_path / "venv/bin/nodeos-failover"
    said = run([command, "version"], tmp_path)
    assert __version__ in said
    assert f"Python {version}." in said
    assert "validity" in run([command, "config", "schema"], tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="dpkg-deb is Debian's")
def test_deb_holds_all_but_python(dist: Path, tmp_path: Path) -> None:
    """The .deb is unpacked anywhere and works with the host's Python; no file of it names where it was built."""
    (package,) = dist.glob("*.deb")
    run(["dpkg-deb", "-x", package, tmp_path], tmp_path)
    python = tmp_path / "opt/nodeos-failover/bin/python3"
    assert __version__ in run([python, "-P", "-m", "agent", "version"], tmp_path)
    assert "validity" in run([python, "-P", "-m", "agent", "config", "schema"], tmp_path)
    assert "/opt/nodeos-failover/bin/python3" in (tmp_path / "usr/bin/nodeos-failover").read_text()
    configuration = (tmp_path / "opt/nodeos-failover/pyvenv.cfg").read_text()
    assert "home = /usr/bin" in configuration
    assert "/tmp" not in configuration
