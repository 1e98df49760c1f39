"""Who signed which slot: read from every node's own log, and from the observer's chain. Reading only lives here.

A node's log tells each block that it signed, whether or not anybody took it. Blocks of two nodes for one slot are a
double signature, also when they are byte-identical: empty blocks of two nodes are, and hide it from the chain.
"""

from __future__ import annotations

import functools
import itertools
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from agent.core.model.slots import missed, slot_of
from tests.lab.errors import LabError
from tests.lab.nodeos import Node

PRODUCED = re.compile(
    r"^\w+\s+(?P<wall>\S+) \S+\s+\S+\s+\S+\s+\] Produced block (?P<id>\w+)\.\.\. #(?P<num>\d+) "
    r"@ (?P<slot>\S+) signed by (?P<producer>\S+)"
)


@dataclass(frozen=True)
class Signature:
    """A node signed a block. `wall` in seconds since 1970, `id` the part of the block id that nodeos logs."""

    node: str
    producer: str
    slot: int
    num: int
    id: str
    wall: float


@dataclass(frozen=True)
class Header:
    """A block of the observer's chain; `time` in ms since 1970."""

    num: int
    id: str
    time: int
    producer: str


def at_ms(text: str) -> int:
    """Return a time of nodeos, which is in UTC, in ms since 1970."""
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


@functools.lru_cache(1 << 14)  # logs are read again and again while somebody waits for a block
def signature(node: str, line: str) -> Signature | None:
    """Return the block that a line of a node's log tells of, None where it tells of none.

    LabError when it is not understood: evidence that cannot be read is not evidence of nothing.
    """
    if "Produced block" not in line:
        return None
    if (match := PRODUCED.match(line)) is None:
        raise LabError(f"{node} tells of a block in a form that is not known: {line.strip()}")
    slot, wall = slot_of(at_ms(match["slot"])), at_ms(match["wall"]) / 1000
    return Signature(node, match["producer"], slot, int(match["num"]), match["id"], wall)


def read_log(node: str, log: Path) -> list[Signature]:
    """Return what `node` signed according to its log, in order. LabError: see `signature`."""
    found: list[Signature] = []
    for path in (log.with_name(log.name + ".1"), log):
        if path.exists():
            with path.open(errors="replace") as file:  # the last line may be half written
                whole = (line for line in file if "Produced block" in line and line.endswith("\n"))
                found += [each for line in whole if (each := signature(node, line))]
    return found


def signed(nodes: Iterable[Node]) -> list[Signature]:
    """Return what all nodes signed, in the order of time."""
    return sorted((each for node in nodes for each in read_log(node.name, node.log)), key=lambda each: each.wall)


def doubles(signatures: Iterable[Signature]) -> dict[tuple[str, int], list[Signature]]:
    """Return the slots that were signed more than once for one producer: by two nodes, or with two blocks."""
    by_slot: dict[tuple[str, int], list[Signature]] = defaultdict(list)
    for each in signatures:
        by_slot[each.producer, each.slot].append(each)
    return {key: found for key, found in by_slot.items() if len({(each.node, each.id) for each in found}) > 1}


def forks(signatures: Iterable[Signature]) -> list[tuple[str, int]]:
    """Return the slots for which there are two unlike blocks: from the first on a chain can have two branches."""
    return [slot for slot, found in doubles(signatures).items() if len({each.id for each in found}) > 1]


def headers(observer: Node, first: int, last: int) -> list[Header]:
    """Return blocks of the observer's chain."""
    found = []
    for num in range(max(1, first), last + 1):
        block = observer.call("/v1/chain/get_block", {"block_num_or_id": num})
        found.append(Header(num, block["id"], at_ms(block["timestamp"]), block["producer"]))
    return found


def gaps(chain: list[Header]) -> list[tuple[int, int]]:
    """Return (block, slots missed after it) for each gap."""
    pairs = ((one.num, missed(one.num, one.time, two.num, two.time)) for one, two in itertools.pairwise(chain))
    return [(num, count) for num, count in pairs if count]


def slots_missed(observer: Node, first: int, last: int | None = None) -> int:
    """Return how many slots between two blocks of the observer's chain have no block."""
    return sum(count for _, count in gaps(headers(observer, first, last if last is not None else observer.head)))


def first_after(signatures: Iterable[Signature], node: str, wall: float) -> Signature | None:
    """Return the first block that `node` signed after a moment."""
    return next((each for each in signatures if each.node == node and each.wall >= wall), None)
