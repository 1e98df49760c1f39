"""The JSON that stands in etcd: strict readers and writers, and nothing else.

Whatever somebody wrote there, a reader gives a record or raises RecordError with the field at fault. Texts are cut and
cleaned and lists are cut, in writing as in reading, so that what one agent writes every other can read.
What operators say stands in `operator`, the run-time file in `runtime_record`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from agent.core.model.archive import Window, read_window
from agent.core.model.belonging import Belonging
from agent.core.model.chain import Block
from agent.core.model.copying import replace
from agent.core.model.fields import (
    ENTRIES,
    MAX_BYTES,
    MAX_NUMBER,
    NAME,
    RecordError,
    Rule,
    a_name,
    an_object,
    as_json,
    dumped,
    plain,
    record,
    shown,
    word,
)
from agent.core.model.keys import Keys
from agent.core.model.operator import Drain, Override, Switchover, read_drain, read_override, read_switchover
from agent.core.model.peers import MOST_PEERS, Peer
from agent.core.model.runtime_record import RuntimeRecord
from agent.core.model.store import KeyValue, Ms, Snapshot

LONGEST_VALIDITY: Ms = 600_000
"""No agent can be configured with more: a heartbeat that claims it is garbage, and nobody waits for it that long."""
FAR = 2**52
"""No agent writes an epoch that is so far above its key's mod revision: each take-over adds one to the epoch, and at
least one to the revision. So whatever epoch can be read, the next one can be written and read as well."""
REASONS = ENTRIES
"""Texts that are kept of each list of a member."""
OWN = 24
"""Own blocks that a report tells of: of a producer that is alone, twice as many as come between two reports."""
OFTEN: Ms = 2000
"""How often a member reports how it is when nothing changes."""
SELDOM: Ms = 5000
"""The same while it and the leader hear each other (R17)."""
TOLD = 120
"""Characters of a key that was told, all of them ASCII."""
REFUSED = "refused"
"""The role in the last report of an agent that refused to start, because it does not belong to the group."""


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """What safety rests on: who holds the right to produce, and for how long after each confirmation (R1).

    `peers`, sorted: while it is held, these alone and the holder's own host may take it over; empty: any member (R13).
    """

    epoch: int
    node: str = field(metadata=Rule(named=True))
    instance: str = field(metadata=Rule(limit=100))
    seq: int
    validity_ms: Ms = field(metadata=Rule(least=1, below=LONGEST_VALIDITY + 1))
    released: bool = False
    last_block: Block | None = None
    reason: str = ""
    host_id: str = field(default="", metadata=Rule(limit=64))
    peers: tuple[Peer, ...] = field(default=(), metadata=Rule(most=MOST_PEERS))


@dataclass(frozen=True, slots=True)
class Member:
    """How one agent is. `head_age_ms` is the age of its head at the time of writing; `drained`: it must not lead.

    Each of `reasons` is `CHECK: why`, one for each check that does not pass. `asked_ms`: when its nodeos last told its
    head, and `own_ms`: the date of the newest block of our producer on its chain, both in ms since 1970.
    `held_down_ms`: for how much longer others go first, because it failed again and again; `doubtful`: something speaks
    against a check that still passes. `plan`: what it is about to do with the lead, or why it refused to.
    `own`: the newest blocks of our producer on its nodeos's chain, `SLOT:ID`. `every_ms`: its next report comes so long
    after this one at the latest.

    told   the keys of the alerts about the group that it has told and not resolved yet: nobody else tells them
    tells  from which severity on it has a channel for alerts; empty: it has none
    settings  words `name=value` of its configuration, all of them ASCII, for `doctor`
    chain, producer, key, process  what it serves (see `belonging.Belonging`); empty where it is not known
    host_id       what its host keeps on its disk (see `peers.Peer`); empty: no heartbeat names it
    peer_address  where it hears beats, `HOST:PORT`; empty: nowhere

    Even if JSON writes each of its characters as two escapes of six bytes, it stays below MAX_BYTES.
    """

    node: str = field(metadata=Rule(named=True))
    instance: str = field(metadata=Rule(limit=100))
    role: str = field(metadata=Rule(absent="", limit=40))
    healthy: bool
    able: bool = field(metadata=Rule(absent=False))
    reasons: tuple[str, ...] = field(metadata=Rule(limit=250))
    head: int = field(metadata=Rule(absent=0))
    lib: int = field(metadata=Rule(absent=0))
    head_age_ms: Ms = field(metadata=Rule(absent=0, least=1 - MAX_NUMBER))
    priority: int = field(metadata=Rule(absent=100))
    drained: bool = field(metadata=Rule(absent=False))
    version: str = field(metadata=Rule(absent="", limit=100))
    nodeos: str = field(metadata=Rule(absent="", limit=100))
    url: str = field(default="", metadata=Rule(limit=300))
    asked_ms: Ms = 0
    own_ms: Ms = 0
    held_down_ms: Ms = 0
    doubtful: bool = False
    plan: str = field(default="", metadata=Rule(limit=300))
    told: tuple[str, ...] = field(default=(), metadata=Rule(limit=TOLD))
    tells: str = field(default="", metadata=Rule(limit=20))
    settings: str = field(default="", metadata=Rule(limit=200))
    own: tuple[str, ...] = field(default=(), metadata=Rule(limit=60, most=OWN))
    chain: str = field(default="", metadata=Rule(limit=64))
    producer: str = field(default="", metadata=Rule(limit=13))
    key: str = field(default="", metadata=Rule(limit=100))
    process: str = field(default="", metadata=Rule(limit=120))
    host_id: str = field(default="", metadata=Rule(limit=64))
    peer_address: str = field(default="", metadata=Rule(limit=100))
    every_ms: Ms = field(default=OFTEN, metadata=Rule(least=OFTEN, below=SELDOM + 1))

    @property
    def belonging(self) -> Belonging:
        """What it serves, and with which nodeos."""
        return Belonging(self.producer, self.chain, self.key, self.process)

    @property
    def own_blocks(self) -> dict[int, str]:
        """The newest blocks of our producer on the chain of its nodeos: slot → the id's first characters."""
        pairs = (each.partition(":") for each in self.own)
        return {int(slot): short for slot, _, short in pairs if slot.isdecimal() and short}

    def fails(self, check: str) -> bool:
        """Tell whether a check does not pass."""
        return any(reason.startswith(f"{check}:") for reason in self.reasons)


