"""The tables that are about the protocol: its spans in seconds, the members as witnesses, the watchdog, who goes first.

Whether the spans can work together: `core.leadership.timing`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from agent.config.base import AbsolutePath, Optional, Seconds, Span, looked_at
from agent.config.section import Field, Section, relation
from agent.core.election.policy import Policy
from agent.core.leadership.timing import LATE_PROMISE, GateMode, PeersMode, Timing, seconds
from agent.core.model.copying import replace
from agent.core.model.store import Ms
from agent.peers.address import PORT, parse

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
        return Timing(gate=gate, **self.in_ms())


SHORT: Ms = 2000
SHORT_GATED: Ms = 900
"""E_s without and with a required gate, where A leaves room for it."""


_Address = Annotated[str, looked_at(parse)]


class PeersSection(Section):
    """[peers]: the members of the group as each other's witnesses."""

    mode: Literal["off", "lease", "failsafe"] = Field(
        default="lease",
        description="off: etcd alone confirms; lease: the members do, too, while our etcd lease may live; "
        "failsafe: for as long as etcd is away",
    )
    listen: _Address = Field(
        default=f"[::]:{PORT}", description="UDP address and port for the others' datagrams: IP:PORT"
    )
    advertise: Optional[_Address] = Field(
        default=None, description="IP:PORT that the others are told; default: our end of the connection to etcd"
    )
    beat: Seconds = Span(Timing().beat, "seconds between two beats of the leader")
    validity: Optional[Seconds] = Field(
        default=None,
        description=f"E_s: seconds for which a beat that all peers promised for allows production; default: "
        f"{SHORT / 1000:g}, with a required gate {SHORT_GATED / 1000:g}, or as much as a stop or a watchdog needs",
    )
    move_etcd_leader: bool = Field(
        default=False,
        description="whether a leader asks etcd to move its own leader away from a peer's host, to a member on ours",
    )
    state_dir: AbsolutePath = Field(
        default=Path("/var/lib/nodeos-failover"),
        description="directory on disk for this host's id; STATE_DIRECTORY of systemd wins",
    )

    @property
    def on(self) -> bool:
        """Whether there are peers at all."""
        return self.mode != "off"

    def spans(self, timing: Timing, reset: Ms = 0) -> Timing:
        """Return the spans with what is set here. `reset`: what a watchdog needs of each confirmation, see there."""
        beat = round(self.beat * 1000)
        made = replace(timing, peers=PeersMode(self.mode), beat=beat)
        if self.validity is not None:
            return replace(made, peers_validity=round(self.validity * 1000))
        least = max(made.margin, reset) + beat + LATE_PROMISE
        return replace(made, peers_validity=max(SHORT_GATED if made.gated else SHORT, least))


FEED_MS = 150
"""How often a device is fed. It is below the least timing.slack: see `may_feed` in agent.runtime.liveness."""


class WatchdogSection(Section):
    """[watchdog]: a device that resets the host when a leader cannot be proven stopped in time."""

    mode: Literal["off", "automatic", "required"] = Field(
        default="off", description="off; automatic: used if it can be; required: no start without it"
    )
    device: AbsolutePath = Field(default=Path("/dev/watchdog"), description="the device")
    timeout: int = Field(
        default=4, ge=1, le=600, description="whole seconds from the last sign of life to the reset of the host"
    )

    @property
    def reset(self) -> Ms:
        """From the last feeding to the reset of the host, and a feeding more: so much each confirmation has to last."""
        return 0 if self.mode == "off" else self.timeout * 1000 + FEED_MS

    def problems(self, timing: Timing) -> list[str]:
        """Return what speaks against the time-out: a leader that is well must always be allowed to feed it (R3)."""
        most = timing.validity - timing.renew - timing.request - FEED_MS
        short = timing.peers_validity - timing.beat - LATE_PROMISE - FEED_MS
        if self.mode == "off":
            return []
        if timing.peers is not PeersMode.OFF and self.timeout * 1000 > short:
            fault = (
                f"watchdog.timeout is {self.timeout} s but must be at most {seconds(short)} = peers.validity "
                f"{seconds(timing.peers_validity)} - beat {seconds(timing.beat)} - {seconds(LATE_PROMISE)} - "
                f"{seconds(FEED_MS)}: leave peers.validity out, and it is as long as the watchdog needs"
            )
            return [fault]
        if self.timeout * 1000 <= most and timing.slack > FEED_MS:
            return []
        if timing.slack <= FEED_MS:
            least = f"set timing.slack above {seconds(FEED_MS)}, or a stop that goes well may reset the host"
            return [f'watchdog.mode is "{self.mode}": {least}; or set it to "off": a gate that is required needs none']
        return [
            f"watchdog.timeout is {self.timeout} s but must be at most {seconds(most)} = validity "
            f"{seconds(timing.validity)} - renew {seconds(timing.renew)} - request {seconds(timing.request)} - "
            f"{seconds(FEED_MS)}, because the host has to be reset by the end of the validity, and not while all is "
            f"well: set watchdog.timeout = {most // 1000}"
            + (", or raise timing.validity" if most < 1000 else " or less")
        ]


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
