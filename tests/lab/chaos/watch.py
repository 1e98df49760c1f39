"""What the lab sees while chaos goes on: lines of the agents' logs as they come, and stalls of the machine itself."""

from __future__ import annotations

import json
import threading
import time
from datetime import datetime

from tests.lab.bench.tails import Tail
from tests.lab.chaos.checker import DEFECT
from tests.lab.chaos.history import Change, Note, Span
from tests.lab.chaos.world import World

PERIOD = 0.1
LOOK_LIMIT = 5.0
TRUSTED = 1.5
"""Seconds that an agent's own time may differ from when the lab read the line; else the agent's clock had jumped."""
STALL = 0.3
"""Seconds of delay of our own thread that are noted as a stall of the machine: the protocol's slack G."""


class Watch:
    """Reads until `close`; all it finds goes to the world's lists, `stalls` are its own."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._tails = {host.name: Tail(host.agent.log) for host in world.hosts.values()}
        self._over = threading.Event()
        self._read = threading.Event()  # set after each look at all logs
        self.stalls: list[Span] = []
        self._threads = [
            threading.Thread(target=work, name=f"watch-{name}", daemon=True)
            for name, work in (("logs", self._read_logs), ("stalls", self._meter))
        ]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def settle(self) -> None:
        """Return once all that was logged before this call was read."""
        self._read.clear()
        self._read.wait(LOOK_LIMIT)
        self._read.clear()
        self._read.wait(LOOK_LIMIT)

    def close(self) -> None:
        """Read what is left, and end."""
        self._over.set()
        for thread in self._threads:
            thread.join(10.0)

    def _read_logs(self) -> None:
        last = False
        while not last:
            last = self._over.wait(PERIOD)
            for name, tail in self._tails.items():
                for line in tail.lines():
                    self._take(name, line, time.time())
            self._read.set()

    def _take(self, name: str, line: str, now: float) -> None:
        found = parse(name, line, now)
        if isinstance(found, Change):
            self._world.changes.append(found)
        elif found is not None:
            self._world.notes.append(found)

    def _meter(self) -> None:
        before = time.monotonic()
        while not self._over.wait(PERIOD):
            now = time.monotonic()
            late = now - before - PERIOD
            if late > STALL:
                wall = time.time()
                self.stalls.append(Span("", wall - late, wall))
            before = now


def parse(name: str, line: str, now: float) -> Change | Note | None:
    """Read one line of an agent's log, which the lab saw at `now`; None: nothing to keep."""
    try:
        fields = json.loads(line)
    except ValueError:
        if line.startswith("Traceback"):  # an agent logs even that as JSON: this is its guard
            return Note(now, name, f"{DEFECT} in the guard, see its lines in the log")
        return Note(now, name, line) if " nodeos-failover guard" in line else None
    if not isinstance(fields, dict):
        return None
    own = datetime.fromisoformat(fields["time"]).timestamp() if "time" in fields else now
    at = own if abs(now - own) < TRUSTED else now
    if "transition" in fields:
        key, phase = str(fields["transition"]), str(fields["to"])
        return Change(name, at, phase, key, int(fields["epoch"]), f"{fields['message']} [{key}]")
    if fields.get("logger") == "agent.app" and fields.get("message") == "starting":
        return Change(name, at, "starting", "starting", 0, "the agent starts")
    if fields.get("level") in ("warning", "error", "critical"):
        why = str(fields.get("traceback", "")).rstrip().rpartition("\n")[2]
        return Note(at, name, f"{fields['level']}: {fields['message']}{why and ': ' + why}")
    return None
