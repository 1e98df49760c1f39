"""Who leads, and how fast a leader acts on a fault, as an operator sets it."""

from __future__ import annotations

from collections.abc import Iterator

from agent.config.base import Seconds, Span
from agent.config.section import Section, relation
from agent.config.setting import Field
from agent.core.election.policy import Policy

_P = Policy()


class ElectionSection(Section):
    """[election]: who goes first."""

    priority: int = Field(default=100, ge=0, le=1000, description="the lower goes first; equal ones go by their head")
    nofailover: bool = Field(default=False, description="true: this node never takes over")
    failback: bool = Field(
        default=False,
        description="true: a leader hands over to a node of better priority, in a gap; set it on every node",
    )
    failback_after: Seconds = Span(_P.failback_after, "seconds that this node must have been well before")
    hold_down: Seconds = Span(
        _P.hold_down, "seconds that a node goes last after its second fault in hold_down_window; each more doubles it"
    )
    hold_down_max: Seconds = Span(_P.hold_down_max, "seconds that it goes last at most")
    hold_down_window: Seconds = Span(_P.hold_down_window, "seconds within which faults are counted")

    @relation
    def _fits(self) -> Iterator[str]:
        if self.hold_down_max < self.hold_down:
            yield "election.hold_down_max is below election.hold_down: raise it, or lower hold_down"


class UrgencySection(Section):
    """[urgency]: how long a leader confirms a fault that one bad result only hints at, by how far its window is."""

    enabled: bool = Field(default=True, description="false: `fall` of each check alone says how many bad results count")
    near: Seconds = Span(
        _P.urgency.near,
        "with the leader's own window on or less than these seconds away, near_fall bad results suffice",
    )
    far: Seconds = Span(
        _P.urgency.far, "with its next window more than these seconds away, far_fall bad results are wanted"
    )
    near_fall: int = Field(
        default=_P.urgency.near_fall, ge=1, le=1000, description="bad results in a row that suffice when it is near"
    )
    far_fall: int = Field(
        default=_P.urgency.far_fall, ge=1, le=1000, description="bad results in a row that are wanted when it is far"
    )

    @relation
    def _fits(self) -> Iterator[str]:
        if self.far < self.near:
            yield "urgency.far is below urgency.near: raise it, or lower urgency.near"
        if self.far_fall < self.near_fall:
            yield "urgency.far_fall is below urgency.near_fall: raise it, or lower urgency.near_fall"
