"""The spans of the protocol as an operator sets them, in seconds.

Whether they can work together: `core.leadership.timing`.
"""

from __future__ import annotations

from typing import Any

from agent.config.base import Seconds
from agent.config.section import Section
from agent.config.setting import Field
from agent.core.leadership.timing import GateMode, Timing

_T = Timing()


class TimingSection(Section):
    """[timing], all in seconds. The texts name the symbol of each span in the protocol's inequality."""

    validity: Seconds = Field(
        default=_T.validity / 1000, description="E: seconds for which one confirmation allows production"
    )
    renew: Seconds = Field(default=_T.renew / 1000, description="R: seconds between confirmations")
    pause: Seconds = Field(
        default=_T.pause / 1000, description="P: seconds for nodeos to answer a pause before it is killed"
    )
    block: Seconds = Field(
        default=_T.block / 1000, description="B: seconds for the block in flight, on every version of nodeos"
    )
    kill: Seconds = Field(default=_T.kill / 1000, description="K: seconds to kill nodeos and see it gone")
    slack: Seconds = Field(default=_T.slack / 1000, description="G: seconds that scheduling may cost")
    request: Seconds = Field(default=_T.request / 1000, description="seconds for one etcd request")
    resume: Seconds = Field(
        default=_T.resume / 1000,
        description="seconds for nodeos to answer a resume, if its confirmation lasts so long; then it is ended",
    )
    nomination: Seconds = Field(
        default=_T.nomination / 1000, description="seconds for a node that was named by hand to take over"
    )
    rank_step: Seconds = Field(
        default=_T.rank_step / 1000, description="seconds that each rank waits longer before it campaigns"
    )
    fair_chance: Seconds = Field(
        default=_T.fair_chance / 1000, description="seconds that a leader which was asked to stop leaves to the others"
    )
    catch_up: Seconds = Field(
        default=_T.catch_up / 1000, description="seconds to wait for the last block of the leader before"
    )
    election: Seconds = Field(
        default=_T.election / 1000, description="the election time-out in seconds that etcd is configured with"
    )
    lease_ttl: int = Field(default=_T.lease_ttl, le=600, description="seconds that an etcd lease lives")
    gate_close: Seconds = Field(
        default=_T.gate_close / 1000, description="seconds for the signing gate to prove that it is closed"
    )

    def spans(self, gate: GateMode) -> Timing:
        """Return the same, in whole milliseconds, as the core wants it; they are judged there, too."""
        values = {name: value for name, value in self.values().items() if name != "lease_ttl"}
        spans: dict[str, Any] = {name: round(value * 1000) for name, value in values.items()}
        return Timing(lease_ttl=self.lease_ttl, gate=gate, **spans)
