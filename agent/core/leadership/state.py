"""What one agent knows and is: the state of the leadership core."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from agent.core.leadership.events import Eligibility
from agent.core.leadership.support import Pledge, Sent, Support, Told
from agent.core.leadership.timing import PeersMode, Timing, standstill
from agent.core.model.chain import Block, ProcessId
from agent.core.model.keys import Keys
from agent.core.model.operator import Override, Switchover
from agent.core.model.peers import Peer
from agent.core.model.records import Heartbeat, HeartbeatKey, LeaderKey
from agent.core.model.store import Ms


class Phase(Enum):
    """Where the agent stands in the protocol."""

    STARTING = "starting"  # nodeos is not proven stopped yet; nothing is decided before (start and restart)
    STANDBY = "standby"  # proven stopped; watches the heartbeat (R7)
    CAMPAIGNING = "campaigning"  # a take-over is on its way, its outcome not known (R8, R2)
    ELECTED = "elected"  # confirmed, not producing yet (R9)
    LEADING = "leading"  # confirmed and producing (R1)
    STOPPING = "stopping"  # the tenure is over, the stop is not proven yet (R3, R4)
    RELEASING = "releasing"  # proven stopped; the release is on its way (R5)


class Production(Enum):
    """What is known of our nodeos's production. Only STOPPED is a proof (R4)."""

    UNKNOWN = "unknown"  # it may produce, and nothing is under way against it
    PAUSING = "pausing"
    SETTLING = "settling"  # the pause was answered; the block in flight may still be signed
    FENCING = "fencing"
    STOPPED = "stopped"
    RESUMING = "resuming"
    PRODUCING = "producing"
    FOUND = "found producing"  # since before this agent started; it is being decided whether it goes on (R19)


class GateState(Enum):
    """What is known of the signing gate. Only CLOSED is a proof (R4)."""

    UNKNOWN = "unknown"  # it may be open, and nothing is under way against it
    CLOSING = "closing"
    CLOSED = "closed"
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class Identity:
    """What does not change while the agent runs.

    term       grace for SIGTERM before SIGKILL, where the budget allows
    retry      pause before another try at nodeos
    head_poll  pause between two readings of our own head while waiting for it (R9)
    backoff    pause after a definite no of etcd or of the disk
    patience   pauses in a row that may stay unanswered before a node without a tenure is fenced: a busy start is no
               reason
    renew_phase  where in R this node confirms (ms, below R), so that leaders which one election held up do not go on in
               step; None: R after the last confirmation
    host_id    what this host keeps on its disk (see `peers.Peer`); empty: nobody names this node, and it names nobody
    """

    node: str
    instance: str
    keys: Keys
    producer: str = ""
    timing: Timing = field(default_factory=Timing)
    boot_id: str = ""
    agent_pid: int = 0
    term: Ms = 1000
    retry: Ms = 500
    head_poll: Ms = 50
    backoff: Ms = 1000
    patience: int = 3
    renew_phase: Ms | None = None
    host_id: str = ""


@dataclass(frozen=True, slots=True)
class Tenure:
    """One stay in the lead, from the take-over to the release. Revisions are 0 until the take-over is known.

    `instance` is that of the last write which is known to stand: after a restart, of the process before, whose seqs
    say nothing about the writes of this one.
    """

    epoch: int
    instance: str
    seq: int
    lease: int
    heartbeat_revision: int = 0
    leader_revision: int = 0
    valid_until: Ms = 0
    sent: tuple[Sent, ...] = ()  # writes whose outcome is not known yet (R2)
    wait_head: int | None = None  # what our head has to reach before a resume, for a bounded time (R9)
    stop_reason: str = ""
    last_block: Block | None = None
    leader_lost: bool = False  # the key `leader` is not ours any more: a release leaves it alone (R5)
    gap: Ms = 0  # how long nobody was confirmed before this tenure, for the history
    origin: str = ""
    before: str = ""  # who led before, for the history
    expected: tuple[LeaderKey | None, HeartbeatKey | None] = (None, None)  # what the take-over rests on (R8)
    hand_to: str | None = None  # whom a switchover names
    inherited: bool = False  # from the process before, and nodeos has not been seen unpaused since
    gated: bool = False  # the signing gate has signed for it: nodeos signs through it
    head_known: bool = False  # our head was read after the gate was closed: the last own block is in it
    lapsed: bool = False  # our lease ended while promises held the lead: `leader` is put anew, on the next lease (R17)
    frees: bool = False  # taken for a node that is not named, by one that is and cannot lead (R17)
    support: Support = field(default_factory=Support)

    def sent_at(self, seq: int) -> Ms | None:
        """Return when the write with `seq` left, None if this process did not send it."""
        return next((each.at for each in self.sent if each.number == seq), None)


