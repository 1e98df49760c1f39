"""`history`: the changes of leader, what each cost, and what operators said."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from agent.cli.output import as_data, console, data_option, show
from agent.cli.target import Target, target_options
from agent.group import past


def since_option(text: str | None) -> datetime | None:
    """Return the time from which on."""
    try:
        return past.since(text, datetime.now(UTC)) if text else None
    except (ValueError, OverflowError):
        raise click.BadParameter(f"{text!r} is neither like 30m, 2h, 7d nor like 2026-01-31T14:00") from None


@click.command()
@target_options
@data_option("json", "yaml")
@click.option(
    "--since",
    "start",
    metavar="SPAN|TIME",
    callback=lambda _ctx, _option, text: since_option(text),
    help="Only what happened since: 30m, 2h, 7d, or a time.",
)
@click.option("--windows", is_flag=True, help="The own windows instead: slots signed and missed, with their causes.")
@click.option("--lines", "-n", type=click.IntRange(1), help="Only the latest so many.")
def history(target: Target, form: str, start: datetime | None, windows: bool, lines: int | None) -> None:
    """Show the changes of leader: who, when, why, how long nobody led, slots missed; and the words of operators."""
    with target.store() as store:
        snapshot = store.range(target.names.root, target.timeout)
    read, table = (past.windows, past.window_table) if windows else (past.entries, past.table)
    found = past.later(read(target.names, snapshot), start)
    found = found[-lines:] if lines else found
    if form != "table":
        click.echo(as_data(found, form))
    elif found:
        show(console(), table(found))
    else:
        click.echo(f"{target.group}: nothing happened" + (f" since {start:%Y-%m-%d %H:%M:%S} UTC" if start else ""))
