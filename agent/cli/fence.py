"""`fence`, `guard` and `gate` as members of the command line, for help and completion; `agent.main` runs them."""

from __future__ import annotations

import sys

import click

_RAW = {"ignore_unknown_options": True}


@click.command(context_settings=_RAW, add_help_option=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def fence(arguments: tuple[str, ...]) -> None:
    """Stop the nodeos beside us and prove it, without etcd (--local)."""
    from agent.guard.fence import main

    sys.exit(main(list(arguments)))


@click.command(context_settings=_RAW, add_help_option=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def guard(arguments: tuple[str, ...]) -> None:
    """Run the agent as a child, and fence when it ends or hangs (guard -- run …)."""
    from agent.guard.parent import main

    sys.exit(main(list(arguments)))


@click.command(context_settings=_RAW, add_help_option=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def gate(arguments: tuple[str, ...]) -> None:
    """Stand between nodeos and keosd, and sign only while this node may lead."""
    from agent.config.gate import read_gate
    from agent.gate.main import main

    sys.exit(main(list(arguments), read_gate))
