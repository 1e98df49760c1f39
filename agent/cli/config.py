"""`config validate`, `config show`, `config schema`."""

from __future__ import annotations

from pathlib import Path

import click

from agent.cli.config_init import init
from agent.cli.options import config_option
from agent.cli.output import form_option
from agent.config.show import as_json, as_toml, reference, schema
from agent.core.leadership.timing import seconds
from agent.errors import ConfigError
from agent.run import read_config


@click.group()
def config() -> None:
    """Check or show the configuration."""


@config.command()
@config_option
def validate(path: Path) -> None:
    """Tell every problem in the configuration at once; exit code 3 if there is one."""
    loaded = read_config(path)
    from agent.doctor import files
    from agent.doctor.finding import Grade

    found = files.check(files.gather(loaded, path))
    if faults := [f"{each.seen}: {each.remedy}" for each in found if each.verdict is Grade.FAULT]:
        raise ConfigError(faults)
    for each in found:
        click.echo(f"{each.verdict.value}: {each.seen}" + (f": {each.remedy}" if each.remedy else ""), err=True)
    spans = loaded.spans
    click.echo(
        f"{path} is fine: node {loaded.node} of group {loaded.group}, producer {loaded.producer}; a confirmation "
        f"lasts {seconds(spans.validity)}, production stops {seconds(spans.margin)} before it runs out"
    )


@config.command()
@config_option
@form_option("toml", "json")
def show(path: Path, form: str) -> None:
    """Print the values in effect: file, environment and defaults. Secrets are masked."""
    loaded = read_config(path)
    click.echo(as_json(loaded) if form == "json" else as_toml(loaded), nl=False)


@config.command("schema")
@form_option("json", "markdown", text="A JSON schema, or a table for people.")
def print_schema(form: str) -> None:
    """Print the schema of the configuration file: every setting, its default and its meaning."""
    click.echo(schema() if form == "json" else reference(), nl=False)


config.add_command(init)
