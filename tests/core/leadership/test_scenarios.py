"""The scenarios beside this file: each move causes exactly the lines below it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.core.leadership.scenario import Scenario, play, read

FILES = sorted((Path(__file__).parent / "scenarios").glob("*.txt"))
SCENARIOS = [(path, scenario) for path in FILES for scenario in read(path)]


@pytest.mark.parametrize(("path", "scenario"), SCENARIOS, ids=lambda each: getattr(each, "stem", None))
def test_each_move_causes_the_lines_below_it(path: Path, scenario: Scenario, request: pytest.FixtureRequest) -> None:
    """What the title says; with --rewrite the file gets the lines of now."""
    played = play(scenario)
    if request.config.getoption("--rewrite"):
        path.write_text("\n".join(play(each).text() for each in read(path)))
    else:
        assert played.text() == scenario.text()
