"""Watching what is produced: our own chain is followed block by block, own windows are counted, changes are proven.

And the tripwire is looked at. All this stands beside leadership, and decides nothing there.
"""

from __future__ import annotations

from agent.core.blocks import follow, history, ledger, sightings, terms, tripwire
from agent.core.blocks.follow import BlocksRead
from agent.core.blocks.schedule import ProducerWindows
from agent.core.health.checks import GateProbed, InfoProbed, PeersProbed
from agent.core.health.hysteresis import CheckState
from agent.core.leadership.actions import Warn
from agent.core.leadership.events import StoreSeen
from agent.core.leadership.state import Phase
from agent.core.model.copying import replace
from agent.core.model.slots import slot_of
from agent.core.model.store import Ms
from agent.core.node.stage import NodeStep
from agent.core.node.state import BlockWatch, LookedBack, Node, RecordWindow, own_windows

NEAR_NOW = 2000
"""Slots further from our head than this are not believed: anybody who reaches etcd may write them."""
TURN_TO_WRITE: Ms = 7000
"""Each member waits so much longer than the one before it until it writes a window that nobody has written: that goes
with a report, up to 5 s later."""


def watch(step: NodeStep) -> None:
    """Note what an event tells of blocks, count what is due, and ask for what is missing."""
    node, event, now = step.node, step.event, step.now
    seen = node.watch
    seen = replace(seen, terms=terms.seen(seen.terms, node.leadership, now))
    windows = own_windows(node)
    match event:
        case InfoProbed() if event.info is not None:
            seen = _chain(node, seen, follow.head_seen(seen.chain, event.info, windows))
        case LookedBack(head=head) if head is not None:  # what comes between it and the next head is read as ever
            seen = _chain(node, seen, follow.head_seen(seen.chain, head, windows))
        case BlocksRead():
            seen = _chain(node, seen, follow.blocks_read(seen.chain, event))
        case StoreSeen():
            seen = _told(node, seen)
    seen = _trip(step, seen, windows)
    seen = _count(node, seen, windows, now)
    seen = _write(step, seen)
    chain, reading = follow.ask(seen.chain, now)
    if reading is not None:
        step.do(reading)
    step.set(watch=replace(seen, chain=chain))
    _prove(step, windows)


def _chain(node: Node, seen: BlockWatch, chain: follow.Following) -> BlockWatch:
    """Note blocks of our own chain."""
    identity = node.leadership.identity
    if chain is seen.chain:
        return seen
    before = seen.chain.blocks
    new = {
        slot_of(each.time): each.id
        for num, each in chain.blocks.items()
        if each.producer == identity.producer and before.get(num) is not each
    }
    if not new:
        return replace(seen, chain=chain)
    ours = {**seen.own_blocks, **new}
    ours = {slot: ours[slot] for slot in sorted(ours)[-follow.KEPT :]}
    found = sightings.claimed(seen.sightings, identity.node, new)
    return replace(seen, chain=chain, sightings=found, own=sightings.told(ours), own_blocks=ours, last_own=max(ours))


def _told(node: Node, seen: BlockWatch) -> BlockWatch:
    """Note what other members report of their chains; a member on another chain by mistake says nothing of ours."""
    found, top = seen.sightings, seen.chain.top
    if top is None:
        return seen
    now = slot_of(top.time)
    for member in node.members:
        if member.node != node.leadership.identity.node and not member.fails("chain_id"):
            near = {slot: short for slot, short in member.own_blocks.items() if abs(slot - now) < NEAR_NOW}
            found = sightings.claimed(found, member.node, near)
    return replace(seen, sightings=found)