def write(found: Heartbeat | Member | Switchover | RuntimeRecord, **more: object) -> bytes:
    """Return a record as JSON, with `more` fields beside it. A heartbeat says `state`: `held` or `released`."""
    if not isinstance(found, Heartbeat):
        return as_json(found, **more)
    values = plain(found)
    values["state"] = "released" if values.pop("released") else "held"
    return dumped({key: value for key, value in values.items() if key not in ("host_id", "peers") or value} | more)


def read_heartbeat(raw: bytes) -> Heartbeat:
    """Read a heartbeat."""
    value = an_object(raw, "heartbeat")
    found = record(Heartbeat, value | {"released": word(value, "state", ("held", "released")) == "released"})
    peers = found.peers
    if not all(each.host_id for each in peers) or len({each.node for each in peers}) != len(peers):
        raise RecordError("peers: expected each node once, with its host_id")
    return replace(found, peers=tuple(sorted(peers)))


def read_member(raw: bytes) -> Member:
    """Read how one agent is."""
    return record(Member, an_object(raw, "member"))


# --- the keys of a group, read together -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LeaderKey:
    """The key `leader`. `name` is None when its value is no node's name. `lease` 0: put by hand (R10)."""

    name: str | None
    revision: int
    lease: int = 0


@dataclass(frozen=True, slots=True)
class HeartbeatKey:
    """The key `heartbeat`. `record` is None when its value cannot be read. `raw`: the value, unless it is not known.

    `lease`: it was put by hand with one, for no agent gives it any.
    """

    record: Heartbeat | None
    revision: int
    raw: bytes | None = field(default=None, compare=False, repr=False)
    lease: int = field(default=0, compare=False)

    @property
    def value(self) -> bytes | None:
        """What stands in the store, so that a comparison can ask for it; None: not known."""
        return self.raw if self.raw is not None or self.record is None else write(self.record)


