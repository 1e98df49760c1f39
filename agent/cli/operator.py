"""`override`, `maintenance`, `drain` and `undrain`: the words of operators that stand until they are taken back."""

from __future__ import annotations

import click

from agent.cli import changes
from agent.cli.act import Acting, act, acting_options
from agent.cli.look import look, looked_once
from agent.cli.options import complete_node
from agent.cli.target import Target, target_options

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
