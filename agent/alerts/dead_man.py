"""The dead man's switch: a ping at intervals while all is well; whoever misses it raises the alarm."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from agent.alerts.worker import ChannelStats
from agent.ports import Delivery

log = logging.getLogger(__name__)


class DeadMan:
    """Pings one URL every `every_s` seconds while `well` says nothing. `well` returns why not; never raises."""

    def __init__(
        self, name: str, ping: Callable[[float], Delivery], every_s: float, timeout_s: float, well: Callable[[], str]
    ) -> None:
        self.name = name
        self._ping, self._every, self._timeout, self._well = ping, every_s, timeout_s, well
        self._over = threading.Event()
        self._sent = {"ok": 0, "failed": 0, "withheld": 0}
        self._said = ""
        self._thread = threading.Thread(target=self._run, name=f"alerts-{name}", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def end(self, _deadline: float) -> None:
        """Ping no more."""
        self._over.set()

    def join(self, deadline: float) -> None:
        """Wait for the last ping."""
        self._thread.join(max(0.0, deadline - time.monotonic()))

    def stats(self) -> ChannelStats:
        """Return the counters now; nothing is ever queued: only the newest sign of life is worth anything."""
        return ChannelStats(self.name, dict(self._sent), {}, 0)

    def _run(self) -> None:
        while not self._over.is_set():
            self._beat()
            self._over.wait(self._every)

    def _beat(self) -> None:
        why = self._well()
        if why:
            self._sent["withheld"] += 1
            self._say(f"no ping goes to {self.name}: {why}")
            return
        delivery = self._ping(self._timeout)
        self._sent["ok" if delivery.ok else "failed"] += 1
        self._say("" if delivery.ok else f"a ping to {self.name} failed: {delivery.detail}")

    def _say(self, words: str) -> None:
        """Log what is new only."""
        if words and words != self._said:
            log.warning("%s", words)
        elif self._said and not words:
            log.warning("pings to %s go out again", self.name)
        self._said = words
