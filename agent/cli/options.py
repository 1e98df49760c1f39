"""Options that several commands share, and the group that turns errors into messages and exit codes."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import click

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


def complete_node(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Complete the name of a node. What that takes is only imported when a shell asks."""
    from agent.cli import complete

    return complete.node_names(ctx, param, incomplete)


def complete_group(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Complete the name of a group."""
    from agent.cli import complete

    return complete.group_names(ctx, param, incomplete)


class Commands(click.Group):
    """A group whose commands may raise FailoverError: the one place where errors become messages and exit codes."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; what the product raises on purpose ends it without a traceback."""
        try:
            return super().invoke(ctx)
        except FailoverError as error:
            click.echo(told(ctx.info_name or PROGRAM, error), err=True)
            ctx.exit(error.exit_code)
