"""`switchover` and `failover`: another leader, by plan or now."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import click

from agent.cli import changes
from agent.cli.act import Acting, act, acting_options, wait_for
from agent.cli.look import Look, look
from agent.cli.options import complete_node
from agent.cli.result import Result
from agent.cli.target import Target, target_options
from agent.errors import FailoverError, WaitTimeout
from agent.ports import Store

LATEST = timedelta(days=1)
"""No switchover is asked for further ahead: who looks at it then?"""

to_option = click.option(
    "--to",
    metavar="NODE",
    shell_complete=complete_node,
    help="The node that shall lead; default: the best standby.",
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
def switchover(
    target: Target,
    to: str | None,
    when: str,
    wait: bool,
    wait_limit: float,
    acting: Acting,
) -> None:
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
def failover(
    target: Target,
    to: str | None,
    dead: str | None,
    wait: bool,
    wait_limit: float,
    acting: Acting,
) -> None:
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
