"""The spans of the protocol as an operator sets them, in seconds.

Whether they can work together: `core.leadership.timing`.
"""

from __future__ import annotations

from typing import Any

from agent.config.base import Seconds, Span
from agent.config.section import Section
from agent.config.setting import Field
from agent.core.leadership.timing import GateMode, Timing

_T = Timing()


class TimingSection(Section):
    """[timing], all in seconds. The texts name the symbol of each span in the protocol's inequality."""

    validity: Seconds = Span(_T.validity, "E: seconds for which one confirmation allows production")
    renew: Seconds = Span(_T.renew, "R: seconds between confirmations")
    pause: Seconds = Span(_T.pause, "P: seconds for nodeos to answer a pause before it is killed")
    block: Seconds = Span(_T.block, "B: seconds for the block in flight, on every version of nodeos")
    kill: Seconds = Span(_T.kill, "K: seconds to kill nodeos and see it gone")
    slack: Seconds = Span(_T.slack, "G: seconds that scheduling may cost")
    request: Seconds = Span(_T.request, "seconds for one etcd request")
    resume: Seconds = Span(
        _T.resume, "seconds for nodeos to answer a resume, if its confirmation lasts so long; then it is ended"
    )
    nomination: Seconds = Span(_T.nomination, "seconds for a node that was named by hand to take over")
    rank_step: Seconds = Span(_T.rank_step, "seconds that each rank waits longer before it campaigns")
    fair_chance: Seconds = Span(_T.fair_chance, "seconds that a leader which was asked to stop leaves to the others")
    catch_up: Seconds = Span(_T.catch_up, "seconds to wait for the last block of the leader before")
    election: Seconds = Span(_T.election, "the election time-out in seconds that etcd is configured with")
    lease_ttl: int = Field(default=_T.lease_ttl, le=600, description="seconds that an etcd lease lives")
    gate_close: Seconds = Span(_T.gate_close, "seconds for the signing gate to prove that it is closed")

    def spans(self, gate: GateMode) -> Timing:
        """Return the same, in whole milliseconds, as the core wants it; they are judged there, too."""
        values = {name: value for name, value in self.values().items() if name != "lease_ttl"}
        spans: dict[str, Any] = {name: round(value * 1000) for name, value in values.items()}
        return Timing(lease_ttl=self.lease_ttl, gate=gate, **spans)
