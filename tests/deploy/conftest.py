"""All packages, built once for every test that installs them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CLEAN = {key: value for key, value in os.environ.items() if key not in {"VIRTUAL_ENV", "PYTHONPATH"}}


def run(command: Sequence[str | Path], cwd: Path, limit: float = 60.0) -> str:
    """Run a command; return what it printed."""
    done = subprocess.run(command, cwd=cwd, env=CLEAN, capture_output=True, text=True, timeout=limit)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build all packages from a copy of the sources."""
    copy = tmp_path_factory.mktemp("source") / "nodeos-failover"
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".venv", ".git", ".*_cache", "dist", "__pycache__"))
    (copy / ".venv").symlink_to(Path(sys.prefix))
    (copy / ".venv" / ".installed").touch()
    run(["make", "package"], copy, 600.0)
    return copy / "dist"
