"""Debian's promtool and Prometheus for the tests of rules and dashboard."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab.binaries import PrometheusBinaries, find_prometheus
from tests.lab.errors import LabUnavailable


@pytest.fixture(scope="session")
def prometheus() -> PrometheusBinaries:
    """Return the real programs, fetched on first use; where there are none, skip and say why."""
    try:
        return find_prometheus()
    except LabUnavailable as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def promtool_path(prometheus: PrometheusBinaries) -> Path:
    """Return promtool."""
    return prometheus.promtool
