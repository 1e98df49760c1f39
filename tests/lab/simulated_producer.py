"""How a SIMULATED nodeos makes blocks: when it opens one, when it signs it, what pause and resume do to it.

Up to Leap 4 a block is opened a slot before its time and signed at its time; with `offset` (produce-block-offset-ms,
from Leap 5 on) the 12 of a turn follow each other faster, so that the last leaves so much before its time. Pause only
keeps the next one from being opened; resume opens one at once, for the slot that has begun. A process that is frozen
signs its open block when it thaws, whatever the time is then.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from agent.core.model.slots import REPETITIONS, SLOT, slot_of
from tests.lab import simulated_finality as finality
from tests.lab.evidence import Signature
from tests.lab.simulated_chain import Block, SimulatedChain, time_of
from tests.lab.simulated_votes import RECENT_MS, TIMEOUT_MS, VoteTracker

LONG_AGO_MS = 60_000
"""How old the blocks are that a node takes while it is behind."""


def wall_ms() -> int:
    """Return the time of day in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class Savanna:
    """What differs with Spring. `finalizers`: the keys that vote; `offset` of a turn; all in ms."""

    finalizers: tuple[str, ...] = ()
    vote_timeout: int = TIMEOUT_MS
    offset: int = 0

    def begins(self, slot: int) -> int:
        """Return when the block for `slot` is opened."""
        return time_of(slot - 1) - self.offset * (slot % REPETITIONS) // REPETITIONS

    def ends(self, slot: int) -> int:
        """Return when it is signed."""
        return time_of(slot) - self.offset * (slot % REPETITIONS + 1) // REPETITIONS

    def slot(self, wall: int) -> int:
        """Return the slot whose block is open at `wall`, or comes next."""
        return next(
            slot for slot in range(slot_of(wall) + 1, slot_of(wall + 2 * SLOT * REPETITIONS)) if self.ends(slot) > wall
        )


class BlockMaker:
    """Signs for `producer` (None: an observer) while it is not paused. Safe to use from several threads.

    `stale`: as enable-stale-production; without it nothing is produced until one timely block was seen. `address` is
    what the others list as a peer.
    """

    def __init__(
        self,
        chain: SimulatedChain,
        node: str,
        producer: str | None,
        address: str,
        *,
        paused: bool,
        stale: bool,
        signed: Callable[[Signature], None],
        savanna: Savanna = Savanna(),
    ) -> None:
        self._chain, self._node, self._producer, self._address = chain, node, producer, address
        self._paused, self._live, self._signed, self._savanna = paused, stale, signed, savanna
        self._votes = VoteTracker(producer, savanna.vote_timeout)
        self._changed = threading.Condition()
        self._over = threading.Event()
        self._until = 0  # pause_at_block: the last block that this node takes or makes, 0: not set
        self._mute = False
        self._busy_until = self._behind_until = 0.0
        self._seen: Block | None = None
        self._thread = threading.Thread(target=self._run, name=f"blocks-{node}", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """End; a block that is open is not signed any more."""
        self._over.set()
        with self._changed:
            self._changed.notify_all()
        self._thread.join()

    @property
    def paused(self) -> bool:
        """Whether production is paused: explicitly, or for want of votes."""
        with self._changed:
            return self._paused or self._votes.paused(wall_ms())

    @property
    def explicitly_paused(self) -> bool:
        """Whether somebody paused it; what nodeos does not tell."""
        with self._changed:
            return self._paused

    def pause(self) -> None:
        """Open no further block."""
        with self._changed:
            self._paused = True

    def resume(self) -> None:
        """Open blocks again, from the slot on that has begun; the time-out for votes begins anew."""
        with self._changed:
            self._paused, self._until = False, 0
            self._votes.resumed()
            self._take_old()
            self._changed.notify_all()

    def pause_at(self, num: int) -> None:
        """Take and make no block after this one; `paused` says nothing of it."""
        with self._changed:
            self._until = num

    def mute(self) -> None:
        """Get no signature any more, as with a dead keosd: each block is dropped, and the chain is followed at once."""
        self._mute = True

    def busy(self, seconds: float) -> None:
        """Have the main thread do nothing else for so long."""
        with self._changed:
            self._busy_until = time.monotonic() + seconds

    def behind(self, seconds: float) -> None:
        """Be behind the chain for so long: every block that is taken is an old one, and none is voted for."""
        with self._changed:
            self._behind_until = time.monotonic() + seconds
            self._votes = VoteTracker(self._producer, self._savanna.vote_timeout)

    def wait_main(self) -> bool:
        """Return once the main thread is free; False when all is over before."""
        while (left := self._busy_until - time.monotonic()) > 0:
            if self._over.wait(min(left, 0.05)):
                return False
        return True

    def head(self) -> Block:
        """Return the head as this node has it."""
        head, until = self._chain.head(), self._until
        return self._chain.block(until) or head if 0 < until < head.num else head

    def _run(self) -> None:
        rhythm = self._savanna
        while not self._over.is_set():
            self.wait_main()
            self._chain.greet(self._node, self._address, wall_ms())
            slot = rhythm.slot(wall_ms())
            self._live = self._live or self._chain.head().slot >= slot - 2
            self._look()
            if not self._opened(slot):
                continue
            if self._over.wait(max(0, rhythm.ends(slot) - wall_ms()) / 1000) or self._producer is None:
                continue
            if self._mute:
                continue
            self._signed(self._chain.sign(self._node, self._producer, slot, wall_ms()))

    def _look(self) -> None:
        """Vote for the head, and see who else has."""
        policy = finality.keys(self._chain)
        if not policy:
            return
        now, head, behind = wall_ms(), self.head(), time.monotonic() < self._behind_until
        votes_for = head.num == self._chain.head().num and now - head.time_ms < RECENT_MS
        for key in self._savanna.finalizers if votes_for and not behind else ():
            finality.vote(self._chain, key, head.num, head.slot, now)
        votes = {} if behind else {key: at for key, _, _, at in finality.votes(self._chain)}
        with self._changed:
            new = self._seen is not None and head.num > self._seen.num  # what it starts with it did not receive
            self._votes.look(policy, votes, min(now, head.time_ms) if new and not behind else None)
            self._take_old()
            self._seen = head

    def _take_old(self) -> None:
        """Take a block that is long past, as a node does all the time that is behind."""
        if time.monotonic() < self._behind_until:
            self._votes.received(wall_ms() - LONG_AGO_MS)

    def _opened(self, slot: int) -> bool:
        """Wait until a block for `slot` may be opened; False when the slot, or all, is over."""
        mine = self._live and self._producer == self._chain.producer_of(slot)
        with self._changed:
            while not self._over.is_set():
                now = wall_ms()
                left = self._savanna.ends(slot) - now
                if left <= 0:
                    return False
                stopped = self._paused or self._votes.paused(now) or 0 < self._until <= self._chain.head().num
                early = self._savanna.begins(slot) - now
                if mine and not stopped and early <= 0 and time.monotonic() >= self._busy_until:
                    return True
                self._changed.wait((early if mine and 0 < early < left else left) / 1000)
        return False
