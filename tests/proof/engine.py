"""The worlds of the search as small tuples: each part is interned, and what a part may do is computed once.

A world is `(store, hosts, ghosts, spent)`, all numbers. The rules of the world itself are in tests/support.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from agent.core.state import Phase
from tests.proof import canon
from tests.support import host as local
from tests.support import moves as around
from tests.support.host import Rules
from tests.support.world import Host, Store, Wish, holds, hopeless, transact

FAULTS = ("net", "control", "process", "word", "lease", "clock", "disk", "config")

Compact = tuple[int, tuple[int, ...], tuple[int, ...], int]


@dataclass(frozen=True)
class Budget:
    """How many faults a run may have: of each class, and in all; `only`: how the labels of allowed faults begin."""

    total: int
    each: dict[str, int] = field(default_factory=dict)
    only: tuple[str, ...] = ()


class Next(NamedTuple):
    """A world that may come next. `broken`: which promise it breaks, nothing if none. `took`: time that passed."""

    world: Compact
    label: str
    broken: str = ""
    took: int = 0


class Engine:
    """Knows, for one set of rules and budgets, what may follow upon a world."""

    def __init__(self, rules: Rules, budget: Budget) -> None:
        self.rules = rules
        self.names = tuple(rules.ranks)
        self._budget = budget
        self._ids: dict[object, int] = {}
        self.parts: list[Any] = []
        self._hashes: list[int] = []
        self._memo: dict[tuple[Any, ...], Any] = {}
        self._shared: dict[int, frozenset[int]] = {}
        self._order: dict[frozenset[int], canon.Names] = {}
        self._spent: dict[int, tuple[int, ...]] = {0: (0,) * len(FAULTS)}
        self._spend: dict[tuple[int, str], int | None] = {}
        self._spent_ids = {(0,) * len(FAULTS): 0}

    # --- interning ---

    def intern(self, part: object) -> int:
        """Return the number of a part."""
        found = self._ids.get(part)
        if found is None:
            found = self._ids[part] = len(self.parts)
            self.parts.append(part)
            self._hashes.append(hash(part))
        return found

    def fingerprint(self, world: Compact) -> int:
        """Return 64 bits that stand for a world; they do not depend on what was interned when."""
        store, hosts, ghosts, spent = world
        hashes = self._hashes
        return hash(
            (hashes[store], *(hashes[each] for each in hosts), -1, *sorted(hashes[each] for each in ghosts), spent)
        )

    def forget(self, worlds: list[Compact]) -> list[Compact]:
        """Forget every part that these worlds do not need; return them by their new numbers."""
        old = self.parts
        self.parts, self._hashes, self._ids = [], [], {}
        self._memo.clear()
        self._shared.clear()
        self._order.clear()
        return [
            (
                self.intern(old[store]),
                tuple(self.intern(old[each]) for each in hosts),
                tuple(sorted(self.intern(old[each]) for each in ghosts)),
                spent,
            )
            for store, hosts, ghosts, spent in worlds
        ]

    def host(self, host: Host) -> int:
        """Return the number of a host, in its canonical form."""
        return self.intern(canon.host(host))

    def start(self) -> Compact:
        """Return the first world: nobody runs, every nodeos is paused, the store is empty."""
        hosts = tuple(self.host(Host(name, clock=canon.BASE)) for name in self.names)
        return self.canonical((self.intern(Store()), hosts, (), 0))

    def canonical(self, world: Compact) -> Compact:
        """Rename what hosts share."""
        store, hosts, ghosts, spent = world
        live = self._live(store).union(*map(self._live, hosts), *map(self._live, ghosts))
        to = self._order.get(live)
        if to is None:
            to = self._order[live] = canon.names(live)
        if to.same:
            return world
        return (
            self._rename(store, to),
            tuple(self._rename(each, to) for each in hosts),
            tuple(sorted({self._rename(each, to) for each in ghosts})),
            spent,
        )

    def _live(self, part: int) -> frozenset[int]:
        found = self._shared.get(part)
        if found is None:
            found = self._shared[part] = canon.of(self.parts[part])
        return found

    def _rename(self, part: int, to: canon.Names) -> int:
        changes = tuple((number, to[number]) for number in sorted(self._live(part)) if to[number] != number)
        if not changes:
            return part
        key = ("rename", part, changes)
        found = self._memo.get(key)
        if found is None:
            old = self.parts[part]
            if isinstance(old, Host):
                new: object = canon.shared(old, to)
            else:
                new = canon.store(old, to) if isinstance(old, Store) else canon.wish(old, to)
            found = self._memo[key] = self.intern(new)
        return int(found)

    # --- budgets ---

    def spend(self, spent: int, fault: str, label: str) -> int | None:
        """Return what is spent after one more fault, None if the budget does not allow it."""
        if not fault:
            return spent
        if self._budget.only and not label.startswith(self._budget.only):
            return None
        key = (spent, fault)
        if key not in self._spend:
            counts = list(self._spent[spent])
            place = FAULTS.index(fault)
            counts[place] += 1
            allowed = counts[place] <= self._budget.each.get(fault, self._budget.total)
            self._spend[key] = self._spent_id(tuple(counts)) if allowed and sum(counts) <= self._budget.total else None
        return self._spend[key]

    def _spent_id(self, counts: tuple[int, ...]) -> int:
        if counts not in self._spent_ids:
            self._spent[len(self._spent_ids)] = counts
            self._spent_ids[counts] = len(self._spent_ids)
        return self._spent_ids[counts]

    # --- what parts may do, computed once ---

    def _may(self, host: Host, left: bool) -> local.May:
        """Return which faults of a host are worth computing: those that this budget ever allows, while any is left."""
        only, each, total = self._budget.only, self._budget.each, self._budget.total

        def may(fault: str, label: str) -> bool:
            if not left or not each.get(fault, total):
                return False
            return not only or f"{host.name}: {label}".startswith(only)

        return may

    def _local(self, host: int, left: bool) -> list[tuple[str, str, int, tuple[int, ...]]]:
        key = ("local", host, left)
        found = self._memo.get(key)
        if found is None:
            found = []
            try:
                for move in local.moves(self.parts[host], self.rules, self._may(self.parts[host], left)):
                    ghosts = tuple(self.intern(each) for each in move.ghosts)
                    found.append((move.label, move.fault, self.host(move.host), ghosts))
            except AssertionError as error:
                found.append((f"DEFECT: {error}", "", -1, ()))
            self._memo[key] = found
        return found

    def _deals(self, host: int, store: int) -> list[tuple[str, str, int, int]]:
        key = ("deals", host, store)
        found = self._memo.get(key)
        if found is None:
            found = []
            try:
                for deal in around.deals(self.parts[host], self.parts[store]):
                    after = self.intern(deal.store)
                    found.append((deal.label, deal.fault, self.host(deal.host), after))
            except AssertionError as error:
                found.append((f"DEFECT: {error}", "", -1, store))
            self._memo[key] = found
        return found

    def _words(self, store: int, dead: bool) -> list[tuple[str, str, int]]:
        key = ("words", store, dead)
        found = self._memo.get(key)
        if found is None:
            said = around.words(self.parts[store], self.names, dead)
            found = self._memo[key] = [(label, fault, self.intern(after)) for label, fault, after in said]
        return found

    def _haunt(self, ghost: int, store: int) -> int:
        key = ("haunt", ghost, store)
        found = self._memo.get(key)
        if found is None:
            found = self._memo[key] = self.intern(transact(self.parts[store], self.parts[ghost], 0)[0])
        return int(found)

    def _hears(self, host: int) -> int:
        key = ("hears", host)
        found = self._memo.get(key)
        if found is None:
            old: Host = self.parts[host]
            new = around.news(old)
            found = self._memo[key] = self.intern(new)
        return int(found)

    def _hopeless(self, ghost: int, store: int) -> bool:
        key = ("hopeless", ghost, store)
        found = self._memo.get(key)
        if found is None:
            found = self._memo[key] = hopeless(self.parts[store], self.parts[ghost])
        return bool(found)

    def _later(self, host: int) -> tuple[str, int]:
        """Return what keeps time from passing on this host, and the host after one tick."""
        key = ("later", host)
        found = self._memo.get(key)
        if found is None:
            old = self.parts[host]
            found = self._memo[key] = (local.urgent(old, self.rules), self.host(local.elapse(old)))
        return found

    def signs(self, host: int) -> bool:
        """Whether this host's nodeos may sign."""
        key = ("signs", host)
        found = self._memo.get(key)
        if found is None:
            found = self._memo[key] = self.parts[host].signs()
        return bool(found)

    # --- worlds ---

    def after(self, world: Compact) -> Iterator[Next]:
        """Yield every world that may come next."""
        store, hosts, ghosts, spent = world
        busy = self._busy(hosts)
        left = sum(self._spent[spent]) < self._budget.total
        for place, host in enumerate(hosts):
            who = self.names[place]
            if busy >= 0 and place != busy:
                continue
            for label, fault, new, more in self._local(host, left):
                now = self.spend(spent, fault, f"{who}: {label}")
                if now is None:
                    continue
                if new < 0:
                    yield Next(world, f"{who}: {label}", label)
                    continue
                yield self._moved(f"{who}: {label}", world, store, _put(hosts, place, new), ghosts + more, now)
            if busy >= 0:
                return
            for label, fault, new, dealt in self._deals(host, store):
                now = self.spend(spent, fault, f"{who}: {label}")
                if now is None:
                    continue
                if new < 0:
                    yield Next(world, f"{who}: {label}", label)
                    continue
                yield self._moved(f"{who}: {label}", world, dealt, _put(hosts, place, new), ghosts, now, place)
        for ghost in ghosts:
            changed = self._haunt(ghost, store)
            if changed != store:
                wish: Wish = self.parts[ghost]
                label = f"a {wish.kind} of {wish.owner}, given up before, is applied now"
                rest = tuple(each for each in ghosts if each != ghost)
                yield self._moved(label, world, changed, hosts, rest, spent)
        for label, fault, changed in self._words(store, self._holder_dead(store, hosts)):
            now = self.spend(spent, fault, label)
            if now is not None:
                yield self._moved(label, world, changed, hosts, ghosts, now)
        yield from self._time(world)

    def _busy(self, hosts: tuple[int, ...]) -> int:
        """Return the host that goes first because something of its own is about to be answered, -1 if there is none."""
        if self.rules.eager:
            for place, host in enumerate(hosts):
                if self._later(host)[0] in ("wake", "save", "ask", "guard", "probe"):
                    return place
        return -1

    def ready(self) -> Compact:
        """Return the world in which every agent has just started."""
        hosts = tuple(self.host(local.restarted(Host(name, clock=canon.BASE), self.rules).host) for name in self.names)
        return self.canonical((self.intern(Store()), hosts, (), 0))

    def calm(self) -> Compact:
        """Return the world in which the first host leads and all is quiet: reached without any fault."""
        world = self.start()
        for _ in range(400):
            nominal = [each for each in self.after(world) if each.world[3] == world[3]]
            starts = [each for each in nominal if "the agent starts" in each.label]
            other = [each for each in nominal if not each.took and "unanswered" not in each.label]
            world = (starts or other or nominal)[0].world
            first: Host = self.parts[world[1][0]]
            if first.core and first.core.phase is Phase.LEADING and first.core.numbers and not other and not starts:
                return world
        raise AssertionError("nobody leads though nothing is wrong")

    def _holder_dead(self, store: int, hosts: tuple[int, ...]) -> bool:
        """Whether agent and nodeos of the one that the heartbeat names are both gone, so that `del` is true."""
        found: Store = self.parts[store]
        if found.heartbeat is None or found.heartbeat.record is None:
            return False
        holder: Host = self.parts[hosts[self.names.index(found.heartbeat.record.node)]]
        return holder.core is None and not holder.nodeos.pid

    def _time(self, world: Compact) -> Iterator[Next]:
        store, hosts, ghosts, spent = world
        later = [self._later(host) for host in hosts]
        if any(why for why, _ in later):
            return
        yield self._moved("time passes", world, store, tuple(host for _, host in later), ghosts, spent, took=1)
        now = self.spend(spent, "clock", "time")
        if now is None:
            return
        for place, host in enumerate(hosts):
            label = f"time passes, but the clock of {self.names[place]} runs slow"
            slow = tuple(host if at == place else new for at, (_, new) in enumerate(later))
            yield self._moved(label, world, store, slow, ghosts, now, took=1)

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
        if store != before[0]:
            broken = self._store_changed(before, store)
            if self.parts[store].revision != self.parts[before[0]].revision:
                hosts = tuple(host if at == knows else self._hears(host) for at, host in enumerate(hosts))
        if ghosts:
            ghosts = tuple(sorted({each for each in ghosts if not self._hopeless(each, store)}))
        signing = [self.names[at] for at, host in enumerate(hosts) if self.signs(host)]
        if len(signing) > 1:
            broken = f"P1: {' and '.join(signing)} may both sign"
        return Next(self.canonical((store, hosts, ghosts, spent)), label, broken, took)

    def _store_changed(self, before: Compact, store: int) -> str:
        """Return what a change of the store breaks: R5, or that epochs only grow."""
        old: Store = self.parts[before[0]]
        new: Store = self.parts[store]
        if new.heartbeat is None or new.heartbeat == old.heartbeat or new.heartbeat.record is None:
            return ""
        record = new.heartbeat.record
        if record.released and self.signs(before[1][self.names.index(record.node)]):
            return f"R5: {record.node} released, but its nodeos may still sign"
        last = old.heartbeat.record if old.heartbeat else None
        took = new.leader is not None and new.leader.lease and new.leader.revision == new.revision
        if took and last and record.epoch <= last.epoch:
            return f"R8: epoch {record.epoch} of {record.node} comes after epoch {last.epoch}"
        return ""


def _put(hosts: tuple[int, ...], place: int, host: int) -> tuple[int, ...]:
    return (*hosts[:place], host, *hosts[place + 1 :])


__all__ = ["FAULTS", "Budget", "Compact", "Engine", "Next", "holds"]
