"""The command of the deep search: it ends at its bound with a table."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_command_ends_with_a_table() -> None:
    """The search that people start ends at its bound, says how far it came, and that nothing is broken."""
    args = (sys.executable, "-m", "tests.proof", "--agents", "2", "--faults", "1", "--worlds", "2000")
    root = Path(__file__).parents[2]
    done = subprocess.run(args, cwd=root, capture_output=True, text=True, timeout=150, check=True)
    assert "nothing" in done.stdout
    assert "no: the bound was reached" in done.stdout
