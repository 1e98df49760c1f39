"""The judge: a history in, a verdict out. Pure. It trusts the blocks that were signed, and nobody's word about them.

P1: no slot was signed by two nodes while both were governed, nor twice by one; no epoch was led by two nodes.
P2: after all was healed, somebody produced within a bound.
P3, as far as chance allows: a gap of more than SHORT slots has a cause among the faults, or is flagged.
With signing gates nobody is excused by not being governed, and no node signs when another one has been elected.
And every block of the observer's chain is among those that were signed, else evidence was lost; and no agent and no
guard met a defect of its own.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator, Sequence

from agent.core.leadership.transitions import BEGINS
from agent.core.model.slots import slot_of
from tests.lab.chaos.history import Change, Done, Double, Gap, History, Late, Tenure, Thaw, Verdict, slot_time
from tests.lab.chaos.kinds import KINDS, VALIDITY
from tests.lab.chaos.late import APPLIED, find_late, find_thaws
from tests.lab.evidence import Signature

SHORT = 3
"""Slots: a planned handover on an idle machine costs up to 2, and a busy one one more."""
BORNE = 20.0
"""Seconds for which promises alone hold the lead in `lease`: our lease lives for up to 30 s after a keepalive."""
REACTION = VALIDITY + 2
"""Seconds after its end in which a fault may still begin to cost slots: what was confirmed before it runs out."""
RECOVERY = 20.0
"""Seconds in which slots come again after the last fault that can have cost them."""
DEFECT = "a defect"
"""The words of every agent that met an error which nobody foresaw; the watch uses them for a guard's traceback too."""
SHIFT = 5.5
"""Seconds by which the clock of a node jumps at the most, and a little more."""
STALL = 0.25
"""Seconds around a stall of the whole machine in which slots may be missing."""


def check(history: History) -> Verdict:
    """Judge a history."""
    doubles = tuple(find_doubles(history))
    tenures = tuple(find_tenures(history))
    gaps = tuple(find_gaps(history))
    violations = [*_p1(doubles), *_epochs(tenures), *_p2(history), *_defects(history)]
    if history.unsigned:
        violations.append(f"EVIDENCE: nobody's log has the signature of the blocks {history.unsigned[:10]} and so on")
    flags = [
        f"{gap.count} slots without a block after {gap.after or 'nobody'} at {gap.started:.1f}: no fault explains it"
        for gap in gaps
        if not gap.causes and gap.count > SHORT
    ]
    late: tuple[Late, ...] = ()
    thaws: tuple[Thaw, ...] = ()
    if history.gate:
        right = [each for each in history.signatures if governed(each, history)]
        late, thaws = tuple(find_late(history, right)), tuple(find_thaws(history, right))
        violations += _stale(late)
    return Verdict(doubles, gaps, tenures, tuple(violations), tuple(flags), late, thaws)


def governed(signature: Signature, history: History) -> bool:
    """Whether an agent answered for the node when it signed, and the node's clock was right.

    A node whose clock jumped dates its own log wrongly too, so that span is wider by SHIFT.
    """
    wrong = [(span, SHIFT) for span in history.misdated]
    if not history.gate:  # a gate keeps also a node from signing that its agent has not paused yet
        wrong += [(span, 0.0) for span in history.ungoverned]
    return not any(
        span.node == signature.node and span.started - wider <= signature.wall <= span.ended + wider
        for span, wider in wrong
    )


def find_doubles(history: History) -> Iterator[Double]:
    """Yield the slots that were signed more than once, in order: by two nodes, or with two blocks."""
    by_slot: dict[int, list[Signature]] = defaultdict(list)
    for each in history.signatures:
        by_slot[each.slot].append(each)
    for slot, found in sorted(by_slot.items()):
        if len({(each.node, each.id) for each in found}) < 2:
            continue
        counted = {(each.node, each.id) for each in found if governed(each, history)}
        yield Double(slot, tuple(found), len(counted) > 1)


def _p1(doubles: Sequence[Double]) -> Iterator[str]:
    for double in doubles:
        if double.governed:
            who = ", ".join(f"{each.node} block {each.num} {each.id} at {each.wall:.3f}" for each in double.signatures)
            yield f"P1: slot {double.slot} was signed twice: {who}"


def _epochs(tenures: Sequence[Tenure]) -> Iterator[str]:
    nodes: dict[int, set[str]] = defaultdict(set)
    for tenure in tenures:
        nodes[tenure.epoch].add(tenure.node)
    for epoch, who in sorted(nodes.items()):
        if len(who) > 1:
            yield f"P1: epoch {epoch} was led by {' and '.join(sorted(who))}"


def _stale(late: Sequence[Late]) -> Iterator[str]:
    for each in late:
        if each.seconds > APPLIED:
            one = each.signature
            who = f"{one.node} signed block {one.num} {one.id} for slot {one.slot} at {one.wall:.3f}"
            yield f"STALE: {who}, {each.seconds:.3f} s after another one was elected"


def _p2(history: History) -> Iterator[str]:
    for rest in history.rests:
        if rest.produced is None:
            yield f"P2: all was healed at {rest.at:.1f}, and nobody produced in time"


def _defects(history: History) -> Iterator[str]:
    for note in history.notes:
        if DEFECT in note.text:
            yield f"{note.who} at {note.at - history.began:.1f} s: {note.text}"