@dataclass(frozen=True, slots=True)
class StoreView:
    """The store as far as it is known. Each key's knowledge only ever gets newer, until it is another store (R20).

    cluster       the store's id; 0: not told
    least         no later answer of this store has a lower revision
    answered      when a transaction was last answered: a read that was sent before may be older
    barred_until  no take-over before, for a confirmation may count that the store has forgotten (R20)
    heirs         who alone may take over a heartbeat that was not released; None: anybody; none: not known (R13)
    keyed         members may have promised: the group has had a key for datagrams, or it is not known (R14)
    moved         the heartbeat has changed since it was first seen and since our last try to take it: no try of ours,
                  or of a process before us, can be applied any more (R14)
    peers         members that can be named (R17)
    """

    keys_revision: int = 0  # of leader and heartbeat
    words_revision: int = 0  # of what operators put
    leader: LeaderKey | None = None
    heartbeat: HeartbeatKey | None = None
    leader_since: Ms = 0
    heartbeat_since: Ms = 0  # o of R7
    last_holder: str | None = None  # of the last heartbeat that could be read
    max_epoch: int = 0
    override: Override | None = None
    maintenance: str | None = None
    switchover: Switchover | None = None
    names: tuple[str, ...] = ()  # of the members that report
    forged: bool = False  # the heartbeat cannot have been written by the node that it names, or went with a lease
    last_validity: Ms = 0  # of the last heartbeat that can
    at_first: bool = False  # the heartbeat is as this process first saw it, or found it absent, in this store (R20)
    newer: bool = True  # our chain may have blocks of ours that are newer than that release (R20)
    cluster: int = 0
    least: int = 0
    answered: Ms = 0
    barred_until: Ms = 0
    heirs: tuple[Peer, ...] | None = None
    moved: bool = False
    peers: tuple[Peer, ...] = ()
    keyed: bool = True

    @property
    def record(self) -> Heartbeat | None:
        """What the heartbeat says; None: it is absent, or cannot be read."""
        return self.heartbeat.record if self.heartbeat else None

    @property
    def handed(self) -> bool:
        """Whether one write put both keys: with a lease a take-over, without one a release for the node it names."""
        leader, heartbeat = self.leader, self.heartbeat
        return leader is not None and heartbeat is not None and leader.revision == heartbeat.revision

    @property
    def known(self) -> bool:
        """Tell whether the store was read at all."""
        return self.words_revision > 0


_NONE = Support()


