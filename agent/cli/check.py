"""`check`: one line and an exit code, as Nagios and its kin want them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from agent.cli.look import look
from agent.cli.target import Chosen, choosing_options, resolve
from agent.errors import FailoverError
from agent.group.view import group_view
from agent.net.livez import livez
from agent.run import read_config

STATES = ("OK", "WARNING", "CRITICAL", "UNKNOWN")
"""The exit code of each is its place."""


@click.command()
@choosing_options
@click.option("--agent", "agent_only", is_flag=True, help="Ask only the agent beside us whether its loop runs.")
@click.pass_context
def check(ctx: click.Context, chosen: Chosen, agent_only: bool) -> None:
    """Tell in one line how the group is, for Nagios and its kin.

    Exit code 0 OK, 1 WARNING (no second node, a word of an operator is in force), 2 CRITICAL (no leader, or it is not
    well), 3 UNKNOWN (etcd or the configuration cannot be read). With --agent neither etcd nor nodeos is asked: what
    a container's health check wants, for a restart would mend neither.
    """
    try:
        if agent_only:
            code, text = _beside(chosen.path, chosen.timeout)
        else:
            target = resolve(chosen, os.environ)
            with target.store() as store:
                found = look(store, target)
            code, text = verdict(group_view(found.names, found.first, found.second, seen=found.seen))
    except (FailoverError, click.UsageError) as error:
        message = error.format_message() if isinstance(error, click.UsageError) else str(error)
        code, text = 3, " ".join(message.replace("|", "/").split())
    click.echo(f"NODEOS-FAILOVER {STATES[code]} - {text}")
    ctx.exit(code)


def _beside(path: Path, timeout_s: float) -> tuple[int, str]:
    """Return exit code and text about the agent that runs with this configuration."""
    http = read_config(path).http
    if http.address is None:
        raise click.UsageError("--agent needs http.listen: it is empty in the configuration")
    alive, words = livez(*http.address, timeout_s, tls=http.cert_file is not None)
    return (0 if alive else 2), words


def verdict(data: dict[str, Any]) -> tuple[int, str]:
    """Return exit code and text with performance data, from the data of `status`."""
    code, words = _judge(data)
    members, heartbeat = data["members"], data["heartbeat"]
    leader = next((each for each in members if each["leads"]), None)
    figures = {
        "members": len(members),
        "healthy": sum(each["healthy"] for each in members),
        "epoch": heartbeat["epoch"] if heartbeat else 0,
        "lag": f"{max((each['lag'] for each in members if each['lag'] is not None), default=0)};;;0",
        "leader_head_age": f"{leader['head_age']:.3f}s" if leader and leader["head_age"] is not None else "U",
    }
    perf = " ".join(f"{name}={value}" for name, value in figures.items())
    return code, f"{data['group']}: {'; '.join(words).replace('|', '/')} | {perf}"


def _judge(data: dict[str, Any]) -> tuple[int, list[str]]:
    if data["why"]:
        return 2, data["why"]
    heartbeat, members = data["heartbeat"], data["members"]
    leads = heartbeat is not None and heartbeat["state"] == "held"
    said = f"{heartbeat['node']} leads epoch {heartbeat['epoch']}" if leads else "nobody leads, as operators asked"
    warnings = data["warnings"]
    return (1, [said, *warnings]) if warnings else (0, [said, f"{len(members)} members, all told"])
