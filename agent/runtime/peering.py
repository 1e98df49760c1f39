"""The members as each other's witnesses, as far as threads and sockets go (R13 to R17). Nothing is decided here.

What others may send to us is read from the group's keys: each member's address, and the key of the datagrams.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from agent.config.model import Config
from agent.core.leadership import events as ev
from agent.core.leadership.actions import SendBeat, SendPromise
from agent.core.model.copying import replace
from agent.core.model.keys import Keys
from agent.core.model.peers import Beat, Promise
from agent.core.model.records import GroupView
from agent.core.model.store import Ms, Snapshot, Txn
from agent.errors import StoreError
from agent.etcd.info import EtcdMember
from agent.etcd.store import EtcdStore
from agent.host.deadline import Deadline
from agent.net.resolver import Resolver
from agent.peers import key
from agent.peers.address import PeerAddress, any_address, host_of, local_end, parse
from agent.peers.host_id import host_id, read_id
from agent.peers.lane import PeerLane
from agent.ports import Emit

log = logging.getLogger(__name__)

ASK_S = 2.0
"""For one question to etcd that no confirmation waits for."""
LOOK_UP_S = 1.0
"""For one name of an etcd endpoint."""
ETCD_LEADER_S = 0.5
"""How often it is seen whether we lead."""
ASK_EVERY_MS: Ms = 5000
"""How often a leader asks where etcd's leader runs, until it is told."""
ASK_AGAIN_MS: Ms = 60_000
"""And once it was told: a new leader of etcd shows by the term of its answers, a member that moves by its address."""
MOVE_AGAIN_MS: Ms = 60_000
KEY_AGAIN_MS: Ms = 10_000
MEMBERS = 64
"""Of so many members it is kept where they were, once they report no more."""


def read_host_id(config: Config) -> tuple[str, str]:
    """Return this host's id, and why there is none. Without peers none is made; one that is there may be named."""
    if not config.peers.on:
        with suppress(OSError, ValueError):
            return read_id(config.peers.state_dir), ""
        return "", ""
    try:
        return host_id(config.peers.state_dir), ""
    except (OSError, ValueError) as error:
        why = f"peers.state_dir: the host's id cannot be kept, so no heartbeat names this node: {error}"
        log.warning("%s", why)
        return "", why


class Peering:
    """The lane of one agent, and whom it reaches."""

    def __init__(self, config: Config, names: Keys, clock: Callable[[], Ms], emit: Emit) -> None:
        self._config = config
        self._names = names
        self._emit = emit
        self._resolver = Resolver()
        listen = parse(config.peers.listen)
        self.lane = PeerLane(listen, names.root, config.node, clock, self._heard)
        self._listen = listen
        self._clock = clock
        self._addresses: dict[str, str] = {}
        self._instances: dict[str, str] = {}
        self._address = ""
        self.no_host_id = ""
        self._lacks_key = False
        self._asked_at: Ms | None = None

    def address(self) -> str:
        """Return where the others reach us, empty if they cannot. It may wait for a look-up: `LOOK_UP_S` a name."""
        self._address = self._find_address()
        return self._address

    def _find_address(self) -> str:
        given, (host, port) = self._config.peers.advertise, self._listen
        if self.lane.error or given is not None:
            return "" if self.lane.error else given or ""
        if any_address(host):
            find = self._resolver.find
            ends = self._config.etcd.targets
            found = local_end(ends, lambda name, at: find(name, at, Deadline(LOOK_UP_S)))
            if found is None:
                return ""
            host = found
        return str(PeerAddress(host, port))

    def learn(self, view: GroupView, snapshot: Snapshot) -> None:
        """Note addresses, processes and key as they stand in the group.

        Who reports no more is still sent to: all leases have ended when etcd was away for long, and promises have to
        hold the lead until there are new ones.
        """
        self._instances = _newest(self._instances, {each.node: each.instance for each in view.members})
        told = {each.node: each.peer_address for each in view.members}
        addresses = _newest(self._addresses, told)
        if addresses != self._addresses:
            self._addresses = addresses
            self.lane.known = frozenset(filter(None, map(host_of, addresses.values())))
        there, found = key.find(self._names, snapshot)
        self._lacks_key = not there
        if there and found is None and self.lane.key is not None:
            log.warning(
                "%s holds no key (64 hex digits): delete it, and an agent makes a new one", self._names.peers_key
            )
        self.lane.key = found if there else self.lane.key

    def missing(self) -> Txn | None:
        """Return the transaction that makes the key of the group where there is none; now and then: it may fail."""
        now = self._clock()
        if not self._lacks_key or (self._asked_at is not None and now < self._asked_at + KEY_AGAIN_MS):
            return None
        self._asked_at = now
        return key.make(self._names)

    def do(self, action: SendBeat | SendPromise) -> None:
        """Send a beat or a promise. Never waits."""
        match action:
            case SendBeat(beat, peers):
                for each in peers:
                    said = replace(beat, to=self._instances.get(each, ""))
                    self.lane.send(self._addresses.get(each, ""), said)
            case SendPromise(promise, to_node):
                self.lane.send(self._addresses.get(to_node, ""), promise)

    def told(self) -> dict[str, Any]:
        """Return what the status page says of the socket and the host's id."""
        return {"address": self._address, "error": self.lane.error or self.no_host_id, "dropped": self.lane.dropped}

    def beside(self, hosts: frozenset[str]) -> tuple[str, ...]:
        """Return the members whose address is one of `hosts`, in order."""
        return tuple(sorted(node for node, each in self._addresses.items() if host_of(each) in hosts))

    def _heard(self, said: Beat | Promise, at: Ms) -> None:
        self._emit(ev.BeatReceived(said, at) if isinstance(said, Beat) else ev.PromiseReceived(said, at))


