"""`switchover` and `failover`, `override`, `maintenance`, `drain` and `undrain`: what operators say to a group.

What is asked for is shown, written in one transaction together with who did it and why, and followed to its end.
"""

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
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from agent.cli import changes
from agent.cli.changes import Author, OperatorChange, Result
from agent.cli.look import Look, look, looked_once
from agent.cli.target import Target, complete_node, target_options
from agent.core.model.fields import shown
from agent.core.model.store import Delete, Put, Snapshot, Txn
from agent.errors import FailoverError, RefusedError, WaitTimeout
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
    store: Store, target: Target, change: OperatorChange, acting: Acting, *, ttl_s: int | None = None
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
    answer = store.txn(Txn(change.compare, (*then, _audit(target, change, acting.who))), target.timeout)
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


def _audit(target: Target, change: OperatorChange, who: Author) -> Put:
    """Return what notes a change, under a key that sorts by time and that nobody else takes."""
    when = time.time_ns() // 1_000_000
    note = {"when_ms": when, "by": who.by, "did": change.did} | ({"reason": who.reason} if who.reason else {})
    key = f"{target.names.root}{AUDIT}{when:015d}-{secrets.token_hex(2)}"
    return Put(key, json.dumps(note, ensure_ascii=False).encode())


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


LATEST = timedelta(days=1)
"""No switchover is asked for further ahead: who looks at it then?"""

to_option = click.option(
    "--to", metavar="NODE", shell_complete=complete_node, help="The node that shall lead; default: the best standby."
)
force_option = click.option("--force", is_flag=True, help="Take the named risks on, and do not ask.")
wait_option = click.option(
    "--wait", "-w", is_flag=True, help="Wait until it is over; exit code 7 if it takes too long."
)
limit_option = click.option(
    "--wait-limit", type=click.FloatRange(1, 86400), default=180.0, show_default=True, help="Seconds for --wait."
)


def when_option(text: str) -> str:
    """Return now, gap, or a time as RFC 3339 in UTC; one without a zone is the local time."""
    if text in ("now", "gap"):
        return text
    try:
        when = datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        raise click.BadParameter(f"{text!r} is none of now, gap, and a time like 2026-01-31T14:00:00Z") from None
    now = datetime.now(UTC)
    if not now < when < now + LATEST:
        raise click.BadParameter(f"{text} is not within the next 24 hours")
    return when.isoformat(timespec="seconds").replace("+00:00", "Z")


@click.command()
@target_options
@to_option
@click.option(
    "--at",
    "when",
    metavar="now|gap|TIME",
    default="gap",
    show_default=True,
    callback=lambda _ctx, _option, text: when_option(text),
    help="When to hand over.",
)
@force_option
@wait_option
@limit_option
@acting_options
def switchover(target: Target, to: str | None, when: str, wait: bool, wait_limit: float, acting: Acting) -> None:
    """Hand over to another node, by plan: no slot is lost.

    `--at gap` waits until the own window is over and the next one is far; a lone producer has no gaps and hands over
    at once. An unhealthy, lagging or drained node is refused, unless --force takes the risk on.
    """
    with target.store() as store:
        found = look(store, target)
        change = changes.switchover(found, to, when, acting.who, force=acting.force)
        revision = act(store, target, change, acting)
        _after(store, target, found, change.to, revision, wait_limit if wait else 0.0)


@click.command()
@target_options
@to_option
@click.option(
    "--dead",
    metavar="NODE",
    shell_complete=complete_node,
    help="The leader, whom you saw dead: nobody waits for it. Unsafe if it lives.",
)
@force_option
@wait_option
@limit_option
@acting_options
def failover(target: Target, to: str | None, dead: str | None, wait: bool, wait_limit: float, acting: Acting) -> None:
    """Change the leader now, even when the old one cannot take part.

    A leader that lives stops first, in its window or not. One that is silent is waited for as long as it may produce;
    --dead says that it needs not be.
    """
    with target.store() as store:
        found = look(store, target, moving=True)
        change = changes.failover(found, to, acting.who, force=acting.force, dead=dead)
        revision = act(store, target, change, acting)
        _after(store, target, found, change.to, revision, wait_limit if wait else 0.0)


