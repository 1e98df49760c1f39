"""Finding the run-time file and the plan file, from the three settings that name them. Standard library only.

`agent.config` reads and checks everything and takes a second on a busy machine, most of it for imports: too long for a
fence. What is read here has the same meaning and the same order: environment, RUNTIME_DIRECTORY, file, default. Nothing
is checked beyond what a path needs, because a fence has to work with a configuration that was just spoilt.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.core.model.fields import NAME
from agent.errors import ConfigError
from agent.host.small_file import read_whole, write_whole

PREFIX = "NODEOS_FAILOVER_"
DEFAULT_CONFIG = "/etc/nodeos-failover/config.toml"
DEFAULT_DIR = "/run/nodeos-failover"
PULSE_FD = f"{PREFIX}GUARD_FD"
"""The variable with which the parent of an agent names the pipe to it: a byte for each sign of life."""


@dataclass(frozen=True, slots=True)
class Files:
    """The files of one node: `runtime` says what has to be stopped when, `plan` how, also where nobody led yet."""

    runtime: Path

    @property
    def plan(self) -> Path:
        """The plan file, which an agent leaves from its start on."""
        return self.runtime.with_suffix(".plan")

    @property
    def reload(self) -> Path:
        """What became of the last reload (agent.runtime.reload)."""
        return self.runtime.with_suffix(".reload")

    @property
    def stamp(self) -> Path:
        """When keepalived last gave a sign of life, where it is the method (agent.keepalived.duty)."""
        return self.runtime.with_suffix(".stamp")

    @property
    def alive(self) -> Path:
        """When keepalived-notify last went round (agent.cli.keepalived)."""
        return self.runtime.with_suffix(".alive")

    @property
    def word(self) -> Path:
        """What keepalived said last to the notifier before this one."""
        return self.runtime.with_suffix(".word")


def save_plan(runtime: Path, guard: Mapping[str, object]) -> None:
    """Write the plan file beside a run-time file, as a whole or not at all. OSError when that fails."""
    write_whole(Files(runtime).plan, json.dumps(guard))


def save_refusal(runtime: Path, why: str) -> None:
    """Write in the place of the plan that this agent refused to start, for nodeos is not its own. OSError on failure.

    The next agent that starts writes its plan over it.
    """
    write_whole(Files(runtime).plan, json.dumps({"refused": why}))


def refusal(files: Files) -> str:
    """Return why the last agent refused to start without touching nodeos; empty when it did not."""
    try:
        found = json.loads(read_whole(files.plan))
    except (OSError, ValueError):
        return ""
    why = found.get("refused") if isinstance(found, dict) else None
    return why if isinstance(why, str) else ""


def find(config: Path, environ: Mapping[str, str]) -> list[Files]:
    """Return the files of the node that a configuration is for; if that cannot be read, all that stand in its place.

    ConfigError when it cannot be read and nothing else says where to look.
    """
    given = environ.get(f"{PREFIX}RUNTIME__DIR") or environ.get("RUNTIME_DIRECTORY", "").split(":")[0]
    try:
        data = tomllib.loads(read_whole(config).decode())
        group, node = (environ.get(f"{PREFIX}{name.upper()}") or data.get(name) for name in ("group", "node"))
        for name, value in (("group", group), ("node", node)):
            if not isinstance(value, str) or not NAME.fullmatch(value):
                raise ValueError(f"{name}: {value!r} is no name")  # noqa: TRY301 - one place reports
    except (OSError, ValueError) as error:
        if found := sorted(Path(given).glob("*.plan")) if given else []:
            return [Files(path.with_suffix(".json")) for path in found]
        raise ConfigError([f"{config} does not tell which node this is: {error}; name it with --config"]) from error
    directory = Path(given or _directory(data))
    return [Files(directory / f"{group}-{node}.json")]


def _directory(data: dict[str, Any]) -> str:
    table = data.get("runtime")
    value = table.get("dir") if isinstance(table, dict) else None
    return value if isinstance(value, str) and value else DEFAULT_DIR
