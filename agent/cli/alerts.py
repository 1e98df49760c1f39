"""`alerts test`: a notice to each channel, and what came back."""

from __future__ import annotations

from pathlib import Path

import click

from agent.cli.options import config_option
from agent.errors import ConfigError, FailoverError
from agent.run import read_config


@click.group()
def alerts() -> None:
    """Try the alert channels."""


@alerts.command()
@config_option
@click.option("--channel", metavar="NAME", help="Only this channel.")
@click.option(
    "--severity",
    type=click.Choice(["info", "warning", "critical"]),
    default="critical",
    show_default=True,
    help="How severe the test is.",
)
def test(path: Path, channel: str | None, severity: str) -> None:
    """Send a test to each channel, whatever its least severity is, then its end; print what came back."""
    loaded = read_config(path)
    named = [each for each in loaded.alerts if channel in (None, each.name)]
    if not named:
        there = ", ".join(each.name for each in loaded.alerts) or "none"
        raise ConfigError([f"alerts: no channel {f'is named {channel}' if channel else 'to test'}: there are {there}"])
    from agent.alerts.trial import try_channel

    failed = 0
    for each in named:
        found = try_channel(loaded, each, severity)
        failed += not found.ok
        outcome = "delivered" if found.ok else f"not delivered: {found.detail}"
        click.echo(f"{found.channel} ({found.type}): {outcome} ({found.seconds:.1f} s)")
        if found.answer:
            click.echo(f"    {found.answer}")
    if failed:
        raise FailoverError(f"{failed} of {len(named)} channels do not deliver: correct their settings, or mend them")