def _after(store: Store, target: Target, found: Look, to: str, revision: int | None, limit_s: float) -> None:
    """Wait until somebody new leads, or say how to follow it."""
    if revision is None:
        return
    if not limit_s:
        click.echo("asked for; follow it with `nodeos-failover status -W`, or add --wait")
        return
    begin = time.monotonic()
    result = Result(target.names, found, to, revision)
    text = wait_for(store, target, result.judge, limit_s)
    if text is None:
        raise WaitTimeout(f"not over after {limit_s:g} s ({result.state}): look at `status`")
    took = time.monotonic() - begin
    if result.failed:
        raise FailoverError(f"{text}, after {took:.1f} s: look at `status` and at the agents' logs")
    click.echo(f"{text}, after {took:.1f} s")
    cost = wait_for(store, target, result.cost, COST_S)
    click.echo(cost or "slots missed: known after the next own window, see `history`")


COST_S = 5.0
"""Seconds for the new leader's first blocks to be counted."""


ttl_option = click.option(
    "--ttl", type=click.IntRange(5, 30 * 86400), metavar="SECONDS", help="It ends by itself after so many seconds."
)


@click.group()
def override() -> None:
    """Say who may lead, or that nobody may; it stands until it is cleared."""


@override.command("set")
@click.argument("who", metavar="NODE|none", shell_complete=complete_node)
@target_options
@ttl_option
@click.option("--force", is_flag=True, help="Also for a NODE that is not among the members, and do not ask.")
@acting_options
def override_set(target: Target, who: str, ttl: int | None, acting: Acting) -> None:
    """Let only NODE lead, or nobody for `none`, until it is cleared or its time is over."""
    with target.store() as store:
        change = changes.override_set(look(store, target), who, acting.who)
        act(store, target, change, acting, ttl_s=ttl)


@override.command("clear")
@target_options
@acting_options
def override_clear(target: Target, acting: Acting) -> None:
    """End the override: the best node leads."""
    _take_back(target, acting, target.names.override, "the override is cleared", "no override is on")


@click.group()
def maintenance() -> None:
    """Have the agents watch and report, and change nothing."""


@maintenance.command("on")
@target_options
@ttl_option
@acting_options
def maintenance_on(target: Target, ttl: int | None, acting: Acting) -> None:
    """Begin maintenance: no failover happens; what safety asks for is still done."""
    with target.store() as store:
        change = changes.maintenance_on(looked_once(store, target), acting.who)
        act(store, target, change, acting, ttl_s=ttl)


@maintenance.command("off")
@target_options
@acting_options
def maintenance_off(target: Target, acting: Acting) -> None:
    """End maintenance."""
    _take_back(target, acting, target.names.maintenance, "maintenance is over", "maintenance is not on")


@click.command()
@click.argument("node", required=False, shell_complete=complete_node)
@target_options
@acting_options
def drain(target: Target, node: str | None, acting: Acting) -> None:
    """Take NODE out (default: the configuration's): it does not take over, and hands over if it leads."""
    with target.store() as store:
        found = look(store, target)
        act(store, target, changes.drain(found, _node(target, node), acting.who), acting)


@click.command()
@click.argument("node", required=False, shell_complete=complete_node)
@target_options
@acting_options
def undrain(target: Target, node: str | None, acting: Acting) -> None:
    """Let NODE take part again. It does not get the lead back by itself."""
    name = _node(target, node)
    nothing = f"{name} is not drained by key; election.nofailover?"
    _take_back(target, acting, changes.drain_key(target.names, name), f"{name} takes part again", nothing)


def _take_back(target: Target, acting: Acting, key: str, did: str, nothing: str) -> None:
    with target.store() as store:
        act(store, target, changes.clear(looked_once(store, target), key, did, nothing), acting)


def _node(target: Target, node: str | None) -> str:
    found = node or target.node
    if not found:
        raise click.UsageError("name the node")
    return found
