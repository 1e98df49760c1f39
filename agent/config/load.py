"""Read file and environment, and give back a Config or every problem at once."""

from __future__ import annotations

import os
import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from agent.config.base import open_regular
from agent.config.judge import every_problem
from agent.config.model import ENV_DELIMITER, ENV_PREFIX, Config
from agent.config.secrets import fill_secrets, inline_secrets
from agent.errors import ConfigError

MAX_BYTES = 1024 * 1024
NOT_SETTINGS = ("CONFIG", "PROFILE", "LAB_", "GUARD_")
"""What may follow the prefix in a variable that is no setting: the command line's, the lab's, the parent guard's."""


def load(path: Path, environ: Mapping[str, str]) -> Config:
    """Return the configuration of the TOML file at `path`, with `environ` over it.

    ConfigError has a line for each problem. The order, strongest first: NODEOS_FAILOVER_ variables, RUNTIME_DIRECTORY
    and STATE_DIRECTORY (for runtime.dir and peers.state_dir), the file, the defaults. Secrets come from one place each.
    """
    data, problems = tables(path, environ)
    problems += fill_secrets(data, environ)
    try:
        config = Config.model_validate(data)
    except ValidationError as error:
        problems += every_problem(Config, data, error, environ)
    if problems:
        raise ConfigError(problems)
    return config


def tables(path: Path, environ: Mapping[str, str]) -> tuple[dict[str, Any], list[str]]:
    """Return what the file at `path` and `environ` over it say, and the secrets that stand in a public file.

    No value is checked. ConfigError when the file cannot be read or is no TOML.
    """
    path = Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would follow a link that is replaced on each change
    text, public = _read(path)
    try:
        file_data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([f"{path} is not valid TOML: {error}: correct that line"]) from None
    problems = [
        f"{name} stands in {path}, which everybody may read: run chmod 0640 {path}, or put it into a file of its own"
        for name in inline_secrets(file_data)
        if public
    ]
    return _merge(file_data, _from_environment(environ)), problems


def _read(path: Path) -> tuple[str, bool]:
    """Return the text of the file and whether everybody may read it."""
    try:
        fd = open_regular(path)
    except ValueError as error:
        raise ConfigError([f"{error}, or name another file with --config"]) from None
    with os.fdopen(fd, "rb") as file:
        public = bool(stat.S_IMODE(os.fstat(fd).st_mode) & stat.S_IROTH)
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ConfigError([f"{path} has more than {MAX_BYTES} bytes: this cannot be the configuration"])
    try:
        return content.decode(), public
    except UnicodeDecodeError as error:
        raise ConfigError([f"{path} is not UTF-8 at byte {error.start}: save it as UTF-8"]) from None


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    ours = {key: key.upper().removeprefix(ENV_PREFIX) for key in environ if key.upper().startswith(ENV_PREFIX)}
    ours = {key: rest for key, rest in ours.items() if not rest.startswith(NOT_SETTINGS)}
    data: dict[str, Any] = {}
    if ours:
        from agent.config.environment import read  # 5 MB and 0.1 s, for those few who set variables

        data = read(Config, environ)
    for key, rest in ours.items():
        if rest.split(ENV_DELIMITER)[0].lower() not in Config.model_fields:
            data[rest.lower()] = environ[key]  # to be refused as unknown, with what was probably meant
    runtime = environ.get("RUNTIME_DIRECTORY", "").split(":")[0]
    if runtime and isinstance(table := data.setdefault("runtime", {}), dict):
        table.setdefault("dir", runtime)
    state = environ.get("STATE_DIRECTORY", "").split(":")[0]
    if state and isinstance(table := data.setdefault("peers", {}), dict):
        table.setdefault("state_dir", state)
    return data


def _merge(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Lay one tree of tables over another; changes neither."""
    merged = {key: _merge(value, {}) if isinstance(value, dict) else value for key, value in below.items()}
    for key, value in above.items():
        lower = merged.get(key)
        merged[key] = _merge(lower, value) if isinstance(lower, dict) and isinstance(value, dict) else value
    return merged