@dataclass(frozen=True, slots=True)
class GroupView:
    """All keys of a group at one revision. `problems` has a line for each value that could not be read.

    `drains` is by node, and so is `reported`, the mod revision of its report. `switchover_revision` is the mod revision
    of that key, 0 when it is absent or cannot be read. `cluster` and `asked` are those of the snapshot. `keyed`: the
    group has a key for datagrams, so that members may have promised (R14).
    """

    revision: int
    leader: LeaderKey | None = None
    heartbeat: HeartbeatKey | None = None
    override: Override | None = None
    maintenance: str | None = None
    switchover: Switchover | None = None
    members: tuple[Member, ...] = ()
    problems: tuple[str, ...] = ()
    drains: Mapping[str, Drain] = field(default_factory=dict)
    switchover_revision: int = 0
    ledger: tuple[Window, ...] = ()
    reported: Mapping[str, int] = field(default_factory=dict)
    cluster: int = 0
    asked: Ms = 0
    keyed: bool = False

    @property
    def record(self) -> Heartbeat | None:
        """What the heartbeat says; None: it is absent, or cannot be read."""
        return self.heartbeat.record if self.heartbeat else None

    @property
    def held(self) -> Heartbeat | None:
        """What a heartbeat says that somebody holds: it is there, can be read, and is not released."""
        return self.record if self.record is not None and not self.record.released else None


def leader_key(item: KeyValue) -> LeaderKey:
    """Read the key `leader`, whatever stands there."""
    typed = item.value.decode(errors="replace").strip()
    return LeaderKey(typed if NAME.fullmatch(typed) else None, item.mod_revision, item.lease)


def heartbeat_key(item: KeyValue) -> HeartbeatKey:
    """Read the key `heartbeat`, whatever stands there."""
    try:
        return HeartbeatKey(_heartbeat_at(item), item.mod_revision, item.value, item.lease)
    except RecordError:
        # a take-over that compared a long one would exceed what etcd takes in one request
        raw = item.value if len(item.value) <= MAX_BYTES else None
        return HeartbeatKey(None, item.mod_revision, raw, item.lease)


def _heartbeat_at(item: KeyValue) -> Heartbeat:
    found = read_heartbeat(item.value)
    if found.epoch - item.mod_revision >= FAR:
        raise RecordError(f"epoch: {found.epoch} is too far ahead, no agent wrote it")
    return found


def read_group(names: Keys, snapshot: Snapshot) -> GroupView:
    """Read a snapshot of a group's prefix. What cannot be read is left out and named in `problems`."""
    found: dict[str, Any] = {}
    members: list[Member] = []
    ledger: list[Window] = []
    problems: list[str] = []
    drains: dict[str, Drain] = {}
    reported: dict[str, int] = {}
    for item in snapshot.items:
        try:
            if item.key == names.leader:
                found["leader"] = leader_key(item)
                if found["leader"].name is None:
                    raise RecordError("expected a node's name; put one, or delete the key")  # noqa: TRY301 - one place reports
            elif item.key == names.heartbeat:
                found["heartbeat"] = heartbeat_key(item)
                _heartbeat_at(item)
            elif item.key == names.override:
                found["override"] = read_override(item.value)
            elif item.key == names.maintenance:
                found["maintenance"] = shown(item.value.decode(errors="replace"))
            elif item.key == names.switchover:
                found["switchover"] = read_switchover(item.value)
                found["switchover_revision"] = item.mod_revision
            elif item.key.startswith(names.drain("")):
                drains[a_name(item.key.removeprefix(names.drain("")), "the key's end")] = read_drain(item.value)
            elif item.key.startswith(names.root + "members/"):
                members.append(_member_at(names, item))
                reported[members[-1].node] = item.mod_revision
            elif item.key.startswith(names.root + "ledger/"):
                ledger.append(read_window(item.value))
        except RecordError as error:
            problems.append(f"{shown(item.key)}: {error}")
    problems += _oversized(snapshot, problems)
    found |= {"members": tuple(members), "problems": tuple(problems), "drains": drains, "ledger": tuple(ledger)}
    found |= {"reported": reported, "cluster": snapshot.cluster, "asked": snapshot.asked}
    found |= {"keyed": any(item.key == names.peers_key for item in snapshot.items)}
    return GroupView(snapshot.revision, **found)


def _oversized(snapshot: Snapshot, problems: list[str]) -> list[str]:
    """Return a line for each value that nobody reads for its size, and that everybody has to fetch all the same."""
    told = {each.partition(": ")[0] for each in problems}
    large = [item for item in snapshot.items if len(item.value) > MAX_BYTES and shown(item.key) not in told]
    return [f"{shown(item.key)}: {len(item.value)} bytes, at most {MAX_BYTES} are read; delete it" for item in large]


def _member_at(names: Keys, item: KeyValue) -> Member:
    """Read a report. An agent writes it with its session's lease: without one it would outlive whom it speaks of."""
    member = read_member(item.value)
    if not item.lease:
        raise RecordError("the key has no lease, so no agent stands behind it; delete it")
    if item.key != names.member(member.node):
        raise RecordError("node: differs from the key's name")
    return member
