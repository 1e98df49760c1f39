"""The commands about this host: its configuration, its agent and guard, its alert channels, and this program."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import click
from click.shell_completion import get_completion_class

from agent.cli.config_init import init
from agent.cli.options import COMPLETING, as_data, config_option, console, form_option, show
from agent.config.show import as_json, as_toml, reference, schema
from agent.core.leadership.timing import seconds
from agent.errors import ConfigError, FailoverError, WaitTimeout
from agent.host.paths import find
from agent.host.process import start_ticks
from agent.run import read_config
from agent.runtime.reload import ReloadNote, read_note


@click.group()
def config() -> None:
    """Check or show the configuration."""


@config.command()
@config_option
def validate(path: Path) -> None:
    """Tell every problem in the configuration at once; exit code 3 if there is one."""
    loaded = read_config(path)
    from agent.doctor import files
    from agent.doctor.finding import Grade

    found = files.check(files.gather(loaded, path))
    if faults := [f"{each.seen}: {each.remedy}" for each in found if each.verdict is Grade.FAULT]:
        raise ConfigError(faults)
    for each in found:
        click.echo(f"{each.verdict.value}: {each.seen}" + (f": {each.remedy}" if each.remedy else ""), err=True)
    spans = loaded.spans
    click.echo(
        f"{path} is fine: node {loaded.node} of group {loaded.group}, producer {loaded.producer}; a confirmation "
        f"lasts {seconds(spans.validity)}, production stops {seconds(spans.margin)} before it runs out"
    )


@config.command("show")
@config_option
@form_option("toml", "json")
def show_values(path: Path, form: str) -> None:
    """Print the values in effect: file, environment and defaults. Secrets are masked."""
    loaded = read_config(path)
    click.echo(as_json(loaded) if form == "json" else as_toml(loaded), nl=False)


@config.command("schema")
@form_option("json", "markdown", text="A JSON schema, or a table for people.")
def print_schema(form: str) -> None:
    """Print the schema of the configuration file: every setting, its default and its meaning."""
    click.echo(schema() if form == "json" else reference(), nl=False)


config.add_command(init)


@click.group()
def alerts() -> None:
    """Try the alert channels."""


@alerts.command()
@config_option
@click.option("--channel", metavar="NAME", help="Only this channel.")
@click.option(
    "--severity",
    type=click.Choice(["info", "warning", "critical"]),
    default="critical",
    show_default=True,
    help="How severe the test is.",
)
def test(path: Path, channel: str | None, severity: str) -> None:
    """Send a test to each channel, whatever its least severity is, then its end; print what came back."""
    loaded = read_config(path)
    named = [each for each in loaded.alerts if channel in (None, each.name)]
    if not named:
        there = ", ".join(each.name for each in loaded.alerts) or "none"
        raise ConfigError([f"alerts: no channel {f'is named {channel}' if channel else 'to test'}: there are {there}"])
    from agent.alerts.sinks import try_channel

    failed = 0
    for each in named:
        begin = time.monotonic()
        found = try_channel(loaded, each, severity)
        failed += not found.ok
        outcome = "delivered" if found.ok else f"not delivered: {found.detail}"
        click.echo(f"{each.name} ({each.type}): {outcome} ({time.monotonic() - begin:.1f} s)")
        if found.answer:
            click.echo(f"    {found.answer}")
    if failed:
        raise FailoverError(f"{failed} of {len(named)} channels do not deliver: correct their settings, or mend them")


FAULT = 1
"""What it exits with when there is a fault."""


@click.command()
@config_option
@form_option("table", "json", "yaml")
@click.option(
    "--timeout", type=click.FloatRange(1, 120), default=15.0, show_default=True, help="Seconds for everything."
)
@click.pass_context
def doctor(ctx: click.Context, path: Path, form: str, timeout: float) -> None:
    """Look for what would bite later: nodeos, host, etcd, group, supervision, alerts. Changes nothing.

    Each check is ok, warn, fault, unknown or skipped, with the remedy. Exit code 1 when there is a fault.
    """
    config = read_config(path)
    from agent.doctor import finding
    from agent.doctor.examine import examine

    found = examine(config, timeout, path)
    if form == "table":
        show(console(), finding.table(found))
    else:
        click.echo(as_data(finding.data(found), form))
    ctx.exit(FAULT if finding.data(found)["faults"] else 0)


EVERY_S = 0.05


@click.command()
@config_option
@click.option("--wait", type=click.FloatRange(0.1, 600), default=10.0, show_default=True, help="Seconds to wait.")
def reload(path: Path, wait: float) -> None:
    """Have the running agent read its configuration again, and tell what came of it.

    Exit code 3 when the configuration is wrong: then the agent goes on with the old one. What needs a restart is named.
    """
    file, before = _running([each.reload for each in find(path, os.environ)])
    os.kill(before.pid, signal.SIGHUP)
    deadline = time.monotonic() + wait
    while (now := _running([file])[1]).count == before.count:
        if time.monotonic() > deadline:
            raise WaitTimeout(f"the agent (pid {before.pid}) has not read it again after {wait:g} s: look at its log")
        time.sleep(EVERY_S)
    if not now.ok:
        raise ConfigError(list(now.said))
    for line in now.said:
        click.echo(line)


def _running(files: list[Path]) -> tuple[Path, ReloadNote]:
    """Return the note of the agent that runs, and its file. FailoverError when none does."""
    for file in files:
        with suppress(OSError, ValueError):
            note = read_note(file)
            if start_ticks(note.pid) == note.started:
                return file, note
    named = ", ".join(map(str, files))
    raise FailoverError(f"no agent runs with this configuration (none tells of itself in {named}): start it")


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


def _raw(command: Callable[[tuple[str, ...]], None]) -> click.Command:
    """Make a command that gets its words as they are; here for help and completion, `agent.main` runs it."""
    words = click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
    return click.command(context_settings={"ignore_unknown_options": True}, add_help_option=False)(words(command))


@_raw
def fence(arguments: tuple[str, ...]) -> None:
    """Stop the nodeos beside us and prove it, without etcd (--local)."""
    from agent.guard.fence import main

    sys.exit(main(list(arguments)))


@_raw
def guard(arguments: tuple[str, ...]) -> None:
    """Run the agent as a child, and fence when it ends or hangs (guard -- run …)."""
    from agent.guard.parent import main

    sys.exit(main(list(arguments)))


@_raw
def gate(arguments: tuple[str, ...]) -> None:
    """Stand between nodeos and keosd, and sign only while this node may lead."""
    from agent.config.gate import read_gate
    from agent.gate.main import main

    sys.exit(main(list(arguments), read_gate))
