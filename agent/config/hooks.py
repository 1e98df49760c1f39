"""Hooks: programs of the operator's that are run when this node is promoted or demoted."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from agent.config.base import Seconds
from agent.config.section import Section, relation
from agent.config.setting import Field

Command = tuple[str, ...]


def program_problem(name: str, command: Command) -> str:
    """Return why a program with its arguments cannot be run, nothing if it can or there is none."""
    if not command:
        return ""
    if any("\0" in part for part in command):
        return f"{name}: an argument has a zero byte: take it out"
    if not os.access(command[0], os.X_OK) or Path(command[0]).is_dir():
        return f"{name}: {command[0]!r} cannot be executed: give the whole path of a program"
    return "" if Path(command[0]).is_absolute() else f"{name}: {command[0]!r} is a relative path: give the whole one"


class HooksSection(Section):
    """[hooks]: program and arguments for each moment; an empty list: nothing is run."""

    before_promote: Command = Field(
        default=(), description="run once elected; nodeos resumes when it ends, or is ended"
    )
    after_promote: Command = Field(default=(), description="run when nodeos has resumed")
    before_demote: Command = Field(
        default=(),
        description="run before a planned handover, else beside the pause, which never waits",
    )
    after_demote: Command = Field(default=(), description="run when nodeos is proven stopped")
    timeout: Seconds = Field(
        default=5.0, ge=0.1, le=60, description="seconds for each in all; then all of its process group is killed"
    )

    @property
    def commands(self) -> dict[str, Command]:
        """The hooks that are set, by their name."""
        found: dict[str, Command] = {name: value for name, value in self.values().items() if name != "timeout"}
        return {name: command for name, command in found.items() if command}

    @relation
    def _can_run(self) -> Iterator[str]:
        for name, command in self.commands.items():
            if problem := program_problem(f"hooks.{name}", command):
                yield problem
