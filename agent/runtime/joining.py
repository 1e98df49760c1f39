"""Looking before touching: whether this agent belongs to its group, and to its nodeos, before the first pause.

The first act of an agent is to pause its nodeos, and that is a safety act: a nodeos that nobody vouches for shall not
sign. But when the configuration is wrong, that nodeos is another agent's, which may be leading with it, or another
producer's. So the agent first reads the group and asks its nodeos, all within `LOOK_S`, and refuses to start where
something contradicts. Why the delay costs no safety:

- An agent with a tenure in its run-time file does not look. Its deadline (V - A) runs, and the tenure itself says that
  this nodeos is ours.
- Without a tenure this agent has allowed nothing to sign. What signs has signed before it came, and the look adds at
  most `LOOK_S` to that. A tenure whose run-time file was lost ends by its guard, as it does when no agent comes back.
- An agent that may adopt its nodeos (R19, `core.leadership.adoption`) learns here whether that nodeos produces already.
- In doubt (etcd or nodeos gives no answer in time, or a report under our own name does not move) the pause comes, as
  ever: without it a second producer could go on, and with it some slots are lost at most.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from agent.core.blocks.schedule import ProducerWindows, windows_of
from agent.core.leadership.transitions import ACTIVE
from agent.core.model import records
from agent.core.model.belonging import Belonging, clash
from agent.core.model.chain import ChainInfo, Header
from agent.core.model.copying import replace
from agent.core.model.fields import RecordError, shown
from agent.core.model.keys import Keys
from agent.core.model.records import GroupView, Member
from agent.core.model.slots import REPETITIONS, date, slot_of
from agent.core.model.store import Compare, Ms, Put, Snapshot, Txn
from agent.core.node.state import LookedBack
from agent.errors import NodeosError, NodeosTimeout, NotOursError, StoreError
from agent.host.deadline import Deadline
from agent.ports import Nodeos, Store

T = TypeVar("T")
log = logging.getLogger(__name__)

FORMAT_TEXT = b"1"
"""What stands in the key `format` of a group of this version."""
LOOK_S = 2.0
"""Total deadline of the look: four confirmations of a leader (R 0.5 s), so that one who lives is seen to move."""
ASK_S = 0.5
"""Of it, for each question to nodeos; it answers in a few ms, or it is busy and tells nothing in this time."""
FRESH: Ms = 3000
"""A producer that is alone in the schedule has signed within this time, or it does not sign."""
BEHIND: Ms = 60_000
"""One of several has not, where the head is older: nodeos catches up. Ten turns may be missed by others."""
AGAIN_S = 0.1
"""Between two looks at a heartbeat."""
TOLD_S = 10
"""For so long the report of a refusal stands: a supervisor starts a refused agent again sooner, and it stays."""


def format_problem(names: Keys, snapshot: Snapshot, node: str) -> str:
    """Return why this agent must not take part in a group as it stands, with the remedy; empty when it may.

    A group says its format once. Agents of 0.1 said none: they know nothing of peers, and would take over beside them.
    """
    for item in snapshot.items:
        if item.key == names.format and item.value.strip() != FORMAT_TEXT:
            return (
                f"the group {names.root} has the format {shown(item.value.decode(errors='replace'), 20)!r}, this agent "
                f"knows {FORMAT_TEXT.decode()}: install the version of the other agents here; nodeos was not touched"
            )
        if item.key.startswith(names.member("")) and item.lease and item.key != names.member(node):
            with suppress(ValueError, RecursionError):
                report = json.loads(item.value)
                if isinstance(report, dict) and "host_id" not in report and report.get("role") != records.REFUSED:
                    return (
                        f"{item.key} is of an agent of version 0.1, which knows nothing of peers: end all agents of "
                        "that version, then start those of this one (deploy/OPERATING.md); nodeos was not touched"
                    )
    return ""


def contradiction(names: Keys, snapshot: Snapshot, node: str, mine: Belonging, before: int | None = None) -> str:
    """Return why another member's report contradicts ours, with the remedy; empty when none does.

    Only reports on a lease count, for others may stand there for ever; with `before` only those of a lower revision.
    """
    for item in snapshot.items:
        if not item.key.startswith(names.member("")) or not item.lease:
            continue
        with suppress(RecordError):
            other = records.read_member(item.value)
            if (
                other.node == node
                or other.role == records.REFUSED
                or (before is not None and item.mod_revision >= before)
            ):
                continue
            if why := clash(mine, other.belonging, other.node):
                return why
    return ""


@dataclass(frozen=True, slots=True)
class JoiningFindings:
    """What a look has found out about production before this agent.

    claims  our nodeos is not paused, and its chain has a block of our producer in the newest window that could be (R19)
    past    which of our slots were looked at; None: they could not be
    """

    claims: bool = False
    past: LookedBack | None = None


class JoiningLook:
    """One look, by one agent that is about to start."""

    def __init__(self, store: Store, nodeos: Nodeos, names: Keys, node: str, wait: Callable[[float], object]) -> None:
        self._store = store
        self._nodeos = nodeos
        self._names = names
        self._node = node
        self._wait = wait
        self._deadline = Deadline(LOOK_S)

    def belongs(self, mine: Member) -> None:
        """See that this agent may start, `mine` being its report. NotOursError when not; returns within `LOOK_S`."""
        try:
            snapshot = self._store.range(self._names.root, self._deadline.remaining())
            if why := format_problem(self._names, snapshot, self._node):
                raise NotOursError(why)
            mine = replace(mine, chain=self._chain() or mine.chain)
            if why := contradiction(self._names, snapshot, self._node, mine.belonging):
                self._tell(mine, why)
                raise NotOursError(f"this agent does not belong to the group {self._names.root}: {why}")
            view = records.read_group(self._names, snapshot)
            if self._led_by_a_namesake(view) and not self._paused() and self._moves(view):
                raise NotOursError(
                    f"node {self._node} is alive elsewhere, and leads: nodeos was not touched; "
                    "give each agent of the group its own `node` name, or end the other one"
                )
        except StoreError as error:
            log.warning("the group cannot be read before the first pause, going on without: %s", error)

    def back(self, producer: str, wall: Ms) -> JoiningFindings:
        """Return what was signed for our producer before `wall` (ms since 1970), as our nodeos's chain shows it."""
        try:
            info, windows = self._ask(self._nodeos.info), windows_of(self._ask(self._nodeos.schedule), producer)
            if windows is None:
                return JoiningFindings()
            past = self._newest_window(info, windows, producer)
            fresh = past.own > 0 and wall - info.head_time < (FRESH if windows.alone else BEHIND)
            return JoiningFindings(fresh and not self._ask(self._nodeos.paused), past)
        except NodeosError as error:
            log.info("what was signed before cannot be told: %s", error)
            return JoiningFindings()

    def _newest_window(self, info: ChainInfo, windows: ProducerWindows, producer: str) -> LookedBack:
        """Look at our newest window; at the one before it as well when that has no block, for it may just begin."""
        last, found = slot_of(info.head_time), 0
        first = last
        for _ in range(2):
            while not windows.ours(last):
                last -= 1
            first = last
            while windows.ours(first - 1) and last - first < REPETITIONS - 1:
                first -= 1
            block = self._block_at(info, last)
            found = block.time if block.producer == producer and slot_of(block.time) >= first else 0
            if found:
                break
            last = first - 1
        return LookedBack(date(first), found, info)

    def _block_at(self, info: ChainInfo, slot: int) -> Header:
        """Return the newest block of a slot no later than `slot`: between two blocks there is at least one slot."""
        high, head = info.head_num, slot_of(info.head_time)
        low = max(1, high - max(0, head - slot))
        while low < high:
            middle = (low + high + 1) // 2
            if slot_of(self._ask(partial(self._nodeos.block, middle)).time) <= slot:
                low = middle
            else:
                high = middle - 1
        return self._ask(partial(self._nodeos.block, low))

    def _ask(self, question: Callable[[float], T]) -> T:
        """Ask nodeos, within what is left of the look."""
        left = self._deadline.remaining()
        if left <= 0:
            raise NodeosTimeout("the look is over")
        return question(min(ASK_S, left))

    def _tell(self, mine: Member, why: str) -> None:
        """Leave a report of the refusal for the others, who tell of it, unless one stands under our name."""
        reasons = (f"belonging: {why}",)
        report = replace(mine, role=records.REFUSED, healthy=False, able=False, reasons=reasons)
        key, left = self._names.member(self._node), self._deadline.remaining
        with suppress(StoreError):
            lease = self._store.grant(TOLD_S, left()).id
            put = Put(key, records.write(report), lease)
            self._store.txn(Txn((Compare(key, 0),), (put,)), left())

    def _chain(self) -> str:
        with suppress(NodeosError):
            return self._ask(self._nodeos.info).chain_id
        return ""

    def _paused(self) -> bool:
        """Tell whether nodeos is paused already, so that pausing it harms nobody."""
        with suppress(NodeosError):
            return self._ask(self._nodeos.paused)
        return False

    def _led_by_a_namesake(self, view: GroupView) -> bool:
        """Tell whether a report under our own name leads: by another agent, or by one that died a moment ago."""
        reports: list[Member] = [each for each in view.members if each.node == self._node]
        holds = view.held is not None and view.held.node == self._node
        return holds and any(each.role in {phase.value for phase in ACTIVE} for each in reports)

    def _moves(self, view: GroupView) -> bool:
        """Tell whether the heartbeat under our name is confirmed while we look: then its holder lives."""
        first = view.heartbeat.revision if view.heartbeat else 0
        while self._deadline.remaining() > 0:
            self._wait(AGAIN_S)
            found = self._store.range(self._names.heartbeat, max(AGAIN_S, self._deadline.remaining())).items
            if any(item.key == self._names.heartbeat and item.mod_revision != first for item in found):
                return True
        return False
