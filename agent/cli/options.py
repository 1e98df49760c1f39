"""What several commands share: options, how they print, and where errors become messages and exit codes.

Tables go to the terminal at its width, and are never broken when piped; JSON and YAML are for machines.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, Literal

import click
from rich.console import Console, RenderableType
from rich.table import Table

from agent.errors import FailoverError
from agent.host.paths import DEFAULT_CONFIG
from agent.run import PROGRAM, told

EXIT_CODES = """\b
Exit codes:
  0 ok              3 configuration   6 refused
  1 failure         4 etcd            7 time-out
  2 usage           5 nodeos          8 group unhealthy
"""
COMPLETING = "_NODEOS_FAILOVER_COMPLETE"
"""The variable by which a shell asks for completions."""
UNHEALTHY = 8
"""What `status` exits with when the group is not well."""

config_option = click.option(
    "--config",
    "-c",
    "path",
    type=click.Path(path_type=Path),
    default=DEFAULT_CONFIG,
    show_default=True,
    envvar="NODEOS_FAILOVER_CONFIG",
    show_envvar=True,
    help="The configuration file (TOML).",
)


def attended() -> bool:
    """Tell whether a person can be asked; not while a shell asks what it can complete."""
    return sys.stdin.isatty() and COMPLETING not in os.environ


class Commands(click.Group):
    """A group whose commands may raise FailoverError: the one place where errors become messages and exit codes."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; what the product raises on purpose ends it without a traceback."""
        try:
            return super().invoke(ctx)
        except FailoverError as error:
            click.echo(told(ctx.info_name or PROGRAM, error), err=True)
            ctx.exit(error.exit_code)


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
