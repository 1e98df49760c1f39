"""The table of transitions: it covers every phase, and the core uses every row and no other."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from agent import core
from agent.cli.main import main
from agent.core.leadership.state import Phase, State
from agent.core.leadership.step import Step
from agent.core.leadership.transitions import ACTIVE, REQUESTED, TRANSITIONS, dot, mermaid, table
from tests.core.parts import SETUP

ROOT = Path(__file__).parents[3]
TAKERS = ("go", "stop", "_end", "Plan")
"""What takes the key of a row: Step.go, production.stop, tenure._end; whole.Plan, whose cause the standing hands on."""


def keys_in_use() -> Iterator[tuple[str, str]]:
    """Yield (key, place) for each text that the core hands to a function that takes the key of a row."""
    for path in sorted(Path(core.__path__[0]).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                for argument in node.args[:2] if name in TAKERS else ():
                    if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                        yield argument.value, f"{path.name}:{node.lineno}"
                        break


def test_every_row_is_used_and_every_use_names_a_row() -> None:
    """The core takes every transition of the table somewhere, and none that is not in it."""
    used = dict(keys_in_use())
    assert {key: place for key, place in used.items() if key not in TRANSITIONS} == {}
    assert set(TRANSITIONS) - set(used) == set()


def outline() -> str:
    """Return the phases, each with the phases that follow it and the keys of the ways there, as lines of text."""
    ways: dict[tuple[Phase, Phase], list[str]] = {}
    for row in TRANSITIONS.values():
        for source in row.sources:
            ways.setdefault((source, row.target), []).append(row.key)
    found = sorted(ways.items(), key=lambda each: [list(Phase).index(phase) for phase in each[0]])
    lines = [f"{source.value:11} -> {target.value:11} {', '.join(keys)}" for (source, target), keys in found]
    return "\n".join(part for line in lines for part in textwrap.wrap(line, 116, subsequent_indent=" " * 27))


def test_the_theory_shows_the_phases_of_the_table() -> None:
    """The page that the core opens with has the phases as the table has them."""
    assert textwrap.indent(outline(), "    ") in (core.__doc__ or "")


def test_every_rule_is_defined_once_and_proven() -> None:
    """Each rule that code or a test cites is defined in the theory, and each that is defined is cited by a test."""
    defined = re.findall(r"(?m)^    (R\d+) ", core.__doc__ or "")
    assert len(defined) == len(set(defined))
    places = {
        name: {
            rule
            for kind in ("*.py", "*.txt")
            for path in (ROOT / name).rglob(kind)
            for rule in re.findall(r"\bR\d+\b", path.read_text())
        }
        for name in ("agent", "tests")
    }
    assert places["agent"] | places["tests"] == set(defined) == places["tests"] & set(defined)


def test_every_phase_can_be_reached_and_left() -> None:
    """From starting every phase can be reached, and from every phase there is a way back to standby."""
    ways = {phase: {row.target for row in TRANSITIONS.values() if phase in row.sources} for phase in Phase}

    def reach(start: Phase) -> set[Phase]:
        found, new = {start}, {start}
        while new:
            new = {target for phase in new for target in ways[phase]} - found
            found |= new
        return found

    assert reach(Phase.STARTING) == set(Phase)
    assert all(Phase.STANDBY in reach(phase) for phase in Phase)


def test_no_way_leads_back_into_production_from_a_stop() -> None:
    """A tenure that has begun to stop is over: the only ways on are the proof and the release (R3, R5)."""
    ways = {(source, row.target) for row in TRANSITIONS.values() for source in row.sources}
    assert {target for source, target in ways if source is Phase.STOPPING} == {Phase.RELEASING}
    assert {target for source, target in ways if source is Phase.RELEASING} == {Phase.STANDBY}
    assert {source for source, target in ways if target is Phase.LEADING} == {Phase.STARTING, Phase.ELECTED}
    assert {source for source, target in ways if target is Phase.ELECTED} == {Phase.CAMPAIGNING}


def test_every_row_has_a_reason_a_rule_and_its_own_key() -> None:
    """Each row says why in words, by which rule, and bears the key that it is filed under."""
    for key, row in TRANSITIONS.items():
        assert row.key == key
        assert re.fullmatch(r"[a-z_]+", key)
        assert re.fullmatch(r"R([1-9]|1[0-9]|20)", row.rules)
        assert row.reason


def test_a_leader_can_be_stopped_from_wherever_it_may_produce() -> None:
    """Every stop starts both where the leader waits to produce and where it produces (R3)."""
    for row in TRANSITIONS.values():
        if row.target is Phase.STOPPING and row.key not in ("restart_stop", "elected_late", "late_answer"):
            assert row.sources == ACTIVE, row.key
    assert set(TRANSITIONS) >= REQUESTED


@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("key", TRANSITIONS)
def test_a_row_that_does_not_start_here_changes_nothing(phase: Phase, key: str) -> None:
    """A transition is taken from its own phases; from any other it raises, and the state stays as it was."""
    step = Step(State(SETUP, phase=phase), 1000)
    before = step.state
    if phase in TRANSITIONS[key].sources:
        step.go(key, "detail")
        assert step.state.phase is TRANSITIONS[key].target
        assert step.reason.startswith(TRANSITIONS[key].reason)
    else:
        with pytest.raises(AssertionError, match=key):
            step.go(key)
        assert (step.state, step.actions) == (before, [])


@pytest.mark.parametrize("picture", [mermaid, dot, table])
def test_each_picture_shows_every_phase_and_every_row(picture: object) -> None:
    """All three pictures of the table have every phase and every row."""
    assert callable(picture)
    text = picture()
    words = set(re.findall(r"\w+", text.replace("\\n", " ")))
    assert {phase.value for phase in Phase} <= words
    assert set(TRANSITIONS) <= words


def test_mermaid_has_a_line_for_each_arrow() -> None:
    """Each line of the Mermaid diagram is one arrow between two phases."""
    head, start, *arrows = mermaid().splitlines()
    assert (head, start) == ("stateDiagram-v2", "    [*] --> starting")
    phases = "|".join(phase.value for phase in Phase)
    assert all(re.fullmatch(rf"    ({phases}) --> ({phases}): \w+ \(R\d+\)", arrow) for arrow in arrows)
    assert len(arrows) == sum(len(row.sources) for row in TRANSITIONS.values())


@pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz is not installed")
def test_graphviz_takes_the_dot_picture() -> None:
    """Graphviz itself parses the picture."""
    done = subprocess.run(["dot", "-Tplain"], input=dot(), capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\nedge ") == sum(len(row.sources) for row in TRANSITIONS.values())


@pytest.mark.parametrize(("form", "picture"), [("table", table), ("mermaid", mermaid), ("dot", dot)])
def test_show_states_prints_them(form: str, picture: object) -> None:
    """`show-states` prints what the program itself uses."""
    assert callable(picture)
    done = CliRunner().invoke(main, ["show-states", "-f", form])
    assert (done.exit_code, done.output) == (0, picture() + "\n")
