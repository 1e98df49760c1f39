"""What the shell completes from the group itself: names of nodes and groups. It never waits long, and never fails."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import click

from agent.cli.identity import SPOKEN
from agent.cli.overview import groups
from agent.cli.target import Chosen, Target, resolve
from agent.core.model.records import read_group
from agent.host.paths import DEFAULT_CONFIG

WAIT_S = 1.5
"""A shell stands still meanwhile; after that nothing is offered."""
ETCD_S = 1.0


def node_names(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Return the members of the group that begin so."""

    def ask() -> list[str]:
        target = _target(ctx, every=False)
        with target.store() as store:
            view = read_group(target.names, store.range(target.names.root, target.timeout))
        return [each.node for each in view.members]

    return _within(ask, incomplete)


def group_names(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Return the groups below the prefix that begin so."""

    def ask() -> list[str]:
        target = _target(ctx, every=True)
        prefix = target.section.prefix
        with target.store() as store:
            return list(groups(prefix, store.range(f"{prefix}/", target.timeout)))

    return _within(ask, incomplete)


def _target(ctx: click.Context, *, every: bool) -> Target:
    """Return the target of what is typed so far."""
    given = ctx.params
    etcd = {name: given[name] for name in SPOKEN if given.get(name)}
    path = Path(given.get("path") or DEFAULT_CONFIG)
    return resolve(Chosen(path, given.get("group"), given.get("profile"), etcd, ETCD_S), os.environ, every=every)


def _within(ask: Callable[[], list[str]], incomplete: str) -> list[str]:
    found: list[str] = []

    def work() -> None:
        with suppress(Exception, SystemExit):  # a shell that completes is no place for an error
            found.extend(ask())

    thread = threading.Thread(target=work, name="complete", daemon=True)
    thread.start()
    thread.join(WAIT_S)
    return sorted(name for name in tuple(found) if name.startswith(incomplete))
