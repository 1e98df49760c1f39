"""Options that several commands share, and the group that turns errors into messages and exit codes."""

from __future__ import annotations

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
    """Tell whether a person can be asked."""
    return sys.stdin.isatty()


class Commands(click.Group):
    """A group whose commands may raise FailoverError: the one place where errors become messages and exit codes."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; what the product raises on purpose ends it without a traceback."""
        try:
            return super().invoke(ctx)
        except FailoverError as error:
            click.echo(told(ctx.info_name or PROGRAM, error), err=True)
            ctx.exit(error.exit_code)
