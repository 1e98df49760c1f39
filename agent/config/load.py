"""Read file and environment, and give back a Config or every problem at once.

Also a part of it: what a command of an operator needs, who need not be able to read what only the agent may.
"""

from __future__ import annotations

import json
import os
import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from agent.config.base import open_regular
from agent.config.model import Config
from agent.config.protocol import TimingSection
from agent.config.secrets import fill_secrets, inline_secrets
from agent.config.section import Invalid, Section, is_list, section_of, single
from agent.config.sections import EtcdSection
from agent.errors import ConfigError

ENV_PREFIX = "NODEOS_FAILOVER_"
ENV_DELIMITER = "__"
NOT_SETTINGS = ("CONFIG", "PROFILE", "LAB_", "GUARD_")
"""What may follow the prefix in a variable that is no setting: the command line's, the lab's, the parent guard's."""
SYSTEMD = (("RUNTIME_DIRECTORY", "runtime", "dir"), ("STATE_DIRECTORY", "peers", "state_dir"))
"""Variables of systemd, of which the first of several directories counts, and the settings that they are for."""
_WORDS = dict.fromkeys(("true", "1", "yes", "on"), True) | dict.fromkeys(("false", "0", "no", "off"), False)


def tables_of(kind: type[Section], environ: Mapping[str, str]) -> dict[str, Any]:
    """Return what the variables in `environ` set, as nested tables; nothing is checked yet."""
    data: dict[str, Any] = {}
    for key in sorted(environ, key=len):  # a whole table comes before what is laid over it
        rest = key.upper().removeprefix(ENV_PREFIX)
        if key.upper().startswith(ENV_PREFIX) and not rest.startswith(NOT_SETTINGS):
            _put(data, kind, rest.lower().split(ENV_DELIMITER), environ[key])
    for variable, section, name in SYSTEMD:
        given = environ.get(variable, "").split(":")[0]
        if given and isinstance(table := data.setdefault(section, {}), dict):
            table.setdefault(name, given)
    return data


def _put(data: dict[str, Any], kind: type[Section], path: list[str], text: str) -> None:
    """Put a text where its variable says; one that names no setting stays, to be refused by its name."""
    name, *below = path
    setting = kind.fields().get(name)
    section = section_of(setting.hint) if setting is not None and not is_list(setting.hint) else None
    if below and section is not None:
        table = data.setdefault(name, {})
        if isinstance(table, dict):
            _put(table, section, below, text)
    elif below or setting is None:
        data[ENV_DELIMITER.join(path)] = text
    else:
        data[name] = _value(setting.hint, text)


def _value(hint: Any, text: str) -> Any:
    """Return a text as the type that is wanted; what cannot be read stays a text, and is refused by its name."""
    kind = single(hint)
    try:
        if is_list(hint) and not text.lstrip().startswith("["):
            return [word.strip() for word in text.split(",")] if text else []
        if is_list(hint) or section_of(hint) is not None:
            return json.loads(text)
        if kind is bool:
            return _WORDS.get(text.lower(), text)
        return kind(text) if kind in (int, float) else text
    except (ValueError, RecursionError):
        return text


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

        problems = [*problems, *(explain(each, environ) for each in error.faults)]
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


class OperatorView(Section, partial=True):
    """The part of a configuration; all other settings are ignored."""

    node: str | None = None
    etcd: EtcdSection
    timing: TimingSection = TimingSection()


def operator_view(data: dict[str, Any], environ: Mapping[str, str]) -> OperatorView:
    """Check what `load.tables` or the command line gave. ConfigError with a line for each problem."""
    return checked(OperatorView, data, environ, fill_secrets({"etcd": data.get("etcd")}, environ))
