"""A configuration for people and machines: effective values with secrets masked, the schema, the reference."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

from agent.config.model import Config, settings
from agent.config.section import SecretStr, Section, Setting, is_list, section_of, single


def as_data(config: Section) -> dict[str, Any]:
    """Return the effective values as plain data; secrets are masked."""
    return {name: _data(value) for name, value in config.values().items()}


def _data(value: Any) -> Any:
    if isinstance(value, Section):
        return as_data(value)
    if isinstance(value, tuple):
        return [_data(each) for each in value]
    return value if value is None or isinstance(value, (bool, int, float)) else str(value)


def as_json(config: Config) -> str:
    """Return the effective values as JSON; what is not set is null."""
    return json.dumps(as_data(config), indent=2, ensure_ascii=False) + "\n"


def as_toml(config: Config) -> str:
    """Return the effective values as TOML, in the order of the file; what is not set stands there as a comment."""
    margin = config.spans.margin / 1000
    notes = f"# effective values, secrets masked; production stops {margin:g} s before a confirmation runs out\n"
    return notes + "".join(f"{line}\n" for line in _table(as_data(config), ""))


def schema() -> str:
    """Return the JSON schema of the configuration file."""
    defs: dict[str, Any] = {}
    whole = {"title": "nodeos-failover"} | _object(Config, defs) | {"$defs": defs}
    return json.dumps(whole, indent=2, ensure_ascii=False) + "\n"


def _object(kind: type[Section], defs: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a section, and put those of the sections within it into `defs`."""
    fields = kind.fields()
    return {
        "type": "object",
        "description": kind.__doc__,
        "properties": {name: _property(setting, defs) for name, setting in fields.items()},
        "required": [name for name, setting in fields.items() if setting.required],
        "additionalProperties": False,
    }


def _property(setting: Setting, defs: dict[str, Any]) -> dict[str, Any]:
    kind, section = single(setting.hint), section_of(setting.hint)
    if section is not None:
        defs.setdefault(section.__name__, _object(section, defs))
        made: dict[str, Any] = {"$ref": f"#/$defs/{section.__name__}"}
    else:
        made = dict(_TYPES[kind]) if kind in _TYPES else {"type": "string", "enum": list(get_args(kind))}
    bounds = {"pattern": setting.pattern, **setting.bounds}
    made |= {key: bound for key, bound in bounds.items() if bound not in (None, "")}
    if is_list(setting.hint):
        made = {"type": "array", "items": made}
    if not setting.required and setting.default is None:
        made = {"anyOf": [made, {"type": "null"}]}
    default = {} if setting.required else {"default": _data(setting.default)}
    examples = {"examples": list(setting.examples)} if setting.examples else {}
    return made | {"description": setting.description} | default | examples


_TYPES: dict[Any, dict[str, Any]] = {
    str: {"type": "string"},
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    Path: {"type": "string", "format": "path"},
    SecretStr: {"type": "string", "format": "password", "writeOnly": True},
}


def reference() -> str:
    """Return a Markdown table of all settings: path, default, meaning."""
    rows = ["| setting | default | meaning |", "| --- | --- | --- |"]
    for path, field in settings():
        default = field.default.get_secret_value() if isinstance(field.default, SecretStr) else field.default
        shown = "required" if field.required else f"`{_plain(default)}`" if default not in (None, "", ()) else ""
        rows.append(f"| `{path}` | {shown} | {field.description} |")
    return "\n".join(rows) + "\n"


def _plain(value: Any) -> str:
    return _value(value) if isinstance(value, (bool, int, float, str)) else f'"{value}"'


def _table(data: dict[str, Any], path: str) -> list[str]:
    values = {key: value for key, value in data.items() if not isinstance(value, dict) and not _is_tables(value)}
    lines = [f"# {key} is not set" if value is None else f"{key} = {_value(value)}" for key, value in values.items()]
    for key, value in data.items():
        name = f"{path}{key}"
        if isinstance(value, dict):
            inner = _table(value, f"{name}.")
            lines += (["", f"[{name}]"] if not inner or inner[0] else []) + inner
        elif _is_tables(value):
            for entry in value:
                lines += ["", f"[[{name}]]", *_table(entry, f"{name}.")]
    return lines


def _is_tables(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(entry, dict) for entry in value)


def _value(value: Any) -> str:
    """Write a single value or a list of them. JSON's strings are TOML's, but for DEL, which TOML wants escaped."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
