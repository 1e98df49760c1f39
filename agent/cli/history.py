"""`history`: the changes of leader, what each cost, and what operators said."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import click
from rich.table import Table
from rich.text import Text

from agent.cli.options import as_data, console, form_option, grid, show
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
@form_option("table", "json", "yaml")
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
    read, shown = (past.windows, window_table) if windows else (past.entries, table)
    found = past.later(read(target.names, snapshot), start)
    found = found[-lines:] if lines else found
    if form != "table":
        click.echo(as_data(found, form))
    elif found:
        show(console(), shown(found))
    else:
        click.echo(f"{target.group}: nothing happened" + (f" since {start:%Y-%m-%d %H:%M:%S} UTC" if start else ""))


def table(found: list[dict[str, Any]]) -> Table:
    """Return the same for a terminal; words of operators stand between the changes that they brought about."""
    rows = grid("when (UTC)", "epoch", "gap", "missed", "what", folds={"what"})
    for each in found:
        when = _day(each)
        if each["kind"] == "word":
            rows.add_row(when, "", "", "", Text(_word(each), style="yellow"))
            continue
        spans = [gap for name in ("leaderless_ms", "outage_ms") if isinstance(gap := each.get(name), int | float)]
        rows.add_row(
            when,
            str(each.get("epoch", "?")),
            f"{max(spans) / 1000:.1f} s" if spans else "-",
            str(each.get("slots_missed", "?")),
            Text(_change(each)),
        )
    return rows


def window_table(found: list[dict[str, Any]]) -> Table:
    """Return the windows for a terminal."""
    known = ("slots", "signed", "missed", "leader", "epoch")
    rows = grid("when (UTC)", *known, "causes", folds={*known, "causes"})
    for each in found:
        causes = each.get("causes")
        why = ", ".join(f"{cause} {count}" for cause, count in causes.items()) if isinstance(causes, dict) else ""
        when = _day(each)
        words = [str(each.get(name, "?")) for name in known]
        rows.add_row(when, *map(Text, words), Text(why), style="red" if each.get("missed") else "")
    return rows


def _day(each: dict[str, Any]) -> str:
    return datetime.fromisoformat(each["when"]).strftime("%m-%d %H:%M:%S") if each["when"] else "?"


def _change(each: dict[str, Any]) -> str:
    before = f"{each['from']} -> " if each.get("from") else ""
    reason = f": {each['reason']}" if each.get("reason") else ""
    return f"{before}{each.get('node', '?')}{reason}"


def _word(each: dict[str, Any]) -> str:
    reason = f" ({each['reason']})" if each.get("reason") else ""
    return f"{each.get('by', 'somebody')}: {each.get('did', '?')}{reason}"
