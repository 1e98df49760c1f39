"""What may come next: every world that may follow upon a world, and which promise that breaks.

The rules of the world itself are in `world`, `host` and `moves`; what is assumed of it stands in the package's
docstring.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from agent.core.leadership.state import Phase
from agent.core.leadership.timing import PeersMode
from agent.core.leadership.transitions import ACTIVE
from agent.core.model.copying import replace
from agent.core.model.records import Heartbeat, HeartbeatKey
from tests.proof import canon
from tests.proof import host as local
from tests.proof.parts import Budget, Compact, Parts
from tests.proof.world import Host, Nodeos, Store, Wish

FIRST = ("letter", "wake", "save", "ask", "guard", "probe")
"""What a host does first of all, when the rules are eager."""


Begin = tuple[str, ...] | None
"""How the label of a fault may begin: any, if empty; no fault may happen, if None."""


class Next(NamedTuple):
    """A world that may come next. `broken`: which promise it breaks, nothing if none. `took`: time that passed."""

    world: Compact
    label: str
    broken: str = ""
    took: int = 0


class Engine(Parts):
    """Knows, for one set of rules and one budget, what may follow upon a world."""

    def after(self, world: Compact, faults: bool = True, free: bool = True) -> Iterator[Next]:
        """Yield every world that may come next; without `faults` none that takes one, without `free` only those."""
        store, hosts, ghosts, spent = world
        begin = self.budget.allowed(spent) if faults and spent < self.budget.total else None
        busy = self._busy(hosts)
        for place, host in enumerate(hosts):
            if busy in (-1, place):
                yield from self._inside(world, place, host, begin, free)
        if busy >= 0:
            return
        for place, host in enumerate(hosts):
            yield from self._dealing(world, place, host, begin, free)
        for ghost in ghosts if free else ():
            changed = self.haunt(ghost, store)
            if changed != store:
                wish: Wish = self.parts[ghost]
                label = f"a {wish.kind} of {wish.owner}, given up before, is applied now"
                rest = tuple(each for each in ghosts if each != ghost)
                yield self._moved(label, world, changed, hosts, rest, spent)
        for label, fault, changed in self.words(store, self._holder_dead(store, hosts)):
            if _allowed(begin, label) if fault else free:
                yield self._moved(label, world, changed, hosts, ghosts, spent + bool(fault))
        yield from self._away(world, begin)
        yield from self._forgetting(world, begin)
        yield from self._time(world, begin, free)

    def _away(self, world: Compact, begin: Begin) -> Iterator[Next]:
        """Yield that etcd is away from all at once: only where there are peers, and a search asks for it by name."""
        store, hosts, ghosts, spent = world
        label = "etcd is away"
        if begin and self.rules.timing.peers is not PeersMode.OFF and _allowed(begin, label):
            yield Next(self.canonical((store, tuple(map(self.cut, hosts)), ghosts, spent + 1)), label)

    def _forgetting(self, world: Compact, begin: Begin) -> Iterator[Next]:
        """Yield how the store may forget: only where a search asks for it by name, for it makes worlds many."""
        store, hosts, ghosts, spent = world
        if not begin:
            return
        for label, _fault, after in self.forgettings(store, min(map(self.known, hosts))):
            if _allowed(begin, label):
                lost = self.parts[after].forgot
                told = tuple(map(self.hears, self._beside_blocks(after, hosts))) if lost else hosts
                # what was asked of the etcd that is gone, and given up, went with it
                yield Next(self.canonical((after, told, () if lost else ghosts, spent + 1)), label)

    def _inside(self, world: Compact, place: int, host: int, begin: Begin, free: bool) -> Iterator[Next]:
        store, hosts, ghosts, spent = world
        found = self.local(host, None) if free else []
        for label, fault, new, more in found if begin is None else found + self.local(host, begin):
            said = f"{self.names[place]}: {label}"
            if new < 0:
                yield Next(world, said, label)
            elif not fault or _allowed(begin, said):
                yield self._moved(said, world, store, _put(hosts, place, new), ghosts + more, spent + bool(fault))

    def _dealing(self, world: Compact, place: int, host: int, begin: Begin, free: bool) -> Iterator[Next]:
        store, hosts, ghosts, spent = world
        found = self.deals(host, store, faults=False) if free else []
        for label, fault, new, dealt in found if begin is None else found + self.deals(host, store, faults=True):
            said = f"{self.names[place]}: {label}"
            if new < 0:
                yield Next(world, said, label)
            elif not fault or _allowed(begin, said):
                yield self._moved(said, world, dealt, _put(hosts, place, new), ghosts, spent + bool(fault), place)

    def _busy(self, hosts: tuple[int, ...]) -> int:
        """Return the host that goes first because something of its own is about to be answered, -1 if there is none."""
        if self.rules.eager:
            for place, host in enumerate(hosts):
                if self.later(host)[0] in FIRST:
                    return place
        return -1

    def _holder_dead(self, store: int, hosts: tuple[int, ...]) -> bool:
        """Whether agent and nodeos of the one that the heartbeat names are both gone, so that `del` is true."""
        found: Store = self.parts[store]
        if found.heartbeat is None or found.heartbeat.record is None:
            return False
        holder: Host = self.parts[hosts[self.names.index(found.heartbeat.record.node)]]
        open_page = holder.gate is not None and not holder.gate.keyed and holder.gate.may_sign(holder.clock)
        return holder.core is None and not holder.nodeos.pid and not open_page

    def _time(self, world: Compact, begin: Begin, free: bool) -> Iterator[Next]:
        store, hosts, ghosts, spent = world
        later = [self.later(host) for host in hosts]
        if any(why for why, _ in later):
            return
        if free:
            yield self._moved(
                "time passes", world, store, self._seeing(store, [host for _, host in later]), ghosts, spent, took=1
            )
        if begin is None:
            return
        for place, host in enumerate(hosts):
            label = f"time passes, but the clock of {self.names[place]} runs slow"
            if _allowed(begin, label):
                slow = tuple(host if at == place else new for at, (_, new) in enumerate(later))
                yield self._moved(label, world, store, self._seeing(store, slow), ghosts, spent + 1, took=1)

    def _seeing(self, store: int, hosts: Sequence[int]) -> tuple[int, ...]:
        """Let each host see the blocks that another's nodeos signs, with a leader or without one."""
        if any(map(self.doubts, hosts)):
            leads = [self.leads(each) for each in hosts]
            hosts = [self.reads_chain(each, any(leads[:at] + leads[at + 1 :])) for at, each in enumerate(hosts)]
        return self._beside_blocks(store, hosts)

    def _beside_blocks(self, store: int, hosts: Sequence[int]) -> tuple[int, ...]:
        """Let each host see blocks of a nodeos without an agent; with peers, of a leader that this store has forgotten.

        They hold back an agent alone that has seen no heartbeat (R18).
        """
        forgot = self.parts[store].forgot and self.rules.timing.peers is not PeersMode.OFF
        if not self.rules.live and not forgot:
            return tuple(hosts)
        signs = [self.rogue(each) or (forgot and self.leads(each)) for each in hosts]
        return tuple(self.sees(each, any(signs[:at] + signs[at + 1 :])) for at, each in enumerate(hosts))

    def _moved(
        self,
        label: str,
        before: Compact,
        store: int,
        hosts: tuple[int, ...],
        ghosts: tuple[int, ...],
        spent: int,
        knows: int = -1,
        took: int = 0,
    ) -> Next:
        broken = ""
        hosts = self.posted(hosts)
        if store != before[0]:
            broken = self._store_changed(label, before, store)
            if self.parts[store].revision != self.parts[before[0]].revision:
                hosts = tuple(host if at == knows else self.hears(host) for at, host in enumerate(hosts))
        if ghosts:
            ghosts = self.haunting(ghosts, store, hosts)
            broken = broken or self._led_on(ghosts, hosts)
        signing = [self.names[at] for at, host in enumerate(hosts) if self.signs(host)]
        if len(signing) > 1:
            broken = f"P1: {' and '.join(signing)} may both sign"
        return Next(self.canonical((store, hosts, ghosts, spent)), label, broken, took)

    def _led_on(self, ghosts: tuple[int, ...], hosts: tuple[int, ...]) -> str:
        """Return who leads on in a tenure whose release may still be applied (R3); nothing if nobody does."""
        for each in ghosts:
            wish: Wish = self.parts[each]
            core = self.parts[hosts[self.names.index(wish.owner)]].core
            leads = core is not None and core.tenure is not None and core.phase in ACTIVE
            released = wish.heartbeat.epoch if wish.kind == "release" and wish.heartbeat else None
            if leads and core.tenure.epoch == released:
                return f"R3: {wish.owner} leads on, though its release is under way"
        return ""

    def _store_changed(self, label: str, before: Compact, store: int) -> str:
        """Return what a change of the store breaks: R5, or that epochs only grow."""
        old: Store = self.parts[before[0]]
        new: Store = self.parts[store]
        if new.heartbeat is None or new.heartbeat == old.heartbeat or new.heartbeat.record is None:
            return ""
        record = new.heartbeat.record
        by_hand = label.startswith("put heartbeat")
        if record.released and not by_hand and self.signs(before[1][self.names.index(record.node)]):
            return f"R5: {record.node} released, but its nodeos may still sign"
        last = old.heartbeat.record if old.heartbeat else None
        if (
            self.rules.live == 1
            and old.heartbeat is None
            and not record.released
            and (rogue := self._beside(before, record))
        ):
            return f"R18: {record.node} takes over though the nodeos of {rogue} signs without an agent"
        took = new.leader is not None and new.leader.lease and new.leader.revision == new.revision
        regained = "regain" in label.partition(";")[0]  # it puts its own name back, in its own epoch
        if took and last and not regained and record.epoch <= last.epoch:
            return f"R8: epoch {record.epoch} of {record.node} comes after epoch {last.epoch}"
        return ""

    def _beside(self, before: Compact, record: Heartbeat) -> str:
        """Return whose nodeos signs without a leader, seen by one that takes over by no word of operators."""
        store: Store = self.parts[before[0]]
        mine = self.names.index(record.node)
        taker: Host = self.parts[before[1][mine]]
        word = store.override is not None or (store.leader is not None and not store.leader.lease)
        if word or not taker.strange or self.rogue(before[1][mine]):
            return ""
        return ", ".join(self.names[at] for at, host in enumerate(before[1]) if at != mine and self.rogue(host))

    def moved_from(self, other: Parts, world: Compact) -> Compact:
        """Return a world of another engine, in the canonical form of this one."""
        store, hosts, ghosts, spent = world
        here = self.intern(other.parts[store])
        places = tuple(self.host(other.parts[each]) for each in hosts)
        left = self.haunting(tuple(self.intern(other.parts[each]) for each in ghosts), here, places)
        return self.canonical((here, places, left, spent))

    # --- where searches begin ---

    @property
    def _empty(self) -> Store:
        return Store(keyed=self.rules.timing.peers is not PeersMode.OFF)

    def start(self, store: Store | None = None) -> Compact:
        """Return the first world: nobody runs, every nodeos is paused, the store is empty."""
        hosts = tuple(self.host(self._idle(name)) for name in self.names)
        return self.canonical((self.intern(store or self._empty), hosts, (), 0))

    def _idle(self, name: str) -> Host:
        return Host(name, clock=canon.BASE, gate=self.rules.gate)

    def ready(self) -> Compact:
        """Return the world in which every agent has just started."""
        hosts = tuple(self.host(local.restarted(self._idle(name), self.rules).host) for name in self.names)
        return self.canonical((self.intern(self._empty), hosts, (), 0))

    def live(self, *rogues: int) -> Compact:
        """Return the world in which nobody has led, no agent runs, and these hosts' nodeos produce all the same."""
        signing = Nodeos(paused=False, rogue=True)
        found = []
        for at, name in enumerate(self.names):
            strange = any(other != at for other in rogues)
            nodeos = signing if at in rogues else Nodeos()
            found.append(self.host(Host(name, clock=canon.BASE, nodeos=nodeos, strange=strange)))
        return self.canonical((self.intern(Store()), tuple(found), (), 0))

    def snapped(self) -> Compact:
        """Return the world in which the first host leads, no other agent runs, and a snapshot says `released`."""
        last = self.names[-1]
        old = Heartbeat(1, last, f"{last}0", 1, self.rules.timing.promised, released=True)
        saved = Store(revision=2, heartbeat=HeartbeatKey(old, 2))
        store, hosts, ghosts, spent = self.calm(store=replace(saved, snapshot=saved))
        idle = (self.host(self._idle(name)) for name in self.names[1:])
        return self.canonical((store, (hosts[0], *idle), ghosts, spent))

    def calm(self, leader: int = 0, store: Store | None = None) -> Compact:
        """Return the world in which one host leads and all is quiet: reached without any fault."""
        world = self.start(store)
        for _ in range(400):
            nominal = list(self.after(world, faults=False))
            starts = [each for each in nominal if "the agent starts" in each.label]
            other = [each for each in nominal if not each.took and "unanswered" not in each.label]
            mine = [each for each in other if each.label.startswith(self.names[leader])]
            world = (starts or mine or other or nominal)[0].world
            first: Host = self.parts[world[1][leader]]
            if first.core and first.core.phase is Phase.LEADING and not other and not starts:
                return world
        raise AssertionError("nobody leads though nothing is wrong")

    def deaf(self, world: Compact, name: str) -> Compact:
        """Return the world with one host that hears nothing of what its peers say, for ever."""
        place = self.names.index(name)
        host = self.intern(replace(self.parts[world[1][place]], deaf=True))
        return self.canonical((world[0], _put(world[1], place, host), *world[2:]))

    def alone(self, world: Compact, count: int = 1) -> Compact:
        """Return the world with the first hosts, so many, cut off from etcd."""
        return self.canonical((world[0], (*map(self.cut, world[1][:count]), *world[1][count:]), *world[2:]))

    def saved(self, world: Compact, before: Compact) -> Compact:
        """Return the world with a snapshot of the store as it was in another one."""
        store = self.intern(replace(self.parts[world[0]], snapshot=self.parts[before[0]]))
        return self.canonical((store, *world[1:]))

    def steady(self, world: Compact | None = None, unnamed: int = 0) -> Compact:
        """Return the world in which one host leads and names all others but so many, and all is quiet."""
        world = world or self.calm()
        for _ in range(400):
            if _names(self.parts[world[1][0]]) == len(self.names) - 1 - unnamed:
                return world
            nominal = [each for each in self.after(world, faults=False) if "answer is late" not in each.label]
            world = ([each for each in nominal if not each.took] or nominal)[0].world
        raise AssertionError("the leader names nobody though all promise")


def _names(host: Host) -> int:
    """Return how many a leader names by the one heartbeat of it that may stand, -1 if there may be two."""
    support = host.core.support if host.core else None
    return len(support.named) if support is not None and len(support.lists) == 1 else -1


def _allowed(begin: Begin, label: str) -> bool:
    return begin is not None and (not begin or label.startswith(begin))


def _put(hosts: tuple[int, ...], place: int, host: int) -> tuple[int, ...]:
    return (*hosts[:place], host, *hosts[place + 1 :])


__all__ = ["Budget", "Compact", "Engine", "Next"]
