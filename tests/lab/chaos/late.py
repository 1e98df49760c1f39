"""What a node signed after another one had been elected: with signing gates nobody may, whatever became of it. Pure.

The judge of slots cannot see it: a nodeos that was frozen with a block open signs that block when it thaws, for a slot
in which nobody else led. One way to that is known and left: its signature was given in time, and it was frozen in the
milliseconds before it read it; nodeos takes the signature then, though its time-out is long over.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterator, Sequence

from tests.lab.chaos.history import Change, Done, History, Late, Thaw
from tests.lab.evidence import Signature

APPLIED = 0.6
"""Seconds after another one's election within which a signature that left before is still made a block, and logged."""
CLOSE = 0.2
AFTER = 10.0
"""Seconds before and after the noted end of a freeze in which what a node signs is taken for its consequence."""
SIGNED = 2.0
"""Seconds before a freeze in which the node must have signed last, to count as one that was frozen while it signed."""


def find_late(history: History, signatures: Sequence[Signature]) -> Iterator[Late]:
    """Yield the signatures of nodes other than the one that was elected last, and how long before that was."""
    elections = _elections(history)
    moments = [each.at for each in elections]
    for each in signatures:
        number = bisect.bisect_right(moments, each.wall) - 1
        while number >= 0 and elections[number].node != each.node:
            number -= 1
        over = elections[number + 1].at if number + 1 < len(elections) else None
        if over is not None and over <= each.wall:
            yield Late(each, round(each.wall - over, 3))


def find_thaws(history: History, signatures: Sequence[Signature]) -> Iterator[Thaw]:
    """Yield the nodes that were frozen while they signed, until another one was elected, and what they did then."""
    late = list(find_late(history, signatures))
    for done in history.done:
        node = _signed_last(done, signatures)
        if node and not done.failed and _freezes_nodeos(done) and node == (done.fault.target or node):
            elected = [each for each in _elections(history) if done.started <= each.at <= done.ended]
            if any(each.node != node for each in elected):
                mine = [each.signature.wall for each in late if each.signature.node == node]
                stale = sum(-CLOSE <= wall - done.ended <= AFTER for wall in mine)
                yield Thaw(done.fault.number, node, stale)


def _elections(history: History) -> list[Change]:
    return sorted((each for each in history.changes if each.key == "elected"), key=lambda each: each.at)


def _freezes_nodeos(done: Done) -> bool:
    kind, choice = done.fault.kind, done.fault.choice
    several = kind in ("parts-frozen", "signer-frozen")
    return kind == "nodeos-frozen" or (several and "nodeos" in choice.split("+"))


def _signed_last(done: Done, signatures: Sequence[Signature]) -> str:
    """Return who signed last before a fault, nothing if nobody did for some time."""
    before = [each for each in signatures if done.started - SIGNED <= each.wall <= done.started]
    return before[-1].node if before else ""
