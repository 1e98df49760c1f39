"""`completion`: the script that teaches a shell our commands and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from agent.cli.options import COMPLETING

_HOW = {
    "bash": "put into /etc/bash_completion.d/nodeos-failover",
    "zsh": "put into a directory of $fpath as _nodeos-failover",
    "fish": "put into ~/.config/fish/completions/nodeos-failover.fish",
}


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script of a shell; source it, or put it where the shell looks for it."""
    found = get_completion_class(shell)
    assert found is not None
    script = found(ctx.find_root().command, {}, "nodeos-failover", COMPLETING)
    click.echo(f"{script.source().strip()}\n# {_HOW[shell]}")
