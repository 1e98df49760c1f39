"""`nodeos-failover fence --local`: see to it that nodeos does not produce, without etcd and without the agent (R3, R4).

For a supervisor whose agent ended however it ended (systemd: ExecStopPost), and for an operator in doubt. Pause, ask,
and wait for the block in flight; what cannot be proven so is ended. It takes at most P + max(B, K), and SIGTERM's
grace on top as far as the confirmation in the run-time file leaves time for that.

With --restart an agent that comes back in time costs no block: while the confirmation of the last one holds, and
nothing else speaks against going on, a guard is left behind, which acts at V - A unless a new agent has confirmed.
"""

from __future__ import annotations

import argparse
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from agent.core.model.fields import RecordError
from agent.errors import ConfigError, FailoverError, FenceError
from agent.guard.stop import Found, Means, means_of, read, read_means
from agent.host.clock import boot_id, boot_ms
from agent.host.paths import DEFAULT_CONFIG, Files, find, refusal
from agent.host.small_file import read_whole
from agent.nodeos.fence import ProcessFence

READY_S = 1.0
"""How long a guard that is left behind may take to say that it guards; else we act ourselves."""
TRIES_S = 1.0
"""How long a nodeos that nobody leads with may be too busy to answer a pause: no reason to end it at once."""
Slow = Callable[[], Means]
"""Reads the whole configuration: only where no agent has left a plan."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one node. `proven`: nodeos is stopped, or a guard stops it in time."""

    proven: bool
    text: str


def fence(files: Files, *, restart: bool, slow: Slow, supervised: bool = False) -> Outcome:
    """Fence the nodeos of one node; `restart` leaves it to a guard while an agent that comes back may go on.

    `supervised`: an agent ended, and no operator asks. Then the nodeos of one that refused to start is left alone, for
    it is another agent's, which may be leading with it.
    """
    found, why = read_file(files.runtime)
    pending = found.armed
    if supervised and pending is None and (refused := refusal(files)):
        return Outcome(True, f"nodeos is left alone, it is not this agent's: {refused}")
    if restart and pending is not None and pending.left_ms(boot_ms()) > 0 and leave_guard(files, found):
        left_s = pending.left_ms(boot_ms()) / 1000
        return Outcome(True, f"epoch {pending.epoch} may go on for {left_s:.1f} s; a guard stops nodeos after that")
    try:
        how = pending.stop() if pending else stop_idle(read_plan(files) or slow())
    except (FailoverError, RecordError, OSError) as error:
        return Outcome(False, f"nodeos could NOT be stopped, stop it by hand: {error}")
    return Outcome(True, f"{how}{f' ({why})' if why else ''}")


def stop_idle(means: Means) -> str:
    """Stop a nodeos that nobody led with, and prove it; return how. FenceError when it cannot be proven.

    One that does not listen yet is left alone: it replays, and pause-on-startup is required.
    """
    end = time.monotonic() + max(TRIES_S, means.pause_s)
    while not means.paused():
        if time.monotonic() > end:
            return _end_idle(means)
        time.sleep(0.05)
    time.sleep(means.block_s)
    return "nodeos is paused"


def _end_idle(means: Means) -> str:
    """End a nodeos without a tenure that takes no pause. FenceError when it cannot be told whether it may produce."""
    if not means.listens():
        return "nodeos does not listen yet, nobody led, and pause-on-startup keeps it from producing"
    found = ProcessFence(means.plan).find()
    assert found is not None  # only of one that was known is it seen that it is gone
    found.close()
    return means.end(found.id, means.term_s)


def leave_guard(files: Files, found: Found) -> bool:
    """Start a guard that outlives us for the tenure of an agent that is gone; False when it does not come up."""
    command = [sys.executable, "-I", "-m", "agent.guard", str(files.runtime), str(found.agent_pid)]
    try:
        guard = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, cwd="/", start_new_session=True
        )
    except OSError:
        return False
    assert guard.stdout is not None
    with guard.stdout:
        ready = select.select([guard.stdout], [], [], READY_S)[0] and os.read(guard.stdout.fileno(), 1)
    guard.returncode = 0  # it is not ours to wait for any more
    return bool(ready)


def read_file(path: Path) -> tuple[Found, str]:
    """Return what the run-time file says, and what was wrong with it."""
    try:
        return read(path, boot_id(), anew=True), ""
    except FileNotFoundError:
        return Found(None), ""
    except (OSError, RecordError, ConfigError) as error:
        return Found(None), f"the run-time file {path} cannot be read: {error}"


def read_plan(files: Files) -> Means | None:
    """Return what the plan file says, None when it says nothing that can be used."""
    try:
        return read_means(read_whole(files.plan))
    except (OSError, RecordError, ConfigError):
        return None


def arguments(words: list[str]) -> argparse.Namespace:
    """Read the command line; ends the process with 2 when it cannot."""
    parser = argparse.ArgumentParser(prog="nodeos-failover fence", description=__doc__.split("\n\n", 1)[0])
    parser.add_argument("--local", action="store_true", required=True, help="the nodeos beside us: no etcd is asked")
    parser.add_argument(
        "--restart",
        action="store_true",
        help="for a supervisor: let nodeos produce for an agent that comes back in time (a guard acts if none does), "
        "and leave it alone if the agent refused to start",
    )
    parser.add_argument(
        "-c", "--config", type=Path, default=os.environ.get("NODEOS_FAILOVER_CONFIG", DEFAULT_CONFIG), help="(TOML)"
    )
    return parser.parse_args(words)


def main(words: list[str], environ: Mapping[str, str] = os.environ) -> int:
    """Fence, say what came of it, and return the exit code: 0 proven, 1 not, 3 no such configuration."""
    given = arguments(words)
    try:
        nodes = find(given.config, environ)
    except ConfigError as error:
        print(f"nodeos-failover fence: {error}", file=sys.stderr)  # noqa: T201 - this is a command
        return ConfigError.exit_code
    outcomes = [
        fence(each, restart=given.restart, slow=lambda: slow_means(given.config, environ), supervised=given.restart)
        for each in nodes
    ]
    for each in outcomes:
        print(f"nodeos-failover fence: {each.text}", file=sys.stderr)  # noqa: T201 - this is a command
    return 0 if all(each.proven for each in outcomes) else FenceError.exit_code


def slow_means(config: Path, environ: Mapping[str, str]) -> Means:
    """Read how nodeos is stopped from the configuration itself."""
    from agent.config.load import load
    from agent.guard.plan import guard_fields

    return means_of(guard_fields(load(config, environ)))
