"""`run` without the command line: the same words, the same errors, and little in memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from agent import main, run
from agent.core.health.hysteresis import CheckState
from agent.core.model.copying import replace
from agent.host.paths import DEFAULT_CONFIG


@pytest.mark.parametrize(
    ("words", "path"),
    [
        (["-c", "/a.toml"], "/a.toml"),
        (["--config", "/a.toml"], "/a.toml"),
        (["--config=/a.toml"], "/a.toml"),
        (["--help"], None),
        (["-c"], None),
        (["--config="], None),
        (["-c", "--help"], None),
        (["/a.toml"], None),
        (["-c", "/a.toml", "more"], None),
    ],
)
def test_words_that_are_not_plain_go_to_the_command_line(words: list[str], path: str | None) -> None:
    """Only what names a configuration file is taken; help and mistakes are the command line's to answer."""
    assert run.path_of(words) == path
    assert (main.quick(["run", *words]) is None) == (path is None)


def test_the_file_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a word it is the variable's, and without that the default."""
    monkeypatch.setenv("NODEOS_FAILOVER_CONFIG", "/b.toml")
    assert run.path_of([]) == "/b.toml"
    monkeypatch.delenv("NODEOS_FAILOVER_CONFIG")
    assert run.path_of([]) == DEFAULT_CONFIG


def test_errors_are_told_alike_by_both_ways(tmp_path: Path) -> None:
    """A configuration that is refused ends both ways of starting with the same words and the same code."""
    broken = tmp_path / "agent.toml"
    broken.write_text('group = "g"\nnonsense = 1\n')
    whole = "from agent.cli.main import main; main(prog_name='nodeos-failover')"
    ways = [
        subprocess.run(command, capture_output=True, text=True, timeout=60)
        for command in (
            [sys.executable, "-m", "agent", "run", "--config", str(broken)],
            [sys.executable, "-c", whole, "run", "--config", str(broken)],
        )
    ]
    assert ways[0].returncode == ways[1].returncode == 3
    assert ways[0].stderr == ways[1].stderr
    assert "nonsense" in ways[0].stderr


def test_an_agent_does_not_carry_what_only_commands_need() -> None:
    """Each of these is some MB that would stay for as long as the agent runs."""
    code = "import sys, agent.run, agent.app; print(*{name.split('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    heavy = {"click", "rich", "pydantic_settings", "dotenv", "apprise"}
    assert not heavy & set(done.stdout.split())


def test_what_does_not_change_is_not_copied() -> None:
    """A record with the values that it has is itself, another is a new one, and the old one stays as it was."""
    check = CheckState(ok=True)
    assert replace(check, ok=True) is check
    changed = replace(check, ok=False)
    assert (check.ok, changed.ok) == (True, False)
    assert replace(changed, ok=True) == check
