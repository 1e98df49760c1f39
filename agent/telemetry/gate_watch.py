"""Looking at the signing gate again and again, and what that says as metrics. Nothing is decided here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from agent.core.model.store import Ms
from agent.errors import GateError
from agent.gate.control import BOUNDS, READY
from agent.host.page import Page, Sign
from agent.ports import Clock, GateStatus, SigningGate
from agent.telemetry.families import Kit

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

ANSWER_S = 0.5
"""For one answer of the gate; it takes about a millisecond."""
OLD_MS: Ms = 5000
"""An answer of the gate that is older says nothing any more."""


@dataclass(frozen=True, slots=True)
class GateReading:
    """What was heard of the gate at `at`. `status` None: no answer, `error` says why; `last`: the last answer.

    A gate that was started again counts from 0, one that was silent for a moment goes on.
    """

    at: Ms = 0
    status: GateStatus | None = None
    error: str = "not asked yet"
    last: GateStatus | None = None


@dataclass(eq=False)
class GateWatch:
    """Asks the gate how it is. `_told` makes an event of an answer, or none."""

    _gate: SigningGate
    _clock: Clock
    _told: Callable[[GateReading], object | None] = lambda _seen: None
    seen: GateReading = field(default_factory=GateReading)

    def look(self) -> object | None:
        """Ask once; return the event."""
        try:
            status = self._gate.status(ANSWER_S)
            self.seen = GateReading(self._clock.boot(), status, "", status)
        except GateError as error:
            self.seen = GateReading(self._clock.boot(), None, str(error), self.seen.last)
        return self._told(self.seen)


@dataclass(eq=False)
class GateGauges(Kit):
    """The gate of one node as metrics, computed at scrape time. Its counts begin anew when it is started again."""

    _clock: Clock
    _seen: Callable[[], GateReading]
    _page: Callable[[], Page]

    def collect(self) -> Iterator[Metric]:
        """Compute all of them now."""
        seen, now, page = self._seen(), self._clock.boot(), self._page()
        status = seen.status if now - seen.at < OLD_MS else None
        signs = status is not None and status.holds and not status.refuses and status.keosd == READY
        text = "1 while the signing gate answers, has the lock of our permit page, and keosd has the key."
        yield self._one("gate_up", text, signs)
        left = (page.until - now) / 1000 if page.sign is Sign.OPEN else 0.0
        yield self._one("gate_permit_remaining_seconds", "Seconds for which the gate may still sign.", max(0.0, left))
        yield from self._signatures(seen.last)

    def _signatures(self, status: GateStatus | None) -> Iterator[Metric]:
        from agent.gate.server import REASONS  # the whole gate, for a scrape alone

        found = {("signed", "none"): status.signed if status else 0}
        found |= {("refused", why): status.refused.get(why, 0) if status else 0 for why in REASONS}
        text = "Requests to sign a block, by what the gate made of them and why."
        yield self._series("Counter", "gate_signatures", text, found, "result", "reason")
        text = "Seconds from a request to sign until the signature left the gate."
        took = (*status.latency, status.seconds) if status else (0,) * (len(BOUNDS) + 2)
        yield self._histogram("gate_signature_duration_seconds", text, BOUNDS, {(): took})
