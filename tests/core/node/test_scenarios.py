"""Stories of whole nodes in the scenarios beside this file: each move causes exactly the lines below it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.core.node.stage import Stage
from tests.support import scenarios


@scenarios.found(Path(__file__).parent / "scenarios")
def test_each_move_causes_the_lines_below_it(path: Path, number: int, request: pytest.FixtureRequest) -> None:
    """What the title says; with --rewrite the file gets the lines of now."""
    scenarios.check(path, number, Stage, rewrite=request.config.getoption("--rewrite"))
