"""Settings from environment variables, nested as the sections are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from agent.config.section import Section, section_of
from agent.config.setting import is_list, single

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
