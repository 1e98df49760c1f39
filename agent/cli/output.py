"""How commands print: tables at the terminal's width, never broken when piped; JSON and YAML for machines."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import Any

import click
from rich.console import Console, RenderableType

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


def data_option(*forms: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command `-f`, with these forms beside the table."""
    return click.option(
        "--format",
        "-f",
        "form",
        type=click.Choice(["table", *forms]),
        default="table",
        show_default=True,
        help="The form.",
    )


def as_data(value: Any, form: str) -> str:
    """Return plain data as JSON or YAML."""
    if form == "json":
        return json.dumps(value, indent=2, ensure_ascii=False)
    import yaml

    text: str = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, default_flow_style=False, width=120)
    return text.rstrip("\n")
