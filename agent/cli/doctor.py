"""`doctor`: everything that would bite later."""

from __future__ import annotations

from pathlib import Path

import click

from agent.cli.options import config_option
from agent.cli.output import as_data, console, form_option, show
from agent.run import read_config

FAULT = 1
"""What it exits with when there is a fault."""


@click.command()
@config_option
@form_option("table", "json", "yaml")
@click.option(
    "--timeout", type=click.FloatRange(1, 120), default=15.0, show_default=True, help="Seconds for everything."
)
@click.pass_context
def doctor(ctx: click.Context, path: Path, form: str, timeout: float) -> None:
    """Look for what would bite later: nodeos, host, etcd, group, supervision, alerts. Changes nothing.

    Each check is ok, warn, fault, unknown or skipped, with the remedy. Exit code 1 when there is a fault.
    """
    config = read_config(path)
    from agent.doctor import finding
    from agent.doctor.examine import examine

    found = examine(config, timeout, path)
    if form == "table":
        show(console(), finding.table(found))
    else:
        click.echo(as_data(finding.data(found), form))
    ctx.exit(FAULT if finding.data(found)["faults"] else 0)
