"""The group of commands, and the commands with one line of work. What is heavy is imported where it is used."""

from __future__ import annotations

import platform
from pathlib import Path

import click

from agent import __version__
from agent.cli.history import history
from agent.cli.keepalived import keepalived_notify
from agent.cli.local import alerts, completion, config, doctor, fence, gate, guard, reload
from agent.cli.operator import drain, failover, maintenance, override, switchover, undrain
from agent.cli.options import EXIT_CODES, Commands, config_option, form_option
from agent.cli.status import check, status
from agent.run import read_config


@click.group(
    name="nodeos-failover",
    cls=Commands,
    epilog=EXIT_CODES,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(__version__, prog_name="nodeos-failover")
def main() -> None:
    """High availability for EOS/Antelope block producers: exactly one nodeos signs, a healthy one takes over."""


@main.command()
@config_option
def run(path: Path) -> None:
    """Run the agent beside a nodeos, until it is told to end."""
    loaded = read_config(path)
    from agent import app

    app.run(loaded, lambda: read_config(path))


@main.command("show-states")
@form_option("table", "mermaid", "dot", text="A table, a Mermaid diagram, or a Graphviz one.")
def show_states(form: str) -> None:
    """Print the phases of leadership and every way between them."""
    from agent.core.leadership import transitions

    click.echo({"table": transitions.table, "mermaid": transitions.mermaid, "dot": transitions.dot}[form]())


@main.command()
def version() -> None:
    """Print the version, and what it runs on."""
    click.echo(f"nodeos-failover {__version__} (Python {platform.python_version()}, {platform.platform()})")


for each in (
    alerts,
    check,
    completion,
    config,
    doctor,
    drain,
    failover,
    fence,
    gate,
    guard,
    history,
    keepalived_notify,
    maintenance,
    override,
    reload,
    status,
    switchover,
    undrain,
):
    main.add_command(each)
