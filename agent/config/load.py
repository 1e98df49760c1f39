"""Read file and environment, and give back a Config or every problem at once."""

from __future__ import annotations

import os
import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from agent.config.base import open_regular
from agent.config.environment import tables_of
from agent.config.model import Config
from agent.config.secrets import fill_secrets, inline_secrets
from agent.config.section import Section
from agent.config.setting import Invalid
from agent.errors import ConfigError

MAX_BYTES = 1024 * 1024
S = TypeVar("S", bound=Section)


def load(path: Path, environ: Mapping[str, str]) -> Config:
    """Return the configuration of the TOML file at `path`, with `environ` over it.

    ConfigError has a line for each problem. The order, strongest first: NODEOS_FAILOVER_ variables, RUNTIME_DIRECTORY
    and STATE_DIRECTORY (for runtime.dir and peers.state_dir), the file, the defaults. Secrets come from one place each.
    """
    data, problems = tables(path, environ)
    problems += fill_secrets(data, environ)
    return checked(Config, data, environ, problems)


def checked(kind: type[S], data: Mapping[str, Any], environ: Mapping[str, str], problems: list[str]) -> S:
    """Return the section that `data` is, or a part of it. ConfigError with `problems` and all that is wrong."""
    try:
        found = kind.model_validate(data)
    except Invalid as error:
        from agent.config.explain import explain  # only where something is wrong

        problems = problems + explain(error, environ)
    if problems:
        raise ConfigError(problems)
    return found


def tables(path: Path, environ: Mapping[str, str]) -> tuple[dict[str, Any], list[str]]:
    """Return what the file at `path` and `environ` over it say, and what is wrong with where secrets stand.

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
    return _merge(file_data, tables_of(Config, environ)), problems


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


def _merge(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Lay one tree of tables over another; changes neither."""
    merged = {key: _merge(value, {}) if isinstance(value, dict) else value for key, value in below.items()}
    for key, value in above.items():
        lower = merged.get(key)
        merged[key] = _merge(lower, value) if isinstance(lower, dict) and isinstance(value, dict) else value
    return merged
