"""The tripwire: a block of our producer that no governed node can have signed, from what the members' chains show.

Pure. A block does not say which host signed it: all of ours have the same producer, and often the same key. What can be
known:

    doubled     two blocks of our producer for one slot, on the chains of two members, or on one chain before and after
                it switched branches. A governed producer never signs a slot twice (R4, R9)
    leaderless  a block for a slot in which nobody held the lead and our own nodeos was proven stopped. It is told only
                when the group was read again and again afterwards, and still nobody held it
    split       a peer has another irreversible block than we have at the same height, on a chain of one producer: two
                that sign at once soon have a chain each, and then every member may be on the same one. (With several
                producers the others' blocks bring the branches together, and `doubled` sees it; and there peers are
                strangers, whose word proves nothing.) Only members that the stray is connected to can see this
    ungated     a block for a slot in which we led, and our signing gate, which is required, gave no signature for it:
                nodeos has the key itself, so that closing the gate proves nothing; or another host signs

What cannot be known: empty blocks of two nodes are byte-identical, so a chain without any transaction hides a second
producer; and a second one that signs only slots which the leader misses looks like the leader.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from agent.core.blocks.follow import Following
from agent.core.blocks.sightings import Sightings
from agent.core.health.checks import GateProbed
from agent.core.leadership.actions import Warn
from agent.core.leadership.state import Phase, State
from agent.core.model.chain import ChainInfo, Peers
from agent.core.model.copying import replace
from agent.core.model.slots import date
from agent.core.model.store import Ms

KINDS = ("doubled", "leaderless", "split", "ungated")
MARGIN: Ms = 2000
"""A block dated so shortly after the lead fell free may be the leader's last: it may be signed ahead of time (0.9 s),
and our clock may be off (`clock_offset` allows 0.25 s by default)."""
WAIT: Ms = 3000
LOOKS = 2
"""A suspicion is told when it has lasted so long, and the group was read so often meanwhile: a take-over that we had
not heard of yet is known by then (where nobody leads a silent watch is checked after 2 s)."""
AHEAD: Ms = 6000
LATE: Ms = 1000
"""No block is signed so long before its slot (5.5 s at the theoretical limit, from Leap 5 on), or so long after it."""
QUIET: Ms = 10_000
"""The next one is not told sooner: a second producer makes two a second."""


@dataclass(frozen=True, slots=True)
class Suspicion:
    """A block of a slot in which nobody led, since `at`; `looks`: readings of the group since then."""

    at: Ms
    looks: int = 0


@dataclass(frozen=True, slots=True)
class Tripwire:
    """What was found: `counts` by kind, `told` slots that were counted, `suspects` by slot.

    splits  heights at which a peer's irreversible block differed at the last look
    """

    counts: Mapping[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))
    told: frozenset[int] = frozenset()
    suspects: Mapping[int, Suspicion] = field(default_factory=dict)
    splits: frozenset[int] = frozenset()
    quiet_until: Ms = 0


@dataclass(frozen=True, slots=True)
class TripwireInput:
    """What is seen now. `clock_ok`: our clock agrees with the chain's; `starting`: some agent has proven nothing yet.

    own      the newest blocks of our producer on our own chain: slot → id
    at_boot  what to add to a time of day (ms since 1970) to have it on CLOCK_BOOTTIME
    """

    own: Mapping[int, str]
    state: State
    at_boot: Ms
    clock_ok: bool
    starting: bool


def doubled(trip: Tripwire, claims: Sightings, now: Ms) -> tuple[Tripwire, list[Warn]]:
    """Find slots that have two blocks."""
    slots = {slot: ids for slot, ids in claims.by_slot.items() if len(ids) > 1 and slot not in trip.told}
    words = [
        f"slot {slot} has two blocks of our producer, "
        + " and ".join(f"{short} (on the chain of {', '.join(sorted(nodes))})" for short, nodes in sorted(ids.items()))
        for slot, ids in sorted(slots.items())
    ]
    return _found(trip, "doubled", slots, words, now)


def leaderless(trip: Tripwire, given: TripwireInput, now: Ms, *, looked: bool) -> tuple[Tripwire, list[Warn]]:
    """Find blocks of slots in which nobody held the lead. `looked`: the group was just read."""
    free = free_since(given.state, now) if given.clock_ok and not given.starting else None
    if free is None:
        return replace(trip, suspects={}), []
    quiet = max(free, given.state.production_since) + MARGIN
    mine = given.own
    odd = {slot for slot in mine if date(slot) + given.at_boot >= quiet and slot not in trip.told}
    suspects = {
        slot: replace(old, looks=old.looks + looked) if (old := trip.suspects.get(slot)) else Suspicion(now)
        for slot in odd
    }
    due = [slot for slot, each in suspects.items() if now >= each.at + WAIT and each.looks >= LOOKS]
    words = [f"slot {slot} has a block of our producer, {mine[slot]}, though nobody led then" for slot in sorted(due)]
    return _found(replace(trip, suspects=suspects), "leaderless", due, words, now)


def free_since(state: State, now: Ms) -> Ms | None:
    """Return since when nobody may produce, as far as etcd and our own nodeos tell; None: somebody may."""
    free, found = state.free_at(), state.seen.heartbeat
    if free is None or found is None or found.record is None or now < free or not state.proven:
        return None  # who deletes the heartbeat takes it upon himself that nobody leads; garbage tells nothing
    return free if state.phase is Phase.STANDBY else None


def split(
    trip: Tripwire, chain: Following, info: ChainInfo | None, peers: Peers, now: Ms
) -> tuple[Tripwire, list[Warn]]:
    """Find irreversible blocks of peers that differ from ours: at two looks, for the first may meet a stale block."""
    lib = info.lib_num if info is not None and chain.settled else 0
    other = {
        num: theirs
        for num, theirs in peers.libs
        if num <= lib and num in chain.blocks and chain.blocks[num].id != theirs and num not in trip.told
    }
    sure = sorted(num for num in other if trip.splits)[-1:]
    words = [
        f"a peer has block {other[num]} as irreversible where our nodeos has {chain.blocks[num].id}: "
        "somebody else signs for our producer"
        for num in sure
    ]
    return _found(replace(trip, splits=frozenset(other)), "split", sure, words, now)


def ungated(trip: Tripwire, given: TripwireInput, gate: GateProbed, since: Ms) -> tuple[Tripwire, list[Warn]]:
    """Find blocks of slots in which we led, since `since`, that our gate, asked just now, cannot have signed."""
    if gate.started is None or not given.clock_ok:
        return trip, []
    after = max(since, gate.started, gate.signed or 0) + AHEAD
    odd = [
        slot for slot in given.own if after < date(slot) + given.at_boot < gate.asked - LATE and slot not in trip.told
    ]
    words = [
        f"slot {slot} has a block of our producer, {given.own[slot]}, that our gate did not sign: see that nodeos has "
        "no signature-provider but KEOSD, and nobody else has the key"
        for slot in sorted(odd)
    ]
    return _found(trip, "ungated", odd, words, gate.asked)


def _found(trip: Tripwire, kind: str, slots: Iterable[int], words: list[str], now: Ms) -> tuple[Tripwire, list[Warn]]:
    """Count what was found, and say it unless something was said just before."""
    if not words:
        return trip, []
    told = frozenset(sorted(trip.told | frozenset(slots))[-2000:])
    trip = replace(trip, told=told, counts={**trip.counts, kind: trip.counts[kind] + len(words)})
    if now < trip.quiet_until:
        return trip, []
    more = f"; {len(words) - 1} more" if len(words) > 1 else ""
    return replace(trip, quiet_until=now + QUIET), [Warn("stray_block", words[0] + more)]