def _trip(step: NodeStep, seen: BlockWatch, windows: ProducerWindows | None) -> BlockWatch:
    """Look for blocks of our producer that none of us can have signed."""
    node, event, now = step.node, step.event, step.now
    health, trip = node.health, seen.trip
    found: list[Warn] = []
    if seen.sightings is not node.watch.sightings:
        trip, found = tripwire.doubled(trip, seen.sightings, now)
    if health.info is not None:
        clock = health.checks.get("clock_offset", CheckState(ok=True))
        starting = Phase.STARTING.value in (node.leadership.phase.value, *(member.role for member in node.members))
        at_boot = health.info_at - health.info_wall
        given = tripwire.TripwireInput(seen.own_blocks, node.leadership, at_boot, clock.ok, starting)
        trip, more = tripwire.leaderless(trip, given, now, looked=isinstance(event, StoreSeen))
        found += more
        if isinstance(event, GateProbed) and node.leading_since is not None and node.leadership.identity.timing.gated:
            trip, more = tripwire.ungated(trip, given, event, node.leading_since)
            found += more
    if isinstance(event, PeersProbed) and event.peers is not None and windows is not None and windows.producers == 1:
        trip, more = tripwire.split(trip, seen.chain, health.info, event.peers, now)
        found += more
    step.do(*found)
    return replace(seen, trip=trip)


def _count(node: Node, seen: BlockWatch, windows: ProducerWindows | None, now: Ms) -> BlockWatch:
    schedule, info = node.health.schedule, node.health.info
    if windows is None or schedule is None or info is None or seen.chain.top is None:
        return seen
    if seen.chain is node.watch.chain and seen.ledger.version == schedule.version:
        return seen
    if seen.ledger.version != schedule.version:
        after = slot_of(seen.chain.top.time) + 1
        return replace(seen, ledger=ledger.start_over(seen.ledger, after, schedule.version))
    at_boot = node.health.info_at - node.health.info_wall
    told = {name: slot_of(at - at_boot) - ledger.REPORTED for name, (_, at) in node.heard.items()}
    for member in node.members:
        told[member.node] = max(told.get(member.node, -1), max(member.own_blocks, default=-1))
    identity = node.leadership.identity
    given = ledger.LedgerInput(
        identity.node,
        identity.producer,
        windows,
        seen.terms,
        seen.sightings.holders,
        told,
        at_boot,
    )
    counted, chain, new = ledger.count(seen.ledger, seen.chain, given)
    due = now + _place(node) * TURN_TO_WRITE
    return replace(seen, ledger=counted, chain=chain, unwritten=(*seen.unwritten, *((due, each) for each in new)))


def _place(node: Node) -> int:
    """Return how many go first in writing: who leads goes last, who is unhealthy last but one."""
    me = node.leadership.identity.node
    leader = node.leadership.seen.last_holder
    others = [each for each in node.members if each.node not in (me, leader) and each.healthy]
    if me == leader:
        return len(others)
    return sum(each.node < me for each in others) if node.health.ok else len(others)


def _write(step: NodeStep, seen: BlockWatch) -> BlockWatch:
    if not seen.unwritten:
        return seen
    written = step.node.reports.ledger
    later = []
    for due, window in seen.unwritten:
        if any(each.slot <= window.slot < each.slot + each.slots for each in written):
            continue
        if step.now < due:
            later.append((due, window))
        else:
            step.do(RecordWindow(window))
    return replace(seen, unwritten=tuple(later))


def _prove(step: NodeStep, windows: ProducerWindows | None) -> None:
    """See what a change of leader cost, once its first block is there, and what another member's chain says of it."""
    node = step.node
    waiting = node.proof if node.leadership.leads else None
    if waiting is None:
        step.set(proof=None)
        return
    if waiting.first is None:
        found = history.proven(waiting, node.watch.chain, node.leadership.identity.producer, windows)
        if found is None:
            return
        waiting = replace(waiting, first=found[0], fields=found[1])
        step.record(waiting.epoch, waiting.fields)
    fields = history.witnessed(waiting, node.reports.ledger)
    if fields is not None:
        waiting = replace(waiting, fields=fields)
        step.record(waiting.epoch, fields)
    step.set(proof=waiting)
