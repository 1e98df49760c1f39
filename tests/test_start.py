"""The command begins by seeing that `agent` is ours: another's is told of, with the remedy, not by a traceback."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

import agent

ROOT = Path(__file__).parents[1]
OURS = f'DISTRIBUTION = "{agent.DISTRIBUTION}"\n'


def start(*path: Path) -> subprocess.CompletedProcess[str]:
    """Run `nodeos-failover version` where Python looks at these directories first."""
    command = [sys.executable, "-c", "import nodeos_failover; nodeos_failover.main()", "version"]
    environment = {"PYTHONPATH": ":".join(map(str, path)), "PATH": "/usr/bin"}
    return subprocess.run(command, cwd="/", env=environment, capture_output=True, text=True, timeout=60)


def test_ours_starts() -> None:
    """With nothing in the way the command runs, and tells the version of the installed package."""
    done = start(ROOT)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"nodeos-failover {agent.__version__} " in done.stdout


def test_the_version_is_that_of_the_installed_package() -> None:
    """It is found by a name beside the packages, as importlib.metadata finds it, only sooner."""
    assert agent.__version__ == metadata.version(agent.DISTRIBUTION)


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({"__init__.py": "VERSION = 3\n", "main.py": "def main(): print('other')\n"}, "of another program"),
        ({"__init__.py": OURS, "main.py": "import agent.nothing\n"}, "mixed with another's (No module named"),
        ({"__init__.py": OURS, "main.py": "run = 1\n"}, "mixed with another's (module 'agent.main' has no attribute"),
    ],
)
def test_anothers_is_told(tmp_path: Path, files: dict[str, str], told: str) -> None:
    """Another distribution's `agent`, or one that was written over ours."""
    (tmp_path / "agent").mkdir()
    for name, text in files.items():
        (tmp_path / "agent" / name).write_text(text)
    done = start(tmp_path, ROOT)
    assert done.returncode == 1
    assert done.stdout == ""
    assert told in done.stderr
    assert "virtual environment of its own" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_sources_alone_have_no_version_but_start(tmp_path: Path) -> None:
    """Without metadata of an installed package the version is unknown, and everything else works."""
    (tmp_path / "agent").symlink_to(ROOT / "agent")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import agent; print(agent.__version__)"
    command = [sys.executable, "-I", "-S", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.stdout == "0+unknown\n", done.stderr


LATE = ("prometheus_client", "agent.telemetry.http_server", "http.server", "agent.alerts.sinks", "requests", "dns")
"""What a leader that was restarted has no use for before its first confirmation (E_s - A may be 0.9 s)."""


def test_what_a_confirmation_does_not_need_is_imported_later() -> None:
    """All that is imported until the loop runs; metrics and the HTTP server come when somebody waits for them."""
    code = f"import agent.run, agent.app, sys; print(*[each for each in {LATE} if each in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=ROOT)
    assert done.stdout.split() == [], done.stderr
