"""The parts of worlds, interned: what one part may do, or becomes, is computed by the real core once and remembered.

A part is a store, a host, or a ghost: a transaction that nobody waits for any more, which may still be applied.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from agent.core.leadership.state import Phase
from tests.proof import canon, shared
from tests.proof import host as local
from tests.proof import moves as around
from tests.proof.host import Rules
from tests.proof.symmetry import Symmetry
from tests.proof.world import Host, Store, Wish, hopeless, transact

T = TypeVar("T")
Compact = tuple[int, tuple[int, ...], tuple[int, ...], int]
"""A world: store, hosts, ghosts, each by its number, and how many faults it took to get there."""


@dataclass(frozen=True)
class Budget:
    """How many faults a run may have.

    `only`: how the labels of allowed faults begin, all if empty. `script`: how that of the first begins, of the second,
    and so on. `ghosts`: of the transactions that one node gave up, so many, the newest, may still be applied: else one
    that is cut off would send new ones without end.
    """

    total: int
    only: tuple[str, ...] = ()
    script: tuple[str, ...] = ()
    ghosts: int = 3

    def allowed(self, spent: int) -> tuple[str, ...]:
        """Return how the label of the next fault may begin, all if empty."""
        return self.script[spent : spent + 1] or self.only


class Parts:
    """Knows the parts of worlds by number, for one set of rules and one budget."""

    def __init__(self, rules: Rules, budget: Budget) -> None:
        self.rules = rules
        self.names = tuple(rules.ranks)
        self.budget = budget
        self.symmetry = Symmetry(
            self.names, alike=not (budget.only or budget.script or rules.off) and len(set(rules.ranks.values())) == 1
        )
        self.parts: list[Any] = []
        self._ids: dict[object, int] = {}
        self._memo: dict[tuple[Any, ...], Any] = {}
        self._live: dict[int, frozenset[int]] = {}
        self._order: dict[frozenset[int], shared.Names] = {}
        self._prints: dict[int, tuple[int, ...]] = {}

    def intern(self, part: object) -> int:
        """Return the number of a part."""
        number = len(self.parts)
        found = self._ids.setdefault(part, number)
        if found == number:
            self.parts.append(part)
        return found

    def host(self, host: Host) -> int:
        """Return the number of a host, in its canonical form."""
        return self.intern(canon.host(host))

    def forget(self, worlds: list[Compact]) -> list[Compact]:
        """Forget every part that these worlds do not need; return them by their new numbers."""
        old = self.parts
        self.parts, self._ids = [], {}
        self._memo.clear()
        self._live.clear()
        self._order.clear()
        self._prints.clear()
        self.symmetry.forget()
        return [
            (
                self.intern(old[store]),
                tuple(self.intern(old[each]) for each in hosts),
                tuple(sorted(self.intern(old[each]) for each in ghosts)),
                spent,
            )
            for store, hosts, ghosts, spent in worlds
        ]

    # --- forms ---

    def canonical(self, world: Compact) -> Compact:
        """Rename what hosts share: revisions, epochs, seqs."""
        store, hosts, ghosts, spent = world
        live = self._shared(store).union(*map(self._shared, hosts), *map(self._shared, ghosts))
        to = self._order.get(live)
        if to is None:
            to = self._order[live] = shared.names(live)
        if to.same:
            return world
        return (
            self._rename(store, to),
            tuple(self._rename(each, to) for each in hosts),
            tuple(sorted({self._rename(each, to) for each in ghosts})),
            spent,
        )

    def _shared(self, part: int) -> frozenset[int]:
        found = self._live.get(part)
        if found is None:
            found = self._live[part] = shared.of(self.parts[part])
        return found

    def _rename(self, part: int, to: shared.Names) -> int:
        changes = tuple((number, to[number]) for number in sorted(self._shared(part)) if to[number] != number)
        if not changes:
            return part
        return self._once(("rename", part, changes), lambda: self.intern(shared.renamed(self.parts[part], to)))

    def fingerprint(self, world: Compact) -> int:
        """Return 64 bits for all worlds that are this one but for the names of nodes and the faults that it took."""
        store, hosts, ghosts, _ = world
        prints = self._prints
        needed = (store, *hosts, *ghosts)
        for part in needed:
            if part not in prints:
                prints[part] = self.symmetry.prints(self.parts[part])
        here, around_it = prints[store], [prints[each] for each in ghosts]
        there = [prints[each] for each in hosts]
        return min(
            hash((here[at], *[there[place][at] for place in order], -1, *sorted([each[at] for each in around_it])))
            for at, order in enumerate(self.symmetry.orders)
        )

    # --- what parts do ---

    def _once(self, key: tuple[Any, ...], compute: Callable[[], T]) -> T:
        found: T | None = self._memo.get(key)
        if found is None:
            found = self._memo[key] = compute()
        return found

    def may(self, host: Host, faults: tuple[str, ...] | None) -> local.May:
        """Return which faults of a host are worth computing: none, or those whose labels begin as they may."""

        def may(_fault: str, label: str) -> bool:
            return faults is not None and (not faults or f"{host.name}: {label}".startswith(faults))

        return may

    def local(self, host: int, faults: tuple[str, ...] | None) -> list[tuple[str, str, int, tuple[int, ...]]]:
        """Return what may happen inside a host: label, class of fault, the host after it, new ghosts.

        With `faults` (how they may begin) these alone; with None what takes none.
        """
        return self._once(("local", host, faults), lambda: self._local(self.parts[host], faults))

    def _local(self, host: Host, faults: tuple[str, ...] | None) -> list[tuple[str, str, int, tuple[int, ...]]]:
        try:
            return [
                (move.label, move.fault, self.host(move.host), tuple(self.intern(each) for each in move.ghosts))
                for move in local.moves(host, self.rules, self.may(host, faults))
                if bool(move.fault) is (faults is not None)
            ]
        except AssertionError as error:
            return [(f"DEFECT: {error}", "", -1, ())]

    def deals(self, host: int, store: int, faults: bool) -> list[tuple[str, str, int, int]]:
        """Return what may happen between a host and the store: label, class of fault, the two after it.

        With `faults` these alone, else what takes none.
        """
        return self._once(("deals", host, store, faults), lambda: self._deals(host, store, faults))

    def _deals(self, host: int, store: int, faults: bool) -> list[tuple[str, str, int, int]]:
        try:
            return [
                (deal.label, deal.fault, self.host(deal.host), self.intern(deal.store))
                for deal in around.deals(self.parts[host], self.parts[store])
                if bool(deal.fault) is faults
            ]
        except AssertionError as error:
            return [(f"DEFECT: {error}", "", -1, store)]

    def words(self, store: int, dead: bool) -> list[tuple[str, str, int]]:
        """Return what operators may say, and leases may do: label, class of fault, the store after it."""
        return self._once(
            ("words", store, dead),
            lambda: [
                (label, fault, self.intern(after))
                for label, fault, after in around.words(self.parts[store], self.names, dead)
            ],
        )

    def forgettings(self, store: int, known: int) -> list[tuple[str, str, int]]:
        """Return how the store may forget: label, class of fault, the store after it."""
        return self._once(
            ("forgettings", store, known),
            lambda: [
                (label, fault, self.intern(after))
                for label, fault, after in around.forgettings(self.parts[store], known)
            ],
        )

    def known(self, host: int) -> int:
        """Return the newest revision that an agent has seen, 0 if none runs."""
        core = self.parts[host].core
        return core.seen.least if core else 0

    def haunt(self, ghost: int, store: int) -> int:
        """Return the store after a ghost has acted."""
        return self._once(
            ("haunt", ghost, store), lambda: self.intern(transact(self.parts[store], self.parts[ghost], 0)[0])
        )

    def hears(self, host: int) -> int:
        """Return a host that has news of the store to hear."""
        return self._once(("hears", host), lambda: self.intern(around.news(self.parts[host])))

    def cut(self, host: int) -> int:
        """Return a host that is cut off from etcd."""
        return self._once(("cut", host), lambda: self.intern(replace(self.parts[host], cut=True)))

    def posted(self, hosts: tuple[int, ...]) -> tuple[int, ...]:
        """Put what hosts have just sent into the inboxes of others."""
        sent = tuple(each for host in hosts for each in self.parts[host].outbox)
        if not sent:
            return hosts
        found = []
        for name, host in zip(self.names, hosts, strict=True):
            letters = tuple(each for each in sent if each.to == name)
            key = ("posted", host, letters)
            found.append(self._once(key, lambda host=host, letters=letters: self._posted(host, letters)))  # type: ignore[misc]
        return tuple(found)

    def _posted(self, host: int, letters: tuple[Any, ...]) -> int:
        return self.intern(local.post(replace(self.parts[host], outbox=()), letters))

    def later(self, host: int) -> tuple[str, int]:
        """Return what keeps time from passing on this host, and the host after one tick: -1 while it is kept."""
        return self._once(("later", host), lambda: self._later(self.parts[host]))

    def _later(self, host: Host) -> tuple[str, int]:
        why = local.urgent(host, self.rules)
        return why, -1 if why else self.host(local.elapse(host))

    def sees(self, host: int, strange: bool) -> int:
        """Return a host that sees whether blocks come which no leader signs."""
        return self._once(("sees", host, strange), lambda: self.host(local.sees(self.parts[host], strange)))

    def reads_chain(self, host: int, newer: bool) -> int:
        """Return a host whose agent sees whether blocks of ours have come since a release (R20)."""
        return self._once(("chain", host, newer), lambda: self.host(local.reads_chain(self.parts[host], newer).host))

    def doubts(self, host: int) -> bool:
        """Whether its agent asks the chain about a release that it did not see come."""
        return local.doubts(self.parts[host].core)

    def leads(self, host: int) -> bool:
        """Whether its nodeos may sign, or is about to be resumed."""
        found: Host = self.parts[host]
        return self.signs(host) or (found.core is not None and found.core.phase is Phase.ELECTED)

    def rogue(self, host: int) -> bool:
        """Whether this host's nodeos signs without a leader."""
        found: Host = self.parts[host]
        return found.nodeos.rogue and found.nodeos.signs(found.clock)

    def signs(self, host: int) -> bool:
        """Whether this host's nodeos may sign."""
        return self._once(("signs", host), lambda: bool(self.parts[host].signs()))

    # --- ghosts ---

    def haunting(self, ghosts: tuple[int, ...], store: int, hosts: tuple[int, ...]) -> tuple[int, ...]:
        """Return the ghosts that may yet act, the seq of one long forgotten dropped; of each node the newest few."""
        left: dict[int, set[tuple[int, str, int]]] = {}
        for each in ghosts:
            if self.hopeless(each, store):
                continue
            wish: Wish = self.parts[each]
            place = self.names.index(wish.owner)
            seq = wish.heartbeat.seq if wish.heartbeat else 0
            forgotten = 0 < seq < self._oldest(hosts[place])
            found = (0, wish.kind, self._ageless(each)) if forgotten else (seq, wish.kind, each)
            left.setdefault(place, set()).add(found)
        few = self.budget.ghosts
        return tuple(sorted(ghost for found in left.values() for _, _, ghost in sorted(found)[-few:]))

    def hopeless(self, ghost: int, store: int) -> bool:
        """Whether a ghost can never act again."""
        return self._once(("hopeless", ghost, store), lambda: bool(hopeless(self.parts[store], self.parts[ghost])))

    def _oldest(self, host: int) -> int:
        """Return the oldest seq that the agent of this host, or its next process, still tells from others."""

        def oldest() -> int:
            found: Host = self.parts[host]
            tenure = found.core.tenure if found.core else None
            files = [found.file, *(each.record for each in found.saves)]
            sent = (each.number for each in tenure.sent) if tenure else ()
            return min((*(each.seq for each in (tenure, *files) if each), *sent), default=10**9)

        return self._once(("oldest", host), oldest)

    def _ageless(self, ghost: int) -> int:
        def ageless() -> int:
            wish: Wish = self.parts[ghost]
            assert wish.heartbeat is not None
            return self.intern(replace(wish, heartbeat=replace(wish.heartbeat, seq=0)))

        return self._once(("ageless", ghost), ageless)


__all__ = ["Budget", "Compact", "Host", "Parts", "Store", "Wish"]
