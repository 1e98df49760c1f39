"""Programs that keep a machine busy while something is measured: they end with the measurement, however that ends."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.lab.wait import until

pytestmark = pytest.mark.real
CHILD = "import os, pathlib, sys, time; pathlib.Path(sys.argv[1]).write_text(f'{os.getpid()}\\n'); time.sleep(60)"
MEASURES = """
import sys, time
from tests.lab.measure.margins import beside
with beside([[sys.executable, "-c", sys.argv[1], sys.argv[2]]]):
    time.sleep(60)
"""


def test_what_runs_beside_a_measurement_dies_with_it(tmp_path: Path) -> None:
    """A measurement that is killed leaves no program behind that keeps a processor busy for ever."""
    told = tmp_path / "pid"
    measurement = subprocess.Popen([sys.executable, "-c", MEASURES, CHILD, str(told)])
    try:
        until(lambda: told.exists() and told.read_text().endswith("\n"), 20.0, "a child")
        pid = int(told.read_text())
    finally:
        measurement.kill()
        measurement.wait()
    until(lambda: not Path(f"/proc/{pid}").exists(), 20.0, "the end of the child")
