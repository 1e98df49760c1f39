"""E, R, P, B, K, G, and the inequality between them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from enum import Enum

from agent.core.model.store import Ms

SLOT: Ms = 500
"""One slot of the chain: no block in flight is promised to be done sooner after a pause."""
FENCE_START: Ms = 300
"""A fence that a supervisor starts, because agent and guard are gone, may take so long until its first request."""
LATE_PROMISE: Ms = 500
"""From the beat that got no promise: 300 ms until that is noticed, and one confirmation by etcd in its place (R17)."""
LEAVING: Ms = 100
"""A signature that passed the gate's last look at the time may take so long to be out, on a busy host."""


class GateMode(Enum):
    """What the signing gate means for the protocol.

    ON        a quicker proof of the stop, once it was seen to sign for this tenure; every span is as without it
    REQUIRED  the proof of the stop: nodeos has no other way to a signature, so no span for pausing or ending it counts
    """

    OFF = "off"
    ON = "on"
    REQUIRED = "required"


class PeersMode(Enum):
    """When the promises of the members count beside etcd (R15).

    LEASE     while our own etcd lease may still live, by our clock: a lease that is lost is a pause
    FAILSAFE  for as long as etcd is away
    """

    OFF = "off"
    LEASE = "lease"
    FAILSAFE = "failsafe"


