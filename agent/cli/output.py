"""How commands print: tables at the terminal's width, never broken when piped; JSON and YAML for machines."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Collection
from typing import Any, Literal

import click
from rich.console import Console, RenderableType
from rich.table import Table

FIGURES = frozenset(
    ["age", "epoch", "gap", "head", "healthy", "irreversible", "lag", "missed", "prio", "signed", "slots"]
)
"""Columns that hold numbers."""
PIPED = 400
"""Columns when nobody looks: a line that a program reads is not broken."""


def console() -> Console:
    """Return a console for stdout. NO_COLOR and COLUMNS are honoured."""
    wide = None if sys.stdout.isatty() or os.environ.get("COLUMNS") else PIPED
    return Console(highlight=False, width=wide, soft_wrap=False)


def show(screen: Console, what: RenderableType) -> None:
    """Print; where nobody looks, without the blanks that fill a table up to its width."""
    if screen.is_terminal:
        screen.print(what)
        return
    with screen.capture() as capture:
        screen.print(what)
    click.echo("\n".join(line.rstrip() for line in capture.get().splitlines()))


def grid(*names: str, folds: Collection[str]) -> Table:
    """Return an empty table without lines; figures stand right, and only the columns in `folds` are broken."""
    made = Table(box=None, pad_edge=False)
    for name in names:
        justify: Literal["right", "left"] = "right" if name in FIGURES else "left"
        made.add_column(name, justify=justify, overflow="fold", no_wrap=name not in folds)
    return made


def form_option(*forms: str, text: str = "The form.") -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command `-f` with these forms, the first by default."""
    return click.option(
        "--format", "-f", "form", type=click.Choice(forms), default=forms[0], show_default=True, help=text
    )


def as_data(value: Any, form: str) -> str:
    """Return plain data as JSON or YAML."""
    if form == "json":
        return json.dumps(value, indent=2, ensure_ascii=False)
    import yaml

    text: str = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, default_flow_style=False, width=120)
    return text.rstrip("\n")
