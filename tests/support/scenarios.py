"""Scenarios as text: each move stands beside the lines that it causes, as in the testdata of etcd's raft."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import pytest


@dataclass
class Scenario:
    """What it shows, and its moves, each with the lines below it."""

    title: list[str] = field(default_factory=list)
    moves: list[tuple[str, list[str]]] = field(default_factory=list)

    def text(self) -> str:
        """Return it as it stands in a file."""
        lines = [*self.title]
        for move, said in self.moves:
            lines += [move, *(f"    {line}".rstrip() for line in said)]
        return "\n".join(lines) + "\n"


def read(path: Path) -> list[Scenario]:
    """Read a file: scenarios are apart by an empty line."""
    found = []
    for block in path.read_text().strip().split("\n\n"):
        found.append(scenario := Scenario())
        for line in block.splitlines():
            if line.startswith("#"):
                scenario.title.append(line)
            elif line.startswith(" "):
                scenario.moves[-1][1].append(line.strip())
            else:
                scenario.moves.append((line, []))
    return found


class Stage(Protocol):
    """What the moves of a scenario are made on."""

    def move(self, text: str) -> Iterator[str]:
        """Make a move, and yield the lines that it causes."""


def play(scenario: Scenario, stage: Stage) -> Scenario:
    """Return the scenario with the lines that its moves cause now."""
    return Scenario(scenario.title, [(move, list(stage.move(move))) for move, _ in scenario.moves])


def found(folder: Path) -> pytest.MarkDecorator:
    """Return the parameters `path` and `number` for every scenario of a folder."""
    cases = [(path, number) for path in sorted(folder.glob("*.txt")) for number, _ in enumerate(read(path))]
    return pytest.mark.parametrize(("path", "number"), cases, ids=[f"{path.stem}-{number}" for path, number in cases])


def check(path: Path, number: int, stage: Callable[[], Stage], *, rewrite: bool) -> None:
    """Play one scenario, and compare its lines with those in the file; `rewrite` puts those of now in their place."""
    scenarios = read(path)
    played = play(scenarios[number], stage())
    if rewrite and played != scenarios[number]:
        scenarios[number] = played
        path.write_text("\n".join(each.text() for each in scenarios))
    assert played.text() == scenarios[number].text()
