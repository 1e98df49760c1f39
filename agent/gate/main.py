"""`nodeos-failover gate`: the process between nodeos and keosd. What it does stands in `agent.gate`."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from agent.adapters.clock import boot_id, boot_ms, boot_s
from agent.errors import ConfigError
from agent.gate import settings as reading
from agent.gate.page import identity
from agent.gate.permit import Permit
from agent.gate.server import Server
from agent.gate.settings import Settings
from agent.supervision.notify import Notifier
from agent.supervision.voice import Voice
from agent.supervision.where import DEFAULT_CONFIG

SAY_AGAIN_S = 5.0
"""The same reason is told as often at most, with how often it came meanwhile."""
STATUS_S = 5.0
LINES = 20


class Herald:
    """Tells refusals, bounded, and the state to systemd."""

    def __init__(self, voice: Voice, notifier: Notifier) -> None:
        self._voice = voice
        self._notifier = notifier
        self._said: dict[str, float] = {}
        self._kept: Counter[str] = Counter()
        self._lines: list[str] = []
        self._status_from = 0.0

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
        if boot_s() >= self._status_from:
            self._status_from = boot_s() + STATUS_S
            counts = server.counts
            self._notifier.status(
                f"{counts.signed} signed, {sum(counts.refused.values())} refused; keosd: {server.wallet.state}"
            )


def run(settings: Settings, environ: Mapping[str, str]) -> None:
    """Run a gate until SIGTERM or SIGINT. ConfigError when it can not listen."""
    over: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda caught, _frame: over.append(caught))
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    notifier = Notifier(environ)
    herald = Herald(Voice("gate"), notifier)
    page = identity(settings.group, settings.node)
    permit = Permit(settings.page, page, settings.owner, boot_id(), boot_ms)
    server = Server(settings, permit, boot_ms, herald.refused, time.monotonic)
    server.open()
    herald.say(f"listening on {settings.listen.text}, keosd at {settings.keosd.text}")
    notifier.ready("listening")
    state = ""
    while not over:
        server.turn()
        if server.wallet.state != state:
            state = server.wallet.state
            herald.say(f"keosd: {state}")
        herald.flush(server)
    notifier.stopping("ending")
    server.close()


def main(arguments: list[str]) -> int:
    """Read the settings, and be a gate."""
    parser = argparse.ArgumentParser(prog="nodeos-failover gate", description="Sign only while this node may lead.")
    parser.add_argument("--config", "-c", default=os.environ.get("NODEOS_FAILOVER_CONFIG", DEFAULT_CONFIG))
    try:
        run(reading.read(Path(parser.parse_args(arguments).config), os.environ), os.environ)
    except ConfigError as error:
        sys.stderr.write("".join(f"Error: {line}\n" for line in error.problems))
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
