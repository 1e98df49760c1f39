"""`alerts test`: a notice to each channel, and what became of it."""

from __future__ import annotations

from pathlib import Path

import click

from agent.cli.options import config_option, read_config
from agent.core.notice import Notice
from agent.errors import ConfigError, FailoverError


@click.group()
def alerts() -> None:
    """Try the alert channels."""


@alerts.command()
@config_option
@click.option("--channel", metavar="NAME", help="Only this channel.")
@click.option("--severity", type=click.Choice(["info", "warning", "critical"]), default="critical", show_default=True)
def test(path: Path, channel: str | None, severity: str) -> None:
    """Send a test notice to each channel, once, whatever its least severity is; then the notice that resolves it."""
    config = read_config(path)
    named = [each for each in config.alerts if channel in (None, each.name)]
    if not named:
        there = ", ".join(each.name for each in config.alerts) or "none"
        raise ConfigError([f"alerts: no channel {f'named {channel} ' if channel else ''}to test (there are: {there})"])
    from agent.adapters.sinks import make_sink

    failed = []
    for each in named:
        sink = make_sink(each)
        for resolved in (False, True):
            delivery = sink.send(_notice(config.group, config.node, severity, resolved=resolved), each.timeout)
            if not delivery.ok:
                failed.append(each.name)
                click.echo(f"{each.name} ({each.type}): not delivered: {delivery.detail}")
                break
        else:
            click.echo(f"{each.name} ({each.type}): delivered")
    if failed:
        raise FailoverError(
            f"{len(failed)} of {len(named)} channels do not deliver: correct their url_file, or mend them"
        )


def _notice(group: str, node: str, severity: str, *, resolved: bool) -> Notice:
    text = "Test of the alert channels" if not resolved else "Test of the alert channels is over"
    fields = {"group": group, "node": node, "reason": "nodeos-failover alerts test: nothing has happened"}
    return Notice(f"{group}/test/{node}", "test", severity, f"{group}: {text} from {node}", resolved, fields)
