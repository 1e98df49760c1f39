"""`reload`: has the agent of a configuration read it again, and waits for what came of it."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

import click

from agent.cli.options import config_option
from agent.errors import ConfigError, FailoverError, WaitTimeout
from agent.host.paths import find
from agent.host.process import start_ticks
from agent.runtime.reload_note import ReloadNote, read_note

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
