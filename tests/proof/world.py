"""A simulated world as plain data: a linearizable store, and hosts with nodeos, agent (the real core), file and guard.

Everything is immutable, and nothing here decides which fault happens: `moves` says what may happen next. Time is
`Host.clock`, in the unit of the core's Timing: small integers in the search, milliseconds in stories.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache

from agent.core.leadership import events as ev
from agent.core.leadership.state import State
from agent.core.model.copying import replace
from agent.core.model.keys import Keys
from agent.core.model.operator import Override, Switchover
from agent.core.model.peers import Beat, Promise
from agent.core.model.records import GroupView, Heartbeat, HeartbeatKey, LeaderKey, Member, read_heartbeat
from agent.core.model.runtime_record import RuntimeRecord
from agent.core.model.store import Delete, Ms, Put, Txn
from tests.proof.gate import SignGate

KEYS = Keys("/g/")
MEMBERS = tuple(
    Member(name, f"i-{name}", "standby", True, True, (), 1, 1, 0, 100, False, "0", "v4", host_id=name, peer_address="x")
    for name in ("a", "b", "c")
)
"""Who reports to be there, in every world: a name that is not among them is nobody's."""
NOBODY = "nobody"
GARBAGE = "garbage"
"""A value that no reader makes sense of."""
PRODUCER = "producer"


# --- the store -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Wish:
    """A transaction of the core, read once. A comparison of None is not made."""

    owner: str
    kind: str
    leader_at: int | None
    heartbeat_at: int | None
    lease: int = 0
    puts_leader: str = ""
    drops_leader: bool = False
    heartbeat: Heartbeat | None = None
    drops_switchover: bool = False
    leader_lease: int | None = None
    heartbeat_was: Heartbeat | None = None


@dataclass(frozen=True, slots=True)
class Store:
    """The group's keys. `leases` are those that are alive. `cluster`: the id, which may change when it forgets.

    `snapshot` is what was saved of it; `forgot`: it has gone back, so that its revisions may come a second time.
    `keyed`: the group has a key for datagrams.
    """

    revision: int = 1
    leader: LeaderKey | None = None
    heartbeat: HeartbeatKey | None = None
    override: Override | None = None
    maintenance: str | None = None
    switchover: Switchover | None = None
    leases: tuple[int, ...] = ()
    cluster: int = 1
    snapshot: Store | None = None
    forgot: bool = False
    keyed: bool = False

    def view(self, asked: Ms = 0) -> GroupView:
        """Return what a reader sees who asks at a time."""
        found = (self.leader, self.heartbeat, self.override, self.maintenance, self.switchover)
        return GroupView(self.revision, *found, members=MEMBERS, cluster=self.cluster, asked=asked, keyed=self.keyed)


@cache
def _heartbeat(raw: bytes) -> Heartbeat:
    return replace(read_heartbeat(raw), reason="")  # for people: no rule looks at it


def wish(owner: str, kind: str, txn: Txn) -> Wish:
    """Read a transaction; one that touches anything else than it should is a defect, and raises."""
    at = {each.key: each for each in txn.compare}
    leader, heartbeat = at.pop(KEYS.leader, None), at.pop(KEYS.heartbeat, None)
    assert not at, at
    found = Wish(owner, kind, leader.mod_revision if leader else None, heartbeat.mod_revision if heartbeat else None)
    if leader and leader.lease is not None:
        found = replace(found, leader_lease=leader.lease)
    if heartbeat and heartbeat.value is not None:
        found = replace(found, heartbeat_was=_heartbeat(heartbeat.value))
    for each in txn.then:
        if isinstance(each, Put) and each.key == KEYS.leader:
            found = replace(found, puts_leader=each.value.decode(), lease=each.lease)
        elif isinstance(each, Put) and each.key == KEYS.heartbeat:
            assert not each.lease
            found = replace(found, heartbeat=_heartbeat(each.value))
        elif isinstance(each, Delete) and each.key == KEYS.leader:
            found = replace(found, drops_leader=True)
        elif isinstance(each, Delete) and each.key == KEYS.switchover:
            found = replace(found, drops_switchover=True)
        else:
            raise AssertionError(f"a write to an unexpected key: {each}")
    return found


def holds(store: Store, wanted: Wish) -> bool:
    """Tell whether the comparisons hold."""
    leader = store.leader.revision if store.leader else 0
    heartbeat = store.heartbeat.revision if store.heartbeat else 0
    return (
        wanted.leader_at in (None, leader)
        and wanted.heartbeat_at in (None, heartbeat)
        and wanted.leader_lease in (None, store.leader.lease if store.leader else 0)
        and wanted.heartbeat_was in (None, store.heartbeat.record if store.heartbeat else None)
    )


def hopeless(store: Store, wanted: Wish) -> bool:
    """Tell whether the comparisons can never hold again: a mod revision that passed does not come back.

    But in a store that has gone back one may come that is above its revision now.
    """
    if max(wanted.heartbeat_at or 0, wanted.leader_at or 0) > store.revision:
        return False
    heartbeat = store.heartbeat.revision if store.heartbeat else 0
    leader = store.leader.revision if store.leader else 0
    gone = wanted.lease and wanted.lease not in store.leases
    return bool(
        gone
        or (wanted.heartbeat_at and wanted.heartbeat_at != heartbeat)
        or (wanted.leader_at and wanted.leader_at != leader)
    )