def _newest(old: dict[str, str], new: dict[str, str]) -> dict[str, str]:
    """Return what was told of each member last; of those that are gone as many as there is room for."""
    gone = [(node, value) for node, value in old.items() if node not in new]
    return {**new, **dict(gone[: max(0, MEMBERS - len(new))])}


@dataclass(eq=False)
class EtcdLeaderWatch:
    """Tells a leader which members share a host with etcd's leader; moves that to our own host if it shall (R17)."""

    _etcd: EtcdStore
    _peering: Peering
    _node: str
    _clock: Callable[[], Ms]
    _term: Callable[[], int]
    _move: bool

    def __post_init__(self) -> None:
        self._told_of: tuple[int, frozenset[str]] = (0, frozenset())
        self._moved_at: Ms | None = None
        self._next: Ms = 0
        self._resolver = Resolver()
        self._told = ""

    def look(self, leads: bool) -> ev.EtcdLeaderBeside | None:
        """Ask if we lead, and may not know: at once when we come to, before anybody is named. None: no news."""
        now, rests_on = self._clock(), (self._term(), self._peering.lane.known)
        if not leads or (now < self._next and rests_on == self._told_of):
            self._next = self._next if leads else 0
            return None
        self._next, self._told_of = now + ASK_EVERY_MS, rests_on
        try:
            leader = self._etcd.leader(ASK_S)
            if leader is None:
                return None
            beside = self._peering.beside(self._numbers(leader))
            others = tuple(each for each in beside if each != self._node)
            if others and self._node not in beside and self._move:
                self._move_here()
        except (StoreError, TimeoutError) as error:
            self._tell(f"etcd does not say where its leader runs: {error}")
            return None
        self._told, self._next = "", now + ASK_AGAIN_MS
        return ev.EtcdLeaderBeside(others)

    def _move_here(self) -> None:
        """Ask etcd to move its leader to a member on our own host, now and then; there may be none."""
        now = self._clock()
        if self._moved_at is not None and now < self._moved_at + MOVE_AGAIN_MS:
            return
        self._moved_at = now
        for each in self._etcd.members(ASK_S):
            if self._node in self._peering.beside(self._numbers(each)):
                log.info("etcd's leader runs beside a peer; asking etcd to move it to our host")
                self._etcd.move_leader(each, ASK_S)
                return

    def _numbers(self, place: EtcdMember) -> frozenset[str]:
        """Return the addresses of a member's hosts. A name that is not found in time is left out."""
        found = set()
        for host in place.hosts:
            try:
                found |= {str(end[0]) for _, end in self._resolver.find(host, 0, Deadline(LOOK_UP_S))}
            except OSError:
                continue
        return frozenset(found)

    def _tell(self, why: str) -> None:
        if why != self._told:
            self._told = why
            log.warning("%s", why)
