"""The sign of life of the decision loop: given after each completed step, to systemd, the parent guard, the device.

Nothing else gives it. A loop that hangs, or a process that is frozen, falls silent to all three at once.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping

from agent.config.protocol import FEED_MS
from agent.core.leadership.state import Phase, State
from agent.core.model.store import Ms
from agent.core.node.snapshot import NodeSnapshot
from agent.host.paths import PULSE_FD
from agent.host.systemd import Notifier
from agent.host.watchdog import Watchdog
from agent.ports import Clock

log = logging.getLogger(__name__)

IDLE_MS: Ms = 1000
"""How often a sign is given where no device wants more."""


class GuardPipe:
    """The pipe to a parent guard; without one, nothing."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        number = environ.get(PULSE_FD, "")
        self._fd = int(number) if number.isdecimal() else -1
        if self._fd >= 0:
            os.set_inheritable(self._fd, False)  # else a child of ours could keep us alive

    def beat(self) -> None:
        """Give a sign; never waits."""
        if self._fd < 0:
            return
        try:
            os.write(self._fd, b".")
        except BlockingIOError:
            return  # the parent is frozen, and has signs enough to read
        except OSError as error:
            log.warning("the parent guard is gone (%s); the guard beside this agent stays", error)
            self._fd = -1

    def bequeath(self) -> None:
        """Leave the pipe to what this process becomes by exec."""
        if self._fd >= 0:
            os.set_inheritable(self._fd, True)


class Liveness:
    """Called by the loop with each snapshot that a step has completed. Never blocks, never raises."""

    def __init__(self, clock: Clock, notifier: Notifier, heart: GuardPipe, watchdog: Watchdog) -> None:
        self._clock = clock
        self._notifier = notifier
        self._heart = heart
        self._watchdog = watchdog
        self._fed: Ms = 0
        self._told: Ms = 0
        self._said = ""
        self._ready = self._leaving = False
        self.every = FEED_MS if watchdog.timeout_s is not None else IDLE_MS

    def __call__(self, snapshot: NodeSnapshot) -> None:
        """Give a sign of life, and tell systemd what has changed: not with each of many steps, but an end at once."""
        state, now = snapshot.node.leadership, self._clock.boot()
        if now >= self._told + IDLE_MS // 2 or (state.leaving and not self._leaving):
            self._told = now
            self._heart.beat()
            if self._notifier.watchdog_s is not None:
                self._notifier.watchdog()
            self._tell("observes only" if snapshot.node.settings.observes else describe(state), leaving=state.leaving)
        reset_s = self._watchdog.timeout_s
        if reset_s is not None and now >= self._fed + FEED_MS // 2 and may_feed(state, now, reset_s * 1000):
            self._fed = now
            self._watchdog.feed()

    def _tell(self, text: str, *, leaving: bool) -> None:
        if not self._ready:
            self._ready = True
            self._notifier.ready(text)
        elif leaving and not self._leaving:
            self._leaving = True
            self._notifier.stopping(text)
        elif text != self._said:
            self._notifier.status(text)
        self._said = text

    def close(self, snapshot: NodeSnapshot) -> None:
        """Disarm the device, unless nodeos may still produce for a tenure of ours: then the host is to be reset."""
        state = snapshot.node.leadership
        if state.proven or state.tenure is None:
            self._watchdog.close()

    def bequeath(self) -> None:
        """Leave the pipe to a parent guard to what this process becomes by exec."""
        self._heart.bequeath()

    def again(self) -> None:
        """Say that reloading is over."""
        self._notifier.ready(self._said)


def may_feed(state: State, now: Ms, timeout_ms: Ms) -> bool:
    """Tell whether a device that resets the host `timeout_ms` after this feeding may be fed (R3).

    While a tenure is not proven stopped the reset has to come by V. So the last feeding is between V - T - FEED_MS and
    V - T, and the reset would come between V - FEED_MS and V; a stop is proven by V - G. With FEED_MS below G no stop
    that goes well resets the host, and one that fails does.
    """
    return state.proven or state.tenure is None or now + timeout_ms <= state.tenure.valid_until


def describe(state: State) -> str:
    """Return the state of an agent in one line."""
    record = state.seen.record
    words = [state.phase.value]
    if state.tenure is not None:
        words.append(f"epoch {state.tenure.epoch}")
    elif record is not None:
        words.append(f"epoch {record.epoch} of {record.node}{' is over' if record.released else ''}")
    if state.leaving:
        words.append("ending")
    if state.phase in (Phase.STARTING, Phase.STANDBY) and not state.proven:
        words.append("nodeos is not proven stopped")
    return ", ".join(words)
