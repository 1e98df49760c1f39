"""What can happen to the leadership core. Every one is a fact, none a wish."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from agent.core.model.chain import ProcessId
from agent.core.model.peers import Beat, Promise
from agent.core.model.records import GroupView, HeartbeatKey, LeaderKey
from agent.core.model.runtime_record import RuntimeRecord
from agent.core.model.store import Ms


class Call(Enum):
    """What became of a call to nodeos."""

    OK = "ok"
    UNREACHABLE = "unreachable"  # certainly not delivered
    TIMEOUT = "timeout"  # may still be acted upon, at any later time
    ERROR = "error"  # answered, with an error: nothing was changed


@dataclass(frozen=True, slots=True)
class Started:
    """The agent starts. `record`: the run-time file of this boot, if any; `process`: the nodeos process, if any.

    `claims`: nodeos is not paused, and its chain has the newest blocks that our producer can have: it may be what signs
    already (R19).
    """

    record: RuntimeRecord | None
    process: ProcessId | None
    claims: bool = False


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed."""


@dataclass(frozen=True, slots=True)
class StoreSeen:
    """The group's keys were read, or a watch told of them. May be older than what is known already."""

    view: GroupView


@dataclass(frozen=True, slots=True)
class Applied:
    """The transaction `request` was applied at `revision`, in the store with the id `cluster` (0: not told)."""

    request: int
    revision: int
    cluster: int = 0


@dataclass(frozen=True, slots=True)
class Refused:
    """The comparisons of `request` failed at `revision`; nothing changed. What stood there instead comes with it."""

    request: int
    revision: int
    leader: LeaderKey | None
    heartbeat: HeartbeatKey | None
    cluster: int = 0


@dataclass(frozen=True, slots=True)
class Unknown:
    """`request` got no definite answer: it may have been applied, or may yet be (R2)."""

    request: int
    why: str


@dataclass(frozen=True, slots=True)
class Rejected:
    """etcd refused `request` for a reason of its own (dead lease, no space, no permission); nothing changed."""

    request: int
    lease_gone: bool
    why: str


@dataclass(frozen=True, slots=True)
class PauseDone:
    """The pause with this number came back. `unpaused`: nodeos said before that it was not paused."""

    call: int
    result: Call
    why: str = ""
    unpaused: bool = False


@dataclass(frozen=True, slots=True)
class ResumeDone:
    """The resume with this number came back."""

    call: int
    result: Call
    why: str = ""


@dataclass(frozen=True, slots=True)
class FenceDone:
    """The fence came back: `gone` says that the process was seen to be gone."""

    call: int
    gone: bool
    why: str = ""


@dataclass(frozen=True, slots=True)
class GateDone:
    """The closing of the signing gate came back. `closed`: nothing is or can be signed before it is opened again.

    `quiet`: no signature has left it from then on (CLOCK_BOOTTIME), as the gate says; None: since the closing.
    """

    call: int
    closed: bool
    why: str = ""
    quiet: Ms | None = None


@dataclass(frozen=True, slots=True)
class GateRefused:
    """The signing gate could not be opened for the tenure `epoch`."""

    epoch: int
    why: str


@dataclass(frozen=True, slots=True)
class GateSigned:
    """The signing gate told when it last gave a signature (CLOCK_BOOTTIME)."""

    at: Ms


@dataclass(frozen=True, slots=True)
class HeadRead:
    """Our own nodeos's head; None when it gave no answer."""

    call: int
    num: int | None
    id: str = ""
    time: Ms = 0
    producer: str = ""


@dataclass(frozen=True, slots=True)
class ProcessSeen:
    """The nodeos process as it is now; None: it is gone."""

    process: ProcessId | None


@dataclass(frozen=True, slots=True)
class PausedSeen:
    """nodeos told whether it is paused, in answer to a question asked at `asked`."""

    asked: Ms
    paused: bool


@dataclass(frozen=True, slots=True)
class LeaseSeen:
    """The session lease is alive; None: there is none now."""

    lease: int | None


@dataclass(frozen=True, slots=True)
class RuntimeSaved:
    """The run-time file with this number was written, or could not be."""

    version: int
    ok: bool
    why: str = ""


@dataclass(frozen=True, slots=True)
class Eligibility:
    """What health and election think of this node.

    `eligible`: it may campaign. `can_produce`: it could produce if an operator insisted. `rank`: 0 goes first (R11).
    `handover`: why another member should lead instead, from now on; empty if none should. Then `cause` is the
    transition to take, and `to` the node that the seat is kept for, empty for the first member that takes it.
    `deaf`: nodeos's main thread gives no answer, so nothing that is asked of it is worth waiting for. `behind`: it
    waits for blocks, for a bounded time, and so leaves the seat to nobody who may lack them too.
    """

    eligible: bool = False
    can_produce: bool = False
    rank: int = 0
    why: str = "nothing is known yet"
    handover: str = ""
    cause: str = "unhealthy"
    to: str = ""
    deaf: bool = False
    behind: bool = False


@dataclass(frozen=True, slots=True)
class DelayResume:
    """A take-over does not resume before `until` (R9 says not before what; a wait more is the operator's wish)."""

    until: Ms


@dataclass(frozen=True, slots=True)
class Ungoverned:
    """What our chain says of a heartbeat that nobody holds: whether somebody signs all the same.

    until  until then (CLOCK_BOOTTIME) a nodeos without an agent may sign: no absent heartbeat is taken (R18)
    newer  blocks of ours may have come after the release that stood there at first sight (R20)
    """

    until: Ms
    newer: bool = True


@dataclass(frozen=True, slots=True)
class BeatReceived:
    """A leader's beat arrived, from a sender that proved to be of the group. `at`: when it was received."""

    beat: Beat
    at: Ms


@dataclass(frozen=True, slots=True)
class PromiseReceived:
    """A member's promise arrived, from a sender that proved to be of the group. `at`: when it was received."""

    promise: Promise
    at: Ms


@dataclass(frozen=True, slots=True)
class LeaseKept:
    """A grant or a keepalive of this lease was answered: it may live until then, by our own clock.

    `until` is the time read before the request left, plus the time to live.
    """

    lease: int
    until: Ms


@dataclass(frozen=True, slots=True)
class EtcdLeaderBeside:
    """etcd's leader runs on the host of these members, told apart by address; empty: of none, or it is not known."""

    nodes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Restarting:
    """The agent is about to be replaced by its next process, which shall keep the lead."""


@dataclass(frozen=True, slots=True)
class Shutdown:
    """The agent was asked to end."""


Event = (
    Started
    | Tick
    | StoreSeen
    | Applied
    | Refused
    | Unknown
    | Rejected
    | PauseDone
    | ResumeDone
    | FenceDone
    | GateDone
    | GateRefused
    | GateSigned
    | HeadRead
    | ProcessSeen
    | PausedSeen
    | LeaseSeen
    | RuntimeSaved
    | Eligibility
    | DelayResume
    | Ungoverned
    | BeatReceived
    | PromiseReceived
    | LeaseKept
    | EtcdLeaderBeside
    | Restarting
    | Shutdown
)
