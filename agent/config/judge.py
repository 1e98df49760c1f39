"""Every fault of a configuration at once: those of single settings, and of how settings fit together.

pydantic judges how settings fit together only when each is sound by itself. So what was found is taken out and the rest
is judged again; a relation that rests on a setting which is wrong anyway is not told.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from pydantic import BaseModel, ValidationError

from agent.config.base import Fault, Problems
from agent.config.explain import Loc, lines_of, path_of
from agent.config.model import section_of

ROUNDS = 4
"""Single settings; relations in a table; relations between tables; one more for tables in lists."""


def every_problem(
    model: type[BaseModel], data: Mapping[str, Any], first: ValidationError, environ: Mapping[str, str]
) -> list[str]:
    """Return a line for each fault of `data`, of which `first` has some. `data` is left as it is."""
    rest, error, found = deepcopy(dict(data)), first, list[str]()
    wrong: set[str] = set()
    for _ in range(ROUNDS):
        news = list[Loc]()
        for detail in error.errors():
            cause = detail.get("ctx", {}).get("error")
            if not isinstance(cause, Problems):
                found += lines_of(detail, environ)
                news.append(detail["loc"])
                continue
            found += [each.placed(path_of(detail["loc"])) for each in cause.faults if not _rests_on(each, wrong)]
            news += [detail["loc"]] if detail["loc"] else []
        for loc in news:
            _take_out(model, rest, loc)
        wrong |= {path_of(loc) for loc in news}
        try:
            model.model_validate(rest)
        except ValidationError as more:
            error = more
        else:
            break
        if not news:
            break
    return list(dict.fromkeys(found))


def _rests_on(fault: Fault, wrong: set[str]) -> bool:
    """Tell whether a relation names a setting that is wrong, or rests on a table in which one is."""
    paths = [re.escape(path) + (r"(?!\w)" if "." in path else "[.]") for path in wrong]
    named = any(re.search(rf"(?<![\w.]){path}", fault.text) for path in paths)
    return named or any(f"{path}.".startswith(f"{table}.") for path in wrong for table in fault.about)


def _take_out(model: type[BaseModel], data: dict[str, Any], loc: Loc) -> None:
    """Take the setting at `loc` out of `data`, or put an example in its place where it is required."""
    tables: Any = data
    for place, name in enumerate(loc):
        field = model.model_fields.get(str(name)) if isinstance(name, str) else None
        section = section_of(field)
        inner = tables[name] if _has(tables, name) else None
        if section is not None and place < len(loc) - 1 and isinstance(inner, (dict, list)):
            model, tables = section, inner
            continue
        if isinstance(name, int) and place < len(loc) - 1 and isinstance(inner, dict):
            tables = inner
            continue
        if isinstance(tables, list):
            tables[int(name)] = {**_example(model), "name": f"example-{name}"}  # names in a list differ
            return
        tables.pop(str(name), None)
        if field is not None and field.is_required():
            tables[str(name)] = _example(section) if section is not None else field.examples[0]  # type: ignore[index] # each has one: a test sees to it
        return


def _has(tables: Any, name: int | str) -> bool:
    if isinstance(tables, list):
        return isinstance(name, int) and name < len(tables)
    return isinstance(tables, dict) and name in tables


def _example(section: type[BaseModel]) -> dict[str, Any]:
    return {name: field.examples[0] for name, field in section.model_fields.items() if field.examples}
