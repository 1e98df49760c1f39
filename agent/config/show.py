"""A configuration for people and machines: effective values with secrets masked, the schema, the reference."""

from __future__ import annotations

import json
from typing import Any

from pydantic import SecretStr

from agent.config.model import Config, settings


def as_data(config: Config) -> dict[str, Any]:
    """Return the effective values as plain data; secrets are masked (pydantic does that for every SecretStr)."""
    data: dict[str, Any] = config.model_dump(mode="json")
    return data


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
    return json.dumps(Config.model_json_schema(), indent=2, ensure_ascii=False) + "\n"


def reference() -> str:
    """Return a Markdown table of all settings: path, default, meaning."""
    rows = ["| setting | default | meaning |", "| --- | --- | --- |"]
    for path, field in settings():
        default = field.default.get_secret_value() if isinstance(field.default, SecretStr) else field.default
        shown = "required" if field.is_required() else f"`{_plain(default)}`" if default not in (None, "", ()) else ""
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
