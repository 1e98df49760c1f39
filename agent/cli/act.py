"""Carrying out what an operator asked for: show it, ask, write it in one transaction, and note who did it and why."""

from __future__ import annotations

import functools
import getpass
import json
import os
import secrets
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import click

from agent.cli.changes import Author, OperatorChange
from agent.cli.target import Target
from agent.core.model.fields import shown
from agent.core.model.store import Delete, Put, Snapshot, Txn
from agent.errors import RefusedError
from agent.group.past import AUDIT
from agent.ports import Store

KEPT = 50
"""Words of operators that stay on record in etcd."""


def acting_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command what all have that change something; it gets them, and --force where it has that, as `acting`."""

    @click.option("--reason", "-r", default="", help="Why; stands in etcd beside your name.")
    @click.option("--yes", "-y", is_flag=True, help="Do not ask.")
    @click.option("--dry-run", "-n", is_flag=True, help="Show what would be done, and change nothing.")
    @functools.wraps(command)
    def wrapped(reason: str, yes: bool, dry_run: bool, **rest: Any) -> Any:
        force = bool(rest.pop("force", False))
        return command(acting=Acting(author(reason), yes, dry_run, force), **rest)

    return wrapped


@dataclass(frozen=True, slots=True)
class Acting:
    """Who changes something, and how: `yes` asks nothing, `force` not even about what looks like a mistake."""

    who: Author
    yes: bool = False
    dry_run: bool = False
    force: bool = False


def author(reason: str) -> Author:
    """Return who runs this command: the user behind sudo, and the host."""
    try:
        user = os.environ.get("SUDO_USER") or getpass.getuser()
    except (OSError, KeyError):  # a container's user without a name
        user = f"uid {os.getuid()}"
    return Author(shown(f"{user}@{socket.gethostname()}", 200), shown(reason.strip(), 500))


def act(
    store: Store,
    target: Target,
    change: OperatorChange,
    acting: Acting,
    *,
    ttl_s: int | None = None,
) -> int | None:
    """Do it; return the revision at which it was done, None for a dry run. RefusedError when a person says no."""
    click.echo(f"{target.group}: {change.did}")
    for line in change.notes:
        click.echo(f"  {line}")
    for line in change.risks:
        click.secho(f"  risk: {line}", fg="red")
    for line in change.etcdctl(ttl_s):
        click.echo(f"  $ {line}")
    if acting.dry_run:
        click.echo("dry run: nothing was changed")
        return None
    if change.insist and not acting.force:
        _ask(f"{change.insist}: is the name right?", "--force")
    elif change.ask and not (acting.yes or acting.force):
        _ask("go ahead?", "--yes")
    lease = store.grant(ttl_s, target.timeout).id if ttl_s else 0
    then = tuple(Put(each.key, each.value, lease) if isinstance(each, Put) else each for each in change.then)
    note = Put(_audit_key(target), json.dumps(_audit(change, acting.who), ensure_ascii=False).encode())
    answer = store.txn(Txn(change.compare, (*then, note)), target.timeout)
    if not answer.applied:
        raise RefusedError(
            "the group has changed while you looked, so nothing was done: look at `status`, and try again"
        )
    _prune(store, target)
    return answer.revision


def _ask(question: str, option: str) -> None:
    try:
        sure = click.confirm(question, default=False)
    except click.Abort:
        raise RefusedError(f"nobody answered, so nothing was changed: add {option} when no person is there") from None
    if not sure:
        raise RefusedError("nothing was changed")


def _audit(change: OperatorChange, who: Author) -> dict[str, Any]:
    found = {"when_ms": time.time_ns() // 1_000_000, "by": who.by, "did": change.did, "reason": who.reason}
    return {key: value for key, value in found.items() if value != ""}


def _audit_key(target: Target) -> str:
    """Return a key that sorts by time and that nobody else takes."""
    return f"{target.names.root}{AUDIT}{time.time_ns() // 1_000_000:015d}-{secrets.token_hex(2)}"


def _prune(store: Store, target: Target) -> None:
    """Delete the oldest words on record beyond KEPT."""
    found = store.range(target.names.root + AUDIT, target.timeout)
    if old := tuple(Delete(item.key) for item in found.items[:-KEPT])[:100]:
        store.txn(Txn((), old), target.timeout)


def wait_for(
    store: Store, target: Target, done: Callable[[Snapshot], str | None], limit_s: float, every_s: float = 0.2
) -> str | None:
    """Look until `done` says something, and return it; None after `limit_s` seconds."""
    deadline = time.monotonic() + limit_s
    while True:
        if text := done(store.range(target.names.root, target.timeout)):
            return text
        if time.monotonic() > deadline:
            return None
        time.sleep(every_s)
