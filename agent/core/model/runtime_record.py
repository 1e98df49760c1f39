"""The JSON of the run-time file, apart from all other records: the guard and `fence` start without those."""

from __future__ import annotations

from dataclasses import dataclass, field

from agent.core.model.chain import ProcessId
from agent.core.model.fields import Rule, an_object, record
from agent.core.model.peers import MOST_PEERS, Peer
from agent.core.model.store import Ms


@dataclass(frozen=True, slots=True)
class Listing:
    """A heartbeat of ours as far as others' take-overs depend on it: whom it names, and how long it must stand still.

    `at`: the time read before the oldest write like it that may stand in the store.
    """

    peers: tuple[Peer, ...] = field(metadata=Rule(most=MOST_PEERS))
    validity_ms: Ms
    at: Ms


@dataclass(frozen=True, slots=True)
class RuntimeRecord:
    """The run-time file of a tenure: what a restarted agent needs, and what the guard acts on.

    Times are CLOCK_BOOTTIME. `state` is `held`, `stopping` or `stopped`. `resume_open`: a resume may be
    under way unanswered. `cluster`: the id of the store that the revisions are of; 0: not known, as in older files.
    `lists`: every list of peers that a heartbeat of this tenure may have in the store (R15); none: no promise counts.
    `beyond`: how much longer than V its heartbeats make the others wait (R8); 0 in older files.
    `edition`: which page it goes with (agent.host.tenure_file); 0: it has none.
    """

    boot_id: str
    agent_pid: int
    state: str = field(metadata=Rule(words=("held", "stopping", "stopped")))
    epoch: int
    instance: str = field(metadata=Rule(limit=100))
    seq: int
    heartbeat_revision: int
    leader_revision: int
    lease: int = field(metadata=Rule(below=2**63))
    valid_until: Ms
    stop_by: Ms
    resume_open: bool
    process: ProcessId | None
    cluster: int = field(default=0, metadata=Rule(below=2**64))
    lists: tuple[Listing, ...] = ()
    beyond: Ms = 0
    edition: int = 0


def read_runtime(raw: bytes) -> RuntimeRecord:
    """Read the run-time file."""
    return record(RuntimeRecord, an_object(raw, "run-time file"))
