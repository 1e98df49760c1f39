"""`status`: two looks at the keys of the group, then a table, JSON or YAML; with -W a view that lives."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import click
from rich.live import Live

from agent.cli import overview
from agent.cli.look import look
from agent.cli.options import UNHEALTHY
from agent.cli.output import as_data, console, form_option, show
from agent.cli.status_text import live, table
from agent.cli.target import Chosen, Target, choosing_options, resolve
from agent.core.model.store import Snapshot
from agent.errors import StoreError
from agent.group.handover import changes
from agent.group.view import group_view
from agent.ports import Store

KEPT = 200
"""Changes that a live view remembers."""


@click.command()
@choosing_options
@form_option("table", "json", "yaml")
@click.option("--all", "-a", "every", is_flag=True, help="Every group below the prefix, one row each.")
@click.option("--extended", "-e", is_flag=True, help="More of each member: versions, irreversible block, address.")
@click.option("--watch", "-W", is_flag=True, help="Go on until Ctrl-C; piped, print a line for each change.")
@click.option(
    "--interval", type=click.FloatRange(0.1, 60), default=0.3, show_default=True, help="Seconds between looks (-W)."
)
@click.pass_context
def status(
    ctx: click.Context, chosen: Chosen, form: str, every: bool, extended: bool, watch: bool, interval: float
) -> None:
    """Show who leads and how every node is.

    Exit code 0 when `check` says OK (with --all: of every group), else 8.
    """
    if watch and (form != "table" or every):
        raise click.UsageError("-W draws the table of one group: leave -f and --all out")
    target = resolve(chosen, os.environ, every=every)
    with target.store() as store:
        if watch:
            with suppress(KeyboardInterrupt):  # the way to end it
                _watch(store, target, interval, extended=extended)
            return
        data = _all(store, target) if every else _one(store, target)
    if form != "table":
        click.echo(as_data(data, form))
    else:
        show(console(), overview.table(data) if every else table(data, extended=extended))
    well = all(each["healthy"] and not each["warnings"] for each in (data["groups"] if every else [data]))
    ctx.exit(0 if well else UNHEALTHY)


def _one(store: Store, target: Target) -> dict[str, Any]:
    found = look(store, target)
    left = time_left(store, target, found.second)
    return group_view(found.names, found.first, found.second, left, seen=found.seen)


def _all(store: Store, target: Target) -> dict[str, Any]:
    return overview.overview(target.section.prefix, overview.look_at_all(store, target))


def time_left(store: Store, target: Target, snapshot: Snapshot) -> dict[int, float]:
    """Return for how many seconds the leases of override and maintenance are good; what is not told is left out."""
    words = (target.names.override, target.names.maintenance)
    found = dict[int, float]()
    for lease in {item.lease for item in snapshot.items if item.key in words and item.lease}:
        with suppress(StoreError):
            found[lease] = max(0, store.lease_state(lease, target.timeout).remaining)
    return found


class Watched:
    """What a live view knows: the newest data, and the changes so far. Pure: looks and times in, data out."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._moved: tuple[Snapshot, float] | None = None
        self.data: dict[str, Any] | None = None
        self.events: list[str] = []

    def take(self, snapshot: Snapshot, now: float, stamp: str) -> list[str]:
        """Take one look at `now` (seconds, of any clock that does not go back); return what changed, dated `stamp`."""
        names = self._target.names
        before, since = self._moved or (snapshot, now)
        data = group_view(names, before, snapshot)
        if data["confirmed"] or self._moved is None:
            self._moved = (snapshot, now)
        if not data["confirmed"] and now - since <= self._target.look_for:  # it is given its time to move on
            data |= {"confirmed": None, "why": [each for each in data["why"] if "while we looked" not in each]}
            data["healthy"] = not data["why"]
        new = [f"{stamp}  {text}" for text in (changes(self.data, data) if self.data else [])]
        self.data = data
        self.events = (self.events + new)[-KEPT:]
        return new

    def fail(self, text: str, stamp: str) -> list[str]:
        """Take that etcd did not answer; said once, until it does."""
        line = f"etcd does not answer: {text}"
        if self.events and self.events[-1].endswith(line):
            return []
        self.events.append(f"{stamp}  {line}")
        return self.events[-1:]


def _watch(store: Store, target: Target, interval: float, *, extended: bool) -> None:
    """Look again and again until Ctrl-C."""
    screen = console()
    watched = Watched(target)
    watched.take(store.range(target.names.root, target.timeout), time.monotonic(), _stamp())
    assert watched.data is not None
    if not screen.is_terminal:
        show(screen, table(watched.data, extended=extended))
        while True:
            time.sleep(interval)
            for line in _again(store, target, watched):
                click.echo(line)
    with Live(live(watched.data, [], extended=extended), console=screen, auto_refresh=False, screen=True) as view:
        while True:
            time.sleep(interval)
            _again(store, target, watched)
            view.update(live(watched.data, watched.events, extended=extended), refresh=True)


def _again(store: Store, target: Target, watched: Watched) -> list[str]:
    try:
        snapshot = store.range(target.names.root, target.timeout)
    except StoreError as error:
        return watched.fail(str(error), _stamp())
    return watched.take(snapshot, time.monotonic(), _stamp())


def _stamp() -> str:
    return datetime.now(UTC).strftime("%H:%M:%S.%f")[:-5]
