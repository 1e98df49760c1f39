"""The ledger: how many slots of each own window have a block, and what those that have none were lost to. Pure.

A window is our turn of 12 slots in the schedule; on a chain of one producer, 12 slots in a row. It is counted once the
chain is `SETTLED` slots beyond it, from the blocks of our own nodeos's chain, so every agent counts for itself. One of
them writes it into etcd, rather one that does not lead: the others' chain is what counts, not the producer's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from agent.core.blocks.follow import Following, look_again
from agent.core.blocks.schedule import ProducerWindows
from agent.core.blocks.terms import CAUSES, Terms, at, change_at
from agent.core.model.archive import Window
from agent.core.model.chain import Header
from agent.core.model.copying import replace
from agent.core.model.slots import REPETITIONS, date, slot_of
from agent.core.model.store import Ms

SETTLED = 22
"""So many slots later a leader that failed is known to have failed (E and more), a short fork is over, and each member
has reported what it has (every 5 s)."""
REPORTED = 10
"""A report that came so many slots later tells of a slot: nodeos is asked once a second, and block by block."""
ALONE = 3
"""More windows than this without any block at all are counted as one: a chain that stood for hours is one line."""


@dataclass(frozen=True, slots=True)
class Ledger:
    """What was counted since the agent started: `produced`, and `missed` by cause.

    upto     windows that begin before this slot are done with; None: nothing is known yet
    checked  the window whose last block was read once more: a fork may have taken it away
    version  of the schedule that the windows rest on
    """

    upto: int | None = None
    checked: int = 0
    version: int | None = None
    produced: int = 0
    missed: Mapping[str, int] = field(default_factory=lambda: dict.fromkeys(CAUSES, 0))


@dataclass(frozen=True, slots=True)
class LedgerInput:
    """What counting rests on.

    holders   slot → the nodes whose own chain is known to have a block of ours there
    own       the slots of all blocks of ours that are known, in order
    at_boot   what to add to a time of day (ms since 1970) to have it on CLOCK_BOOTTIME
    told      node → the newest slot of which it has told
    """

    me: str
    producer: str
    windows: ProducerWindows
    terms: Terms
    holders: Callable[[int], frozenset[str]]
    told: Mapping[str, int]
    at_boot: Ms
    own: tuple[int, ...] = ()


def start_over(ledger: Ledger, slot: int, version: int | None) -> Ledger:
    """Count no window that begins before `slot`: the schedule has changed, or the chain was not looked at."""
    return replace(ledger, upto=max(slot, ledger.upto or 0), version=version)


def count(ledger: Ledger, chain: Following, given: LedgerInput) -> tuple[Ledger, Following, tuple[Window, ...]]:
    """Count the windows that are due; at most one that has blocks is looked at again at a time."""
    top = chain.top
    if top is None or not chain.settled:
        return ledger, chain, ()
    head = slot_of(top.time)
    found: list[Window] = []
    own_slots = (slot_of(block.time) for block in chain.blocks.values() if block.producer == given.producer)
    given = replace(given, own=tuple(sorted(own_slots)))
    start = given.windows.next_start(max(ledger.upto or 0, chain.since))
    while start + REPETITIONS + SETTLED <= head:
        inside = _between(chain, start, start + REPETITIONS)
        own = [block for block in inside if block.producer == given.producer]
        if own and ledger.checked != start:
            return replace(ledger, checked=start), look_again(chain, own[-1].num), tuple(found)
        slots = REPETITIONS if inside else _empty(chain, start, head, given.windows)
        ledger = replace(ledger, upto=start + slots)
        if len(own) == len(inside):  # else another producer signed there: the schedule was not what we took it for
            window = _window(start, slots, own, given)
            ledger = _added(ledger, window)
            found.append(window)
        start = given.windows.next_start(start + slots)
    return ledger, chain, tuple(found)


def _between(chain: Following, first: int, end: int) -> list[Header]:
    """Return the blocks whose slots lie from `first` on and before `end`, in order."""
    inside = [block for block in chain.blocks.values() if first <= slot_of(block.time) < end]
    return sorted(inside, key=lambda block: block.num)


def _empty(chain: Following, start: int, head: int, windows: ProducerWindows) -> int:
    """Return how many slots from `start` on are counted as one: many if the chain stood, of one producer."""
    if windows.producers > 1:
        return REPETITIONS
    later = min((slot_of(block.time) for block in chain.blocks.values() if slot_of(block.time) >= start), default=head)
    whole = (min(later, head - SETTLED) - start) // REPETITIONS
    return whole * REPETITIONS if whole > ALONE else REPETITIONS


def _window(start: int, slots: int, own: Iterable[Header], given: LedgerInput) -> Window:
    signed = [slot_of(block.time) for block in own]
    causes = dict.fromkeys(CAUSES, 0)
    change = 0
    if slots > REPETITIONS:
        cause, change = _why(start + slots // 2, given)
        causes[cause] = slots
    else:
        for slot in range(start, start + slots):
            if slot not in signed:
                cause, epoch = _why(slot, given)
                causes[cause] += 1
                change = epoch or change
    holder = at(given.terms, _boot(start + slots - 1, given))
    return Window(
        slot=start,
        slots=slots,
        signed=len(signed),
        missed=slots - len(signed),
        causes={cause: number for cause, number in causes.items() if number},
        leader=holder.node if holder else "",
        epoch=holder.epoch if holder else 0,
        change=change,
        witness=given.me,
    )


def _boot(slot: int, given: LedgerInput) -> Ms:
    return date(slot) + given.at_boot


def _why(slot: int, given: LedgerInput) -> tuple[str, int]:
    """Return what a slot was lost to, and the epoch of the change if it was one."""
    when = _boot(slot, given)
    before = max((_boot(each, given) for each in given.own if each < slot), default=None)
    after = min((_boot(each, given) for each in given.own if each > slot), default=None)
    change = change_at(given.terms, when, before, after)
    if change is not None:
        return change
    holder = at(given.terms, when)
    if holder is None or not holder.node:
        return "unknown", 0
    if holder.node in given.holders(slot):
        return "network", 0
    if holder.node == given.me or given.told.get(holder.node, -1) >= slot:
        return "node", 0
    return "unknown", 0


def _added(ledger: Ledger, window: Window) -> Ledger:
    missed = {cause: number + window.causes.get(cause, 0) for cause, number in ledger.missed.items()}
    return replace(ledger, produced=ledger.produced + window.signed, missed=missed)
