"""Following the blocks of our own nodeos's chain: which have to be read, and what stands at each number. Pure.

`get_info` tells the head once a second; the blocks between two heads are read only if they may be ours, at most
`AT_ONCE` with each head, so that this costs no more than two small requests a second. Every block that was read names
the one before it: when that is not the one we know, the chain has switched to another branch, and what is below is read
again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from agent.core.blocks.schedule import ProducerWindows
from agent.core.model.chain import ChainInfo, Header
from agent.core.model.copying import replace
from agent.core.model.slots import slot_of
from agent.core.model.store import Ms

KEPT = 64
"""Blocks that are remembered: two turns, and the time until a window is counted."""
BEHIND = 24
"""A head further ahead than two turns: nodeos is catching up, and what it skips is not looked at."""
AT_ONCE = 2
WITHIN: Ms = 1000
"""Total deadline of one reading."""
TRIES = 3
"""Readings in a row that may fail before the blocks are given up."""


@dataclass(frozen=True, slots=True)
class ReadBlocks:
    """Read the headers of these blocks of our own chain, `within` ms in all."""

    call: int
    nums: tuple[int, ...]
    within: Ms = WITHIN


@dataclass(frozen=True, slots=True)
class BlocksRead:
    """What came of it: those that were read, in the order of the question; `error` when any is missing."""

    call: int
    headers: tuple[Header, ...] = ()
    error: str = ""


@dataclass(frozen=True, slots=True)
class Following:
    """The newest blocks by their number, as the chain had them when they were last read.

    since   the first slot from which on nothing was skipped
    wanted  numbers to read
    call    of the reading under way, 0: none; given up at `until`
    """

    blocks: Mapping[int, Header] = field(default_factory=dict)
    since: int = 0
    wanted: tuple[int, ...] = ()
    call: int = 0
    until: Ms = 0
    calls: int = 0
    tries: int = 0

    @property
    def top(self) -> Header | None:
        """The newest block."""
        return self.blocks[max(self.blocks)] if self.blocks else None

    @property
    def settled(self) -> bool:
        """Whether nothing has to be read."""
        return not self.wanted and not self.call


def head_seen(found: Following, info: ChainInfo, windows: ProducerWindows | None) -> Following:
    """Take a head. What lies between it and the one before is wanted where it may be ours."""
    head = Header(info.head_num, info.head_id, info.head_time, info.head_producer)
    top = found.top
    if top is None or head.num > top.num + BEHIND:
        return _anew(found, head)
    if head.num > top.num:
        between = (
            num for num in range(top.num + 1, head.num) if windows is None or _may_be_ours(num, top, head, windows)
        )
        return _with(found, {**found.blocks, head.num: head}, (*found.wanted, *between))
    known = found.blocks.get(head.num)
    if head.num == top.num and known is not None and known.id == head.id:
        return found
    kept = {num: each for num, each in found.blocks.items() if num < head.num}
    below = () if known is not None and known.id == head.id else (head.num - 1,)
    same = {head.num: known if known is not None and known.id == head.id else head}
    return _with(found, kept | same, (*(num for num in found.wanted if num < head.num), *below))


def _anew(found: Following, head: Header) -> Following:
    """Begin again at `head`: what lies before was not looked at."""
    return Following({head.num: head}, slot_of(head.time) + 1, calls=found.calls)


def _may_be_ours(num: int, low: Header, high: Header, windows: ProducerWindows) -> bool:
    """Tell whether the block `num` between two others can stand in a slot of ours."""
    return windows.touches(slot_of(low.time) + (num - low.num), slot_of(high.time) - (high.num - num))


def _with(found: Following, blocks: Mapping[int, Header], wanted: tuple[int, ...]) -> Following:
    top = max(blocks)
    kept = {num: each for num, each in blocks.items() if num > top - KEPT}
    least = min(kept)
    return replace(found, blocks=kept, wanted=tuple(sorted({num for num in wanted if least <= num <= top})))


def look_again(found: Following, num: int) -> Following:
    """Want a block to be read again."""
    return _with(found, found.blocks, (*found.wanted, num)) if found.blocks else found


def ask(found: Following, now: Ms) -> tuple[Following, ReadBlocks | None]:
    """Return the next reading, if one is due: the newest are no more urgent than the oldest, so those come first."""
    if not found.wanted or (found.call and now < found.until):
        return found, None
    calls = found.calls + 1
    nums = found.wanted[:AT_ONCE]
    return replace(found, call=calls, calls=calls, until=now + 2 * WITHIN), ReadBlocks(calls, nums)


def blocks_read(found: Following, answer: BlocksRead) -> Following:
    """Note blocks that were read. Those that do not link with what is known are wanted again, down to where they do."""
    if answer.call != found.call:
        return found
    found = replace(found, call=0, tries=found.tries + 1 if answer.error else 0)
    if found.tries >= TRIES and found.top is not None:
        return replace(_anew(found, found.top), tries=0)
    blocks, again = dict(found.blocks), set(found.wanted)
    top = max(blocks)
    for header in answer.headers:
        again.discard(header.num)
        if header.num > top:
            continue
        blocks[header.num] = header
        below, above = blocks.get(header.num - 1), blocks.get(header.num + 1)
        if below is not None and below.id != header.previous:
            again.add(below.num)
        if above is not None and above.previous and above.previous != header.id:
            again.add(above.num)
    return _with(found, blocks, tuple(again))
