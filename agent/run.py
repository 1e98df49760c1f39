"""`nodeos-failover run` as an operator or a supervisor starts it, without the rest of the command line.

The rest (click, rich and the other commands) is 5 MB that an agent would keep for as long as it runs. Words that this
does not know go there.
"""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path

from agent.config.load import load
from agent.config.model import Config
from agent.errors import ConfigError, FailoverError
from agent.host.paths import DEFAULT_CONFIG

PROGRAM = "nodeos-failover"


def path_of(words: list[str]) -> str | None:
    """Return the configuration file that the words after `run` name, None if they say anything else."""
    match words:
        case []:
            return os.environ.get("NODEOS_FAILOVER_CONFIG") or DEFAULT_CONFIG
        case ["-c" | "--config", path] if path and not path.startswith("-"):
            return path
        case [word] if word.startswith("--config=") and word != "--config=":
            return word.removeprefix("--config=")
    return None


def main(words: list[str]) -> int:
    """Run the agent; return the exit code. `words` name a configuration file (see `path_of`)."""
    path = Path(path_of(words) or DEFAULT_CONFIG)
    gc.disable()  # what is imported stays: to look through it for garbage took an eighth of the start
    try:
        config = read_config(path)
        from agent import app

        app.run(config, lambda: read_config(path))
    except FailoverError as error:
        print(told(PROGRAM, error), file=sys.stderr)  # noqa: T201 - this is a command
        return error.exit_code
    finally:
        gc.enable()
    return 0


def read_config(path: Path) -> Config:
    """Load a configuration with the environment of this process over it."""
    return load(path, os.environ)


def told(program: str, error: FailoverError) -> str:
    """Return an error as it is shown to whoever called a command."""
    if not isinstance(error, ConfigError):
        return f"{program}: {error}"
    count = f"{len(error.problems)} problem{'s' if len(error.problems) != 1 else ''} in the configuration"
    return "\n".join([f"{program}: {count}", *(f"  {text}" for text in error.problems)])
