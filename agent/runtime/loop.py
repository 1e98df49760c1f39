"""The one loop that decides: takes events, steps the core, hands its actions to the lanes, and waits for nothing else.

Its thread owns the state, so the core needs no lock. What others may look at is an immutable snapshot.
"""

from __future__ import annotations

import logging
import queue
from collections.abc import Callable
from dataclasses import dataclass

from agent.core.leadership.actions import Exit
from agent.core.leadership.events import Shutdown, Tick
from agent.core.node import step as core
from agent.core.node.snapshot import NodeSnapshot
from agent.core.node.state import Node
from agent.errors import FailoverError
from agent.ports import Clock
from agent.runtime.effects import Effects
from agent.runtime.liveness import Liveness
from agent.telemetry import log_lines

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Fatal:
    """The agent cannot go on: it stops nodeos if it leads, and ends with this error."""

    error: FailoverError


class Loop:
    """One consumer of events. `emit` may be called from any thread and never blocks.

    `pulse` is told of each completed step, at least every `pulse.every` ms.
    """

    def __init__(self, node: Node, clock: Clock, effects: Callable[[Loop], Effects], pulse: Liveness) -> None:
        self._clock = clock
        self._pulse = pulse
        self._events: queue.SimpleQueue[object] = queue.SimpleQueue()
        self._error: FailoverError | None = None
        self._over = False
        self.holding = False
        """Whether it has ended with the lead, which the next process takes up."""
        self.snapshot = NodeSnapshot(node, clock.boot())
        self._effects = effects(self)

    @property
    def waiting(self) -> int:
        """How many events wait."""
        return self._events.qsize()

    def emit(self, event: object) -> None:
        """Hand an event to the loop."""
        self._events.put(event)

    def run(self) -> None:
        """Go on until the core says that nothing is held any more. Raises what was fatal.

        Whatever ends it otherwise is a defect: nodeos is stopped, and then it is raised.
        """
        try:
            self._go_on()
        except BaseException:
            self._effects.halt(self.snapshot.node.leadership)
            raise
        if self._error is not None:
            raise self._error

    def _go_on(self) -> None:
        while not self._over:
            event = self._next()
            if isinstance(event, Fatal):
                log.critical("%s", event.error)
                self._error = self._error or event.error
                event = Shutdown()
            self._step(event)
            if not self._over and self._clock.boot() >= self.snapshot.node.wake:
                self._step(Tick())  # what is due does not wait behind a burst of events that have no say in it
            self._pulse(self.snapshot)

    def _next(self) -> object:
        wait_ms = min(self.snapshot.node.wake - self._clock.boot(), self._pulse.every)
        try:
            # a reading is rounded down: one more millisecond, or the loop would wake too early and again
            return self._events.get(timeout=(wait_ms + 1) / 1000) if wait_ms > 0 else self._events.get_nowait()
        except queue.Empty:
            return Tick()

    def _step(self, event: object) -> None:
        now, before = self._clock.boot(), self.snapshot.node
        node, actions = core.step(before, event, now)  # type: ignore[arg-type] # emit takes any event
        self.snapshot = NodeSnapshot(node, now)
        for action in actions:
            self._effects.do(action)
            if isinstance(action, Exit):
                self._over, self.holding = True, action.holding
        try:
            for line in log_lines.lines(before, node, actions):
                log.log(line.level, "%s", line.message, extra=line.fields)
            self._effects.stepped(event, self.snapshot)
        except Exception:
            log.exception("a defect in telling what happens")  # no reason to stop production