@dataclass(frozen=True, slots=True)
class State:
    """The whole state of the leadership core of one agent."""

    identity: Identity
    phase: Phase = Phase.STARTING
    phase_since: Ms = 0
    production: Production = Production.UNKNOWN
    production_since: Ms = 0
    production_until: Ms = 0  # when the call under way, or the settling, is over
    pause_retry_at: Ms = 0  # not before this time is another pause tried
    gate: GateState = GateState.UNKNOWN
    gate_since: Ms = 0  # since when nothing was signed, or when it was known to be closed
    gate_until: Ms = 0  # it signs nothing from then on, as this process has told it; 0: it has not
    gate_call: int = 0  # of the closing under way
    gate_by: Ms = 0  # when that is given up
    gate_retry: Ms = 0  # not before this time is another closing tried
    pause_timeouts: int = 0  # pauses in a row that were not answered
    pause_by: Ms = 0  # when stopping: a pause not answered by then is not waited for
    resume_open: bool = False  # a resume may be under way unanswered: then only the end of the process is proof
    resume_call: int = 0  # of the resume that has not come back; 0: none
    process: ProcessId | None = None
    call: int = 0  # of the control call under way
    head_call: int = 0
    head_until: Ms = 0
    head_retry: Ms = 0
    head: int = 0  # our own head when it was last read
    tenure: Tenure | None = None
    ended_epoch: int = 0
    request: int = 0  # of the transaction under way; 0: none
    kind: str = ""
    floor: int = 0  # `seen.least` when it was sent
    retry_at: Ms = 0  # not before this time is another transaction sent
    pause: Ms = 0  # the last pause after a transaction that failed
    numbers: int = 0  # the last number given to a request, call or file version
    seen: StoreView = field(default_factory=StoreView)
    lease: int | None = None
    lease_kept: tuple[int, Ms] = (0, 0)  # a lease, and until when it may live by our clock
    etcd_beside: tuple[str, ...] = ()  # members on whose host etcd's leader runs
    beat_number: int = 0  # of the last beat of this process
    pledge: Pledge = field(default_factory=Pledge)
    sights: tuple[Told, ...] = ()  # what the members' nodeos told last, with beats and promises
    restarting_since: Ms = 0  # since when the next process is to go on in place of this one; 0: it is not
    eligibility: Eligibility = field(default_factory=Eligibility)
    eligible_since: Ms = 0  # since when it is fit
    holdoff_until: Ms = 0  # R12
    clear_at: Ms = 0  # what an absent or an old heartbeat allows is not done before, for somebody signs (R18, R20)
    saving: int = 0  # version of the run-time file under way; 0: none
    saving_what: str = ""
    saved: str = ""  # what the run-time file says: `held`, `stopping`, `stopped` or nothing
    guard_stops_at: Ms = (
        0  # when a guard acts, by the run-time file as last acknowledged; 0: it says nothing of this tenure
    )
    guard_next: tuple[tuple[int, Ms], ...] = ()  # the same for writes under way, each with its version
    started: bool = False
    resume_delayed_until: Ms = 0  # a hook goes before the resume, until then at the latest; 0: none does
    returns: bool = False  # stopped for want of confirmations under maintenance: it alone may lead again meanwhile
    leaving: bool = False
    leaving_since: Ms = 0
    exited: bool = False
    wake: Ms | None = None  # when to step again at the latest

    @property
    def peered(self) -> bool:
        """Whether the promises of peers count here, and are given."""
        return self.identity.timing.peers is not PeersMode.OFF

    @property
    def support(self) -> Support:
        """What the tenure rests on besides its last confirmation."""
        return self.tenure.support if self.tenure else _NONE

    @property
    def entitled(self) -> bool:
        """Whether this node may take over from the last heartbeat at all (R13)."""
        return self.seen.heirs is None or Peer(self.identity.node, self.identity.host_id) in self.seen.heirs

    @property
    def renew_deadline(self) -> Ms:
        """V minus A: when a leader must begin to stop (R3)."""
        return self.tenure.valid_until - self.identity.timing.margin if self.tenure else 0

    @property
    def stop_at(self) -> Ms:
        """When a leader must begin to stop: at V - A, or as soon as a guard may have acted on an older file (R3)."""
        return min(self.renew_deadline, self.guard_stops_at or self.renew_deadline)

    @property
    def leads(self) -> bool:
        """Whether this node leads: its take-over is confirmed, and nodeos has resumed or went on (R9, R19)."""
        return self.phase is Phase.LEADING

    @property
    def quiet(self) -> bool:
        """Whether nodeos itself was stopped (R4): a resume under way might still reach the process that comes next."""
        return self.production is Production.STOPPED and not self.resume_call

    @property
    def shut(self) -> bool:
        """Whether a closed gate is the proof of the stop (R4): it has to be what nodeos signs through.

        That is a condition of `required`; with `on` the gate must have been seen to sign for this tenure.
        """
        known = self.identity.timing.gated or (self.tenure is not None and self.tenure.gated)
        return self.gate is GateState.CLOSED and known

    @property
    def proven(self) -> bool:
        """Whether it is proven that nothing is signed (R4). With a gate that is required no pause counts as a proof."""
        return self.shut if self.identity.timing.gated else self.quiet or self.shut

    @property
    def permit(self) -> Ms:
        """V minus G: until when the gate may sign, so that a signature which left it is out by V (R3)."""
        return self.tenure.valid_until - self.identity.timing.slack if self.tenure else 0

    def mine(self, found: HeartbeatKey | None) -> bool:
        """Whether a heartbeat is the one of our tenure."""
        record = found.record if found else None
        tenure = self.tenure
        return (
            tenure is not None
            and record is not None
            and record.epoch == tenure.epoch
            and record.instance in (tenure.instance, self.identity.instance)
        )

    def stands(self, found: HeartbeatKey | None) -> bool:
        """Whether a heartbeat is held by our tenure as we wrote it; else another agent or an operator wrote it (R1)."""
        record = found.record if found else None
        if record is None or not self.mine(found) or record.released or record.node != self.identity.node:
            return False
        if record.instance != self.identity.instance:
            return True
        ours = not record.peers or any(each.peers == record.peers for each in self.support.lists)
        return ours and record.validity_ms >= self.told(record.peers)

    def told(self, peers: tuple[Peer, ...]) -> Ms:
        """Return the validity that a heartbeat of ours tells, which names these (R13)."""
        return self.identity.timing.promised_short if peers else self.identity.timing.promised

    def void(self, leader: LeaderKey | None) -> bool:
        """Whether nobody may take `leader` (R10): it has no name in it, or, put by hand, one that no member has.

        Or one that other words of operators bar, which stand: whoever obeyed this one would leave the lead to nobody.
        """
        if leader is None or leader.name is None:
            return leader is not None
        known = leader.name == self.identity.node or leader.name in self.seen.names
        return self.seen.known and not leader.lease and (not known or bool(self.barred(leader.name)))

    def barred(self, name: str) -> str:
        """Return which words of operators keep a node from taking the lead over; nothing if none do."""
        override = self.seen.override
        if override is not None and override.leader not in (None, name):
            return f"an override says that {override.leader} shall lead"
        return "maintenance is on" if self.seen.maintenance is not None else ""

    @property
    def changed(self) -> bool:
        """Whether the store is known as it became after our last write that is known to stand."""
        return self.tenure is not None and self.seen.keys_revision > self.tenure.heartbeat_revision

    def put_both(self, leader: LeaderKey | None, heartbeat: HeartbeatKey | None) -> bool:
        """Whether one write of our tenure put `leader` and `heartbeat`, as a take-over does (R8)."""
        if self.tenure is None or leader is None or heartbeat is None or leader.revision != heartbeat.revision:
            return False
        return (leader.name, leader.lease) == (self.identity.node, self.tenure.lease) and self.mine(heartbeat)

    @property
    def lost_leader(self) -> bool:
        """Whether the key `leader` is not the one of our tenure any more."""
        seen, tenure = self.seen, self.tenure
        ours = tenure is not None and seen.leader is not None and seen.leader.revision == tenure.leader_revision
        return self.changed and not ours and not self.put_both(seen.leader, seen.heartbeat)

    @property
    def regains(self) -> LeaderKey | None:
        """What stands in place of our `leader` and gives it to nobody: our next confirmation puts it back (R1, R10)."""
        found, leased = self.seen.leader, self.tenure is not None and self.tenure.lease
        if not leased or found is None or not self.lost_leader:
            return None
        again = found.name == self.identity.node and not found.lease  # put by hand for the node that leads
        return found if again or self.void(found) else None

    @property
    def released(self) -> bool:
        """Whether the heartbeat was released by who held it (R5).

        A release takes `leader` away. A heartbeat put by hand leaves it: then its holder may not know yet.
        """
        record = self.seen.record
        if record is None or not record.released:
            return False
        return not self.seen.forged or record.node == self.identity.node

    @property
    def forgotten(self) -> Ms:
        """How long a confirmation may count that the store has forgotten (R20): E; with peers as long as a lease."""
        timing = self.identity.timing
        lease = timing.lease + timing.peers_validity if self.peered or self.seen.keyed else 0
        return max(timing.promised, lease)

    @property
    def doubted(self) -> bool:
        """Whether a restored store may show this release, and have forgotten who has led since (R20)."""
        return self.released and self.seen.at_first and self.seen.newer

    @property
    def unsure(self) -> bool:
        """Whether one may sign of whom this store does not know: we have not seen it change, or it forgot (R20)."""
        seen = self.seen
        if not seen.at_first:
            return False
        return seen.last_holder is not None if seen.heartbeat is None else not self.released or self.doubted

    def free_at(self) -> Ms | None:
        """Return since when, or from when on, the heartbeat is free to take (R8); None: not known, or never to us."""
        free = self.free_by_store()
        return max(free, self.clear_at) if free is not None and self.unsure else free

    def free_by_store(self) -> Ms | None:
        """Return the same as the store alone has it, whatever the chain shows."""
        seen = self.seen
        if not seen.known or not self.entitled:
            return None
        free = max(seen.heartbeat_since, seen.barred_until)
        if (seen.heartbeat is None and not seen.forged) or (self.released and not self.doubted):
            return free
        record, promised = seen.record, self.identity.timing.promised
        validity = record.validity_ms if record else 0
        if record is None or seen.forged:
            validity = max(validity, promised, seen.last_validity)
        if self.doubted or (seen.at_first and (self.peered or seen.keyed)):
            validity = max(validity, self.forgotten)
        return max(free, seen.heartbeat_since + standstill(validity), self.pledge.until)

    @property
    def left_to(self) -> tuple[str, ...]:
        """Who alone may take over, if this node may not (R13), for people; none: it may."""
        if self.entitled:
            return ()
        return tuple(each.node for each in self.seen.heirs or ()) or ("whom the heartbeat named before it was lost",)

    @property
    def still_at(self) -> Ms:
        """When a heartbeat that is held stands still for longer than its leader lets it."""
        seen, timing = self.seen, self.identity.timing
        validity = seen.record.validity_ms if seen.record else timing.promised
        return seen.heartbeat_since + timing.renew_seldom + standstill(validity) + timing.request

    def silent_at(self) -> Ms | None:
        """Return when a heartbeat that is left to others stands still for longer than its leader lets it; None: not."""
        record = self.seen.record
        return None if self.entitled or (record is not None and record.released) else self.still_at

    @property
    def nominated(self) -> bool:
        """Whether an operator put our name (R10)."""
        leader = self.seen.leader
        return leader is not None and leader.name == self.identity.node and leader.lease == 0

    @property
    def kept(self) -> bool:
        """Whether our own release kept the seat for us, to begin anew: no operator named us."""
        return self.seen.handed and self.nominated and self.seen.last_holder == self.identity.node

    @property
    def chosen(self) -> bool:
        """Whether operators want this very node: by override or by nomination."""
        override = self.seen.override
        return self.nominated or (override is not None and override.leader == self.identity.node)

    def seat_at(self, free: Ms) -> Ms:
        """Return from when on the seat may be taken, given when the heartbeat is free (R8, R10)."""
        seen = self.seen
        leader = seen.leader
        if leader is None or leader.name == self.identity.node or self.void(leader):
            return free
        if not self.released and leader.name is not None and leader.name == seen.last_holder:
            return free
        return max(free, seen.leader_since) + self.identity.timing.nomination