def transact(store: Store, wanted: Wish, request: int) -> tuple[Store, ev.Applied | ev.Refused | ev.Rejected]:
    """Run a transaction; return the store after it and the answer."""
    if not holds(store, wanted):
        return store, ev.Refused(request, store.revision, store.leader, store.heartbeat, store.cluster)
    if wanted.lease and wanted.lease not in store.leases:
        return store, ev.Rejected(request, lease_gone=True, why="no such lease")
    revision = store.revision + 1
    changes: dict[str, object] = {"revision": revision}
    if wanted.puts_leader:
        changes["leader"] = LeaderKey(wanted.puts_leader, revision, wanted.lease)
    if wanted.drops_leader:
        changes["leader"] = None
    if wanted.heartbeat:
        changes["heartbeat"] = HeartbeatKey(wanted.heartbeat, revision)
    if wanted.drops_switchover:
        changes["switchover"] = None
    return replace(store, **changes), ev.Applied(request, revision, store.cluster)


def put(store: Store, **changes: object) -> Store:
    """Change keys as an operator does. A key put anew gets the new revision and, as `leader`, no lease."""
    revision = store.revision + 1
    leader = changes.get("leader")
    if isinstance(leader, str):
        changes["leader"] = LeaderKey(None if leader == GARBAGE else leader, revision)
    if changes.get("heartbeat") == GARBAGE:
        changes["heartbeat"] = HeartbeatKey(None, revision)
    return replace(store, revision=revision, **changes)


def end_lease(store: Store, lease: int) -> Store:
    """End a lease, and with it its keys: expiry, early or late, or `revoke`."""
    store = replace(store, leases=tuple(each for each in store.leases if each != lease))
    if store.leader is None or store.leader.lease != lease:
        return store
    return put(store, leader=None)


# --- a host -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Nodeos:
    """The truth about one nodeos, which the core can only guess at.

    `quiet_at`: until then the block in flight may still be signed after a pause. `queued`: calls that were given up
    and may act at any time. `rogue`: it was started unpaused by a fault of its configuration, and not resumed
    since, nor taken the lead with: what it signs is that fault's, not the agents'.
    """

    pid: int = 1  # 0: it is gone
    paused: bool = True
    quiet_at: Ms = 0
    queued: tuple[str, ...] = ()
    frozen: bool = False
    rogue: bool = False

    def signs(self, now: Ms) -> bool:
        """Whether it may sign a block."""
        return self.pid != 0 and (not self.paused or now < self.quiet_at)

    def pause(self, now: Ms, block: Ms) -> Nodeos:
        """Pause production: the block in flight may still be signed."""
        quiet = self.quiet_at if self.paused else now + block
        return replace(self, paused=True, quiet_at=quiet)

    def resume(self) -> Nodeos:
        """Resume production."""
        return replace(self, paused=False, rogue=False)

    def gone(self) -> Nodeos:
        """End the process: with it goes everything that was asked of it."""
        return Nodeos(pid=0)


@dataclass(frozen=True, slots=True)
class Request:
    """A transaction under way. `slow`: it may take its time. `answer`: it was decided, and the answer is on its way."""

    number: int
    wish: Wish
    due: Ms
    slow: bool = False
    answer: ev.Applied | ev.Refused | ev.Rejected | None = None


@dataclass(frozen=True, slots=True)
class Ask:
    """A call under way: `pause`, `resume`, `head`, `fence`, or `close` of the gate. `acted`: it did, without answer."""

    kind: str
    number: int
    due: Ms
    slow: bool = False
    acted: bool = False


@dataclass(frozen=True, slots=True)
class Save:
    """A write of the run-time file under way."""

    version: int
    record: RuntimeRecord | None
    due: Ms = 0
    slow: bool = False


@dataclass(frozen=True, slots=True)
class Letter:
    """A beat or a promise on its way to the host `to`. `slow`: it may come at any time, or never.

    `came`: when it was received, where its agent hears of it later.
    """

    to: str
    said: Beat | Promise
    slow: bool = False
    came: Ms = 0


@dataclass(frozen=True, slots=True)
class Host:
    """One host. `core` None: the agent is dead. `life` counts its starts. `news`: a change of the store to hear of."""

    name: str
    core: State | None = None
    life: int = 0
    clock: Ms = 0
    nodeos: Nodeos = field(default_factory=Nodeos)
    file: RuntimeRecord | None = None
    saves: tuple[Save, ...] = ()
    asks: tuple[Ask, ...] = ()
    request: Request | None = None
    news: str = ""  # `new`: to be heard now; `late`: may be heard at any time
    stalled: bool = False
    stalled_for: Ms = 0
    cut: bool = False
    gate: SignGate | None = None
    strange: bool = False  # its chain shows blocks of our producer that a nodeos without a leader signs
    inbox: tuple[Letter, ...] = ()
    outbox: tuple[Letter, ...] = ()  # to be put into others' inboxes at once
    deaf: bool = False  # what others send to it is lost
    beside: bool = False  # the leader is told that etcd's leader runs on the other members' hosts

    def signs(self) -> bool:
        """Whether its nodeos may sign a block: the truth that P1 is about.

        With a gate no block is signed without it, whoever started or resumed nodeos.
        """
        gate, able = self.gate, self.nodeos.signs(self.clock) and not self.nodeos.rogue
        if gate is None:
            return able
        return self.nodeos.pid != 0 and (able or not gate.honest) and gate.may_sign(self.clock)
