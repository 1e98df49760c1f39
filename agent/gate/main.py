"""`nodeos-failover gate`: the process between nodeos and keosd. What it does stands in `agent.gate`."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

from agent.errors import ConfigError
from agent.gate.permit import Permit
from agent.gate.server import Server
from agent.gate.settings import Settings
from agent.host.clock import boot_id, boot_ms, boot_s
from agent.host.page import identity
from agent.host.paths import DEFAULT_CONFIG
from agent.host.stderr import Voice
from agent.host.systemd import Notifier

SAY_AGAIN_S = 5.0
"""The same reason is told as often at most, with how often it came meanwhile."""
STATUS_S = 5.0
ALIVE_S = 0.5
"""Between two signs of life for systemd's WatchdogSec."""
LINES = 20


class Reporter:
    """Tells refusals, bounded, and the state to systemd."""

    def __init__(self, voice: Voice, notifier: Notifier) -> None:
        self._voice = voice
        self._notifier = notifier
        self._said: dict[str, float] = {}
        self._kept: Counter[str] = Counter()
        self._lines: list[str] = []
        self._status_from = self._alive_from = 0.0

    def refused(self, reason: str, more: str) -> None:
        """Note one refusal."""
        self._kept[reason] += 1
        if boot_s() >= self._said.get(reason, 0.0) + SAY_AGAIN_S and len(self._lines) < LINES:
            self._said[reason] = boot_s()
            self._lines.append(f"refused {self._kept.pop(reason)} x {reason}{': ' if more else ''}{more}")

    def say(self, text: str) -> None:
        """Say a line."""
        self._lines.append(text)

    def flush(self, server: Server) -> None:
        """Say what there is to be said."""
        if self._lines:
            self._voice.say("; ".join(self._lines))
            self._lines.clear()
        if boot_s() >= self._alive_from:
            self._alive_from = boot_s() + ALIVE_S
            self._notifier.send("WATCHDOG=1")
        if boot_s() >= self._status_from:
            self._status_from = boot_s() + STATUS_S
            counts = server.counts
            refused = sum(counts.refused.values())
            self._notifier.send(f"STATUS={counts.signed} signed, {refused} refused; keosd: {server.wallet.state}")


def run(settings: Settings, environ: Mapping[str, str]) -> None:
    """Run a gate until SIGTERM or SIGINT. ConfigError when it cannot listen."""
    over: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, lambda caught, _frame: over.append(caught))
    for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    notifier = Notifier(environ)
    reporter = Reporter(Voice("gate"), notifier)
    page = identity(settings.group, settings.node)
    permit = Permit(settings.page, page, settings.owner, boot_id(), boot_ms)
    server = Server(settings, permit, boot_ms, reporter.refused, time.monotonic)
    server.open()
    reporter.say(f"listening on {settings.listen.text}, keosd at {settings.keosd.text}")
    notifier.send("READY=1")
    state = ""
    while not over:
        server.turn()
        if server.wallet.state != state:
            state = server.wallet.state
            reporter.say(f"keosd: {state}")
        reporter.flush(server)
    notifier.send("STOPPING=1")
    server.close()


HELP = """usage: nodeos-failover gate [--config FILE]

Stand between nodeos and keosd, and sign only while this node may lead. Settings: the table [gate].
"""


def main(arguments: list[str], read: Callable[[Path, Mapping[str, str]], Settings]) -> int:
    """Read the settings by `read`, and be a gate. Return the exit code."""
    match arguments:
        case []:
            path = os.environ.get("NODEOS_FAILOVER_CONFIG", DEFAULT_CONFIG)
        case ["--config" | "-c", path]:
            pass
        case ["--help" | "-h", *_]:
            sys.stdout.write(HELP)
            return 0
        case _:
            sys.stderr.write(HELP)
            return 2
    try:
        run(read(Path(path), os.environ), os.environ)
    except ConfigError as error:
        sys.stderr.write("".join(f"Error: {line}\n" for line in error.problems))
        return error.exit_code
    return 0