def standstill(validity_ms: Ms) -> Ms:
    """Return how long (ms) a heartbeat of that validity must stand still, from first sight, to be free (R8).

    0.1 % more, rounded up, for two clocks whose rates differ; one millisecond more, because readings are rounded down.
    """
    return -(-validity_ms * 1001 // 1000) + 1


def seconds(span: Ms) -> str:
    """Write a span for people, in the unit of the configuration."""
    return f"{span / 1000:g} s"


_SETTINGS = {"beat": "peers.beat", "peers_validity": "peers.validity"}
"""Fields that are set elsewhere than in [timing]."""
_MODES = ("gate", "peers")
"""Fields that are no span."""


@dataclass(frozen=True, slots=True)
class Timing:
    """All spans of the protocol, in whole milliseconds (`lease_ttl`: seconds). The defaults are the first profile.

    validity     E: how long one confirmation allows production, counted from before it was sent (R1)
    renew        R: the pause between confirmations (R1)
    pause        P: how long nodeos may take to answer a pause, before it is stopped (R3)
    block        B: how long after a pause nodeos may still sign the block in flight (R4)
    kill         K: time to kill nodeos and see it gone (R3)
    slack        G: what scheduling may cost us between two steps
    request      total deadline of one etcd request
    resume       how long nodeos may take to answer a resume: one that saw no block since its start measures its timers
                 at the first, for 0.7 s (Leap 4.1, "Checktime timer accuracy"); no longer than until V - A (R3)
    nomination   how long the seat is kept for a node that was named by hand (R10)
    rank_step    how much longer each rank waits before it campaigns (R11)
    fair_chance  how long a leader that stopped by request leaves the seat to others (R12)
    catch_up     how long a new leader waits for the block that the old one named, or told last (R9)
    election     the election time-out that etcd is configured with
    lease_ttl    time to live of the leases, in seconds (R6): in `lease` promises count for as long without etcd, less
                 what has passed since the last keepalive. No take-over waits for its end (R8)
    gate_close   how long the signing gate may take to prove that it is closed (R4)
    gate         what the signing gate means for the protocol
    peers        when the promises of the members count (R15)
    beat         the pause between two beats to the members (R14)
    peers_validity  E_s: the validity of a heartbeat that names peers, and of their promises (R13, R15)
    """

    validity: Ms = 6000
    renew: Ms = 500
    pause: Ms = 300
    block: Ms = 500
    kill: Ms = 500
    slack: Ms = 300
    request: Ms = 1000
    resume: Ms = 1500
    nomination: Ms = 5000
    rank_step: Ms = 200
    fair_chance: Ms = 3000
    catch_up: Ms = 2000
    election: Ms = 1000
    lease_ttl: int = 30
    gate_close: Ms = 100
    gate: GateMode = GateMode.OFF
    peers: PeersMode = PeersMode.OFF
    beat: Ms = 200
    peers_validity: Ms = 2000

    @property
    def gated(self) -> bool:
        """Whether the gate is what the end of the validity rests on: no signature without it."""
        return self.gate is GateMode.REQUIRED

    @property
    def lease(self) -> Ms:
        """How long a lease may live after a keepalive."""
        return self.lease_ttl * 1000

    @property
    def margin(self) -> Ms:
        """A: a stop begun this long before the end of the validity is over by then (R3).

        P + max(B, K) + G. With a gate that is required, what it takes to close it + G: it signs nothing from V - G on,
        so whatever is done about nodeos besides may end later.
        """
        if self.gated:
            return self.gate_close + self.slack
        return self.pause + max(self.block, self.kill) + self.slack

    @property
    def beyond(self) -> Ms:
        """How much longer than V a heartbeat makes the others wait: B, where blocks are signed until V - G (R8).

        A block is signed ahead of its slot, so the last ones that a gate lets pass are for slots after V. The next
        leader must not sign for these again. Without a gate the pause at V - A leaves as much room.
        """
        return self.block if self.gated else 0

    @property
    def promised(self) -> Ms:
        """What a heartbeat tells the others to wait for."""
        return self.validity + self.beyond

    @property
    def promised_short(self) -> Ms:
        """The same where peers are named (R13), and what a promise binds for (R14)."""
        return self.peers_validity + self.beyond

    @property
    def late(self) -> Ms:
        """When a peer's promise is late: half a beat after the next one was due (R17)."""
        return self.beat + self.beat // 2

    @property
    def steady(self) -> Ms:
        """How long a peer must have promised to be named, and may be silent before it is not (R17)."""
        return 5 * self.beat

    @property
    def renew_short(self) -> Ms:
        """The pause between confirmations while a promise is late: two of them fit into E_s - A (R17)."""
        return min(self.renew, (self.peers_validity - self.margin) // 2)

    @property
    def request_short(self) -> Ms:
        """How long a confirmation may take while a promise is late: two of them fit in before V - A (R17).

        The host that is lost may be the one whose member of etcd we ask: then another member has to have its turn.
        """
        return min(self.request, max(self.beat, (self.peers_validity - self.margin - self.late) // 2))

    @property
    def renew_seldom(self) -> Ms:
        """The pause between confirmations while all peers promise (R17)."""
        return 10 * self.renew

    @property
    def handover(self) -> Ms:
        """How long a planned handover takes at most while nothing fails: the stop, the head, two requests, the resume.

        Measured it is 0.8 to 0.9 s; the rest is room for one slow request each way.
        """
        return self.pause + self.block + self.pause + 2 * self.request + self.slack

    @property
    def validity_needed(self) -> Ms:
        """The least E: one etcd election, the second try after it, and then still time to stop."""
        return self.margin + 2 * self.election + 2 * self.renew

    def problems(self) -> list[str]:
        """Return a text for each relation that does not hold, naming field, numbers and remedy; empty: all is well.

        Relations are judged once every span makes sense by itself.
        """
        spans = (each.name for each in fields(self) if each.name not in _MODES)
        if bad := sorted(name for name in spans if getattr(self, name) <= 0):
            names = (_SETTINGS.get(name, f"timing.{name}") for name in bad)
            return [f"{name} is not above zero: give it a positive span" for name in names]
        return [*self._safety(), *self._of_peers(), *self._liveness()]

    def _margin_text(self) -> str:
        if self.gated:
            return (
                f"margin {seconds(self.margin)} (gate_close {seconds(self.gate_close)} + slack {seconds(self.slack)}, "
                "for the gate is required)"
            )
        return (
            f"margin {seconds(self.margin)} (pause {seconds(self.pause)} + the longer of block {seconds(self.block)} "
            f"and kill {seconds(self.kill)} + slack {seconds(self.slack)})"
        )

    def _safety(self) -> Iterator[str]:
        """Yield what is wrong unless everything is over by the end of the validity.

        An agent does it from V - A on in P + max(B, K) = A - G; so does the guard when the agent is dead or frozen; so
        does a fence that is started when both are dead, later by what it takes to start. A gate that is required does
        it by itself at V - G, whichever process is dead or frozen.
        """
        least = LEAVING if self.gated else FENCE_START
        why = (
            "a signature that the gate lets go at the last moment may need as long until it is out"
            if self.gated
            else "a fence that is started after the agent was killed needs as long to start, and nodeos must be "
            "stopped by the end of the validity"
        )
        if self.block < SLOT:
            yield (
                f"timing.block is {seconds(self.block)}: set at least {seconds(SLOT)}, one slot, because a pause does "
                "not stop the block in flight"
            )
        if self.slack < least:
            yield f"timing.slack is {seconds(self.slack)}: set at least {seconds(least)}, because {why}"
        if self.validity < self.validity_needed:
            yield (
                f"timing.validity is {seconds(self.validity)} but must be at least {seconds(self.validity_needed)} = "
                f"{self._margin_text()} + 2 x election {seconds(self.election)} + 2 x renew {seconds(self.renew)}: "
                f"set timing.validity = {self.validity_needed / 1000:g} or more, or tune etcd to faster elections and "
                "lower timing.election with it"
            )

    def _of_peers(self) -> Iterator[str]:
        """Yield what is wrong unless a leader whose promises stop comes to confirm by etcd in time (R17)."""
        if self.peers is PeersMode.OFF:
            return
        needed = self.margin + self.beat + LATE_PROMISE
        if self.peers_validity < needed:
            yield (
                f"peers.validity is {seconds(self.peers_validity)} but must be at least {seconds(needed)} = "
                f"{self._margin_text()} + beat {seconds(self.beat)} + {seconds(LATE_PROMISE)} until etcd has confirmed "
                f"in place of a promise: set peers.validity = {needed / 1000:g} or more"
            )
        if self.peers_validity > self.validity:
            yield (
                f"peers.validity is {seconds(self.peers_validity)} but must not be above timing.validity "
                f"{seconds(self.validity)}: lower it"
            )

    def _liveness(self) -> Iterator[str]:
        """Yield what is wrong unless a leader keeps its place and a candidate gets its turn."""
        usable = self.validity - self.margin
        handover = self.margin + self.renew + 2 * self.request
        if self.renew + self.request >= usable:
            yield (
                f"timing.request is {seconds(self.request)}: with renew {seconds(self.renew)} it must stay below "
                f"{seconds(usable)} = validity {seconds(self.validity)} - {self._margin_text()}, or one slow etcd "
                "request costs the leadership: lower timing.request or raise timing.validity"
            )
        if self.lease <= self.validity:
            yield (
                f"timing.lease_ttl is {self.lease_ttl} s but must be above validity {seconds(self.validity)}, or the "
                f"seat falls free under a live leader: set timing.lease_ttl = {self.validity // 1000 + 1} or more"
            )
        if self.nomination < handover:
            yield (
                f"timing.nomination is {seconds(self.nomination)} but must be at least {seconds(handover)} = "
                f"{self._margin_text()} + renew {seconds(self.renew)} + 2 x request {seconds(self.request)}, or others "
                f"take the seat of the node that was named: set timing.nomination = {handover / 1000:g} or more"
            )
        if self.fair_chance <= self.rank_step + self.request:
            yield (
                f"timing.fair_chance is {seconds(self.fair_chance)} but must be above rank_step "
                f"{seconds(self.rank_step)} + request {seconds(self.request)}, or the leader that was asked to step "
                "down takes its seat back: raise timing.fair_chance"
            )
