"""`status`: two looks at the keys of the group, then a table or JSON."""

from __future__ import annotations

import json
import time
from pathlib import Path

import click
from rich.console import Console

from agent.cli.options import UNHEALTHY, config_option, read_config
from agent.config import EtcdSection
from agent.core.records import Keys, keys
from agent.core.store import Snapshot
from agent.errors import ConfigError
from agent.ports import Store

LOOK_FOR_S = 2.0
"""Seconds that a heartbeat is given to move on before it counts as not confirmed; at least three renewals."""
LOOK_EVERY_S = 0.1


@click.command()
@config_option
@click.option("--etcd", "endpoints", help="etcd endpoints with commas between them, instead of a configuration.")
@click.option("--group", help="The group to look at; needed with --etcd.")
@click.option(
    "--prefix", default="/nodeos-failover", show_default=True, help="The key under which groups live (--etcd)."
)
@click.option("--timeout", type=click.FloatRange(0.1, 60), default=3.0, show_default=True, help="Seconds for etcd.")
@click.option(
    "--format", "-f", "form", type=click.Choice(["table", "json"]), default="table", show_default=True, help="The form."
)
@click.pass_context
def status(
    ctx: click.Context, path: Path, endpoints: str | None, group: str | None, prefix: str, timeout: float, form: str
) -> None:
    """Show who leads and how every node is.

    Exit code 8 when the group is not well.
    """
    from agent.status import group_view, table

    look_for = LOOK_FOR_S
    if endpoints is None:
        loaded = read_config(path)
        look_for = max(LOOK_FOR_S, 3 * loaded.timing.renew)
        section, names = loaded.etcd, keys(loaded.etcd.prefix, group or loaded.group)
    elif group is None:
        raise click.UsageError("--etcd needs --group: name the group to look at")
    else:
        section, names = _section(endpoints, prefix), keys(prefix, group)
    store = _store(section)
    try:
        data = group_view(names, *_looks(store, names, timeout, look_for))
    finally:
        store.close()
    if form == "json":
        click.echo(json.dumps(data, indent=2, ensure_ascii=False))
    else:
        Console(highlight=False).print(table(data))
    ctx.exit(0 if data["healthy"] else UNHEALTHY)


def _section(endpoints: str, prefix: str) -> EtcdSection:
    """Check what came from the command line like the section of a file."""
    from pydantic import ValidationError

    try:
        return EtcdSection(endpoints=tuple(word.strip() for word in endpoints.split(",")), prefix=prefix)
    except ValidationError as error:
        raise ConfigError([f"--{each['loc'][0]}: {each['msg']}" for each in error.errors()]) from None


def _store(section: EtcdSection) -> Store:
    from agent.adapters.etcd import EtcdStore
    from agent.adapters.etcd_client import EtcdOptions

    password = section.password.get_secret_value() if section.password else None
    options = EtcdOptions(
        endpoints=section.endpoints,
        ca=section.ca_file,
        cert=section.cert_file,
        key=section.key_file,
        user=section.user,
        password=password,
        probe=f"{section.prefix}/",
    )
    return EtcdStore(options)


def _looks(store: Store, names: Keys, timeout: float, look_for: float) -> tuple[Snapshot, Snapshot]:
    """Look twice: until the heartbeat has moved on, or long enough to say that it stands still."""
    first = store.range(names.root, timeout)
    deadline = time.monotonic() + look_for
    while True:
        time.sleep(LOOK_EVERY_S)
        second = store.range(names.root, timeout)
        if _revision(second, names) != _revision(first, names) or time.monotonic() > deadline:
            return first, second


def _revision(snapshot: Snapshot, names: Keys) -> int:
    return next((item.mod_revision for item in snapshot.items if item.key == names.heartbeat), 0)
