"""Faults of a configuration in words: which setting, what is wrong, what to do, and what was probably meant.

The value at fault is repeated only where it cannot be a secret.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from agent.config.load import ENV_DELIMITER, ENV_PREFIX
from agent.config.model import Config, settings
from agent.config.section import Fault, Loc, Section, Setting, section_of

GONE = {
    "timing.profile": "there are no profiles any more, take it out; peers.mode makes a failover fast with any etcd "
    "(peers.validity), and spans for an etcd with faster elections are set one by one"
}
"""What was a setting once, and what is to be done without it."""


def explain(fault: Fault, environ: Mapping[str, str]) -> str:
    """Return a line for a problem; one that was set by the environment says so."""
    loc = fault.loc
    name = path_of(loc)
    source = variable_of(loc)
    by = f" (set by {source})" if any(key.upper() == source for key in environ) else ""
    field, _ = _field_at(loc)
    match fault.kind:
        case "whole":
            return fault.text
        case "missing":
            return f"{name} is missing: {_remedy(loc, field)}"
        case "unknown":
            return f"{name} is not a setting{by}: {GONE.get(name) or _meant(loc, from_environment=bool(by))}"
        case "value":
            return f"{name}{by}: {fault.text}"
    about = f": {field.description}" if field and field.description else ""
    return f"{name}{by} {fault.text}{_shown(fault, field)}{about}"


def path_of(loc: Loc) -> str:
    """Write a location the way that the documentation names settings: `alerts[0].url`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc).removeprefix(".")


def variable_of(loc: Loc) -> str:
    """Return the environment variable that sets what stands at `loc`."""
    return ENV_PREFIX + ENV_DELIMITER.join(str(part) for part in loc if isinstance(part, str)).upper()


def _field_at(loc: Loc) -> tuple[Setting | None, type[Section]]:
    """Return the field at `loc`, None if there is none, and the section that it is in (or would be)."""
    model: type[Section] = Config
    field: Setting | None = None
    names = [part for part in loc if isinstance(part, str)]
    for position, name in enumerate(names):
        field = model.fields().get(name)
        inner = section_of(field.hint) if field else None
        if inner is None or position == len(names) - 1:
            break
        model = inner
    return field, model


def _remedy(loc: Loc, field: Setting | None) -> str:
    """Tell what to write for a setting that is missing; for a whole section, its settings that are required."""
    if field is None:
        return "set it"
    section = section_of(field.hint)
    if section:
        fields = section.fields()
        needed = {name: inner for name, inner in fields.items() if inner.required} or {
            name: inner for name, inner in fields.items() if inner.examples
        }
        lines = ", ".join(f"{path_of(loc)}.{name} = {_example(inner)}" for name, inner in needed.items())
        return f"write {lines}"
    return f"write {loc[-1]} = {_example(field)} ({field.description})"


def _example(field: Setting) -> str:
    example: Any = field.examples[0] if field.examples else "…"
    return str(example).replace("'", '"') if isinstance(example, list) else f'"{example}"'


def _shown(fault: Fault, field: Setting | None) -> str:
    """Repeat the value if it is short, plain and no secret."""
    value = fault.value
    secret = field is None or field.secret or "url" in str(fault.loc[-1])
    if (
        secret
        or not isinstance(value, (str, int, float))
        or (isinstance(value, str) and ("@" in value or len(value) > 70))
    ):
        return ""
    return f" (it is {str(value).lower() if isinstance(value, bool) else repr(value)})"


def _meant(loc: Loc, *, from_environment: bool) -> str:
    """Suggest the setting that was probably meant: the same path written otherwise, a neighbour, or one elsewhere."""
    _, section = _field_at(loc)
    siblings = list(section.fields())
    last = str(loc[-1])
    flat = {path.replace(".", "_"): path for path, _ in settings() if "[]" not in path}
    elsewhere = [path for path in flat.values() if path.rsplit(".", 1)[-1] == last]
    guesses = [
        *(flat[name] for name in get_close_matches("_".join(map(str, loc)), flat, n=1, cutoff=0.95)),
        *(path_of((*loc[:-1], name)) for name in get_close_matches(last, siblings, n=1)),
        *(elsewhere if len(elsewhere) == 1 else []),
        *(flat[name] for name in get_close_matches("_".join(map(str, loc)), flat, n=1, cutoff=0.9)),
    ]
    if not guesses:
        return f"here there are {', '.join(siblings)}"
    variable = f" ({variable_of(tuple(guesses[0].split('.')))})" if from_environment else ""
    return f"did you mean {guesses[0]}{variable}?"