def find_tenures(history: History) -> Iterator[Tenure]:
    """Yield who led when, in order, according to the agents' logs."""
    for node in history.nodes:
        since: Change | None = None
        for change in sorted((each for each in history.changes if each.node == node), key=lambda each: each.at):
            if since is not None and change.phase != "leading":
                yield _tenure(history, since, change.at)
                since = None
            if since is None and change.phase == "leading":
                since = change
        if since is not None:
            yield _tenure(history, since, history.ended)


def _tenure(history: History, since: Change, ended: float) -> Tenure:
    before = [each for each in history.done if not each.failed and each.started <= since.at]
    before = [each for each in before if KINDS[each.fault.kind].costs != "nobody" and since.at - each.ended < RECOVERY]
    new = since.key in BEGINS
    blamed = max(before, key=lambda each: each.started).fault.number if before and new else 0
    return Tenure(since.node, since.epoch, since.at, ended, blamed)


def find_gaps(history: History) -> Iterator[Gap]:
    """Yield every gap between two governed signatures, and before the end, with what explains it."""
    first, last = slot_of(round(history.began * 1000)), slot_of(round(history.ended * 1000))
    by_slot = {each.slot: each.node for each in history.signatures if governed(each, history)}
    slots = [slot for slot in sorted(by_slot) if first <= slot <= last]
    for one, two in itertools.pairwise([*slots, last]):
        if two - one > 1:
            causes, blamed = _explain(history, by_slot[one], one + 1, two - one - 1)
            yield Gap(one + 1, two - one - 1, by_slot[one], causes, blamed)


def _explain(history: History, signer: str, first: int, count: int) -> tuple[tuple[str, ...], int]:
    """Return what explains a gap, and the number of the fault to blame; nothing when it began, or went on, for none."""
    started, ended = slot_time(first), slot_time(first + count)
    near = [each for each in history.done if each.started <= ended and each.ended + RECOVERY >= started]
    able = [each for each in near if _may_begin(each, near, signer, started, history.failsafe)]
    stalls = [each for each in history.stalls if each.started - STALL <= ended and each.ended + STALL >= started]
    causes = [str(each.fault) for each in able]
    causes += [f"the machine stalled for {each.ended - each.started:.1f} s" for each in stalls]
    over = max([started, *(each.ended for each in near), *(each.ended for each in stalls)])
    if not causes or ended > over + RECOVERY:
        return (), 0
    return tuple(causes), max(able, key=lambda each: each.started).fault.number if able else 0


def _may_begin(done: Done, near: Sequence[Done], signer: str, started: float, failsafe: bool) -> bool:
    """Whether a fault can have begun a gap after the blocks of `signer`."""
    if done.failed or done.started > started + 0.5 or done.ended + REACTION < started:
        return False
    costs = KINDS[done.fault.kind].costs
    if costs == "pair":  # etcd may be away, and so may a promise, but not both
        lasts = done.fault.kind == "etcd-away" and not failsafe and done.ended - done.started > BORNE
        return lasts or any(_with(done, each) for each in near if each is not done)
    return costs == "group" or (costs == "leader" and done.fault.target == signer)


def _with(done: Done, other: Done) -> bool:
    """Whether `other` may have made it worse at the time of `done`, or shortly after."""
    if KINDS[other.fault.kind].costs == "nobody" or other.failed:
        return False
    return other.started <= done.ended + VALIDITY and done.started <= other.ended + VALIDITY


def story(history: History, started: float, ended: float) -> str:
    """Return all that is known of a span of time, in order: for people who want to know why."""
    found: list[tuple[float, str]] = []
    for done in history.done:
        found.append((done.started, f"FAULT    {done.fault}{' (failed: ' + done.failed + ')' if done.failed else ''}"))
        if done.fault.length:
            found.append((done.ended, f"fault    #{done.fault.number} {done.fault.kind} {done.fault.target} is over"))
    found += [(each.at, f"{each.node:8} {each.phase} (epoch {each.epoch}): {each.reason}") for each in history.changes]
    found += [(each.at, f"{each.who:8} {each.text}") for each in history.notes]
    found += [(each.started, f"{each.node:8} is not governed from here") for each in history.ungoverned]
    found += [(each.ended, f"{each.node:8} is governed from here") for each in history.ungoverned]
    found += [(each.started, f"MACHINE  stalled for {each.ended - each.started:.2f} s") for each in history.stalls]
    found += _signed(history, started, ended)
    lines = [f"{at - history.began:9.3f}  {text}" for at, text in sorted(found) if started <= at <= ended]
    return "\n".join(lines)


def _signed(history: History, started: float, ended: float) -> Iterator[tuple[float, str]]:
    """Yield the blocks of a span as runs: where a node begins to sign, and its last block before another one does."""
    inside = sorted((each for each in history.signatures if started <= each.wall <= ended), key=lambda each: each.wall)
    for _, run in itertools.groupby(inside, key=lambda each: each.node):
        blocks = list(run)
        text = f"{blocks[0].node:8} signs block {blocks[0].num} {blocks[0].id} for slot {blocks[0].slot}"
        if len(blocks) > 1:
            text += (
                f", and {len(blocks) - 1} more up to slot {blocks[-1].slot} at {blocks[-1].wall - history.began:.3f}"
            )
        yield blocks[0].wall, text
