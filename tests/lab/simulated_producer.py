"""How a SIMULATED nodeos makes blocks: when it opens one, when it signs it, what pause and resume do to it.

The timing is that of nodeos up to Leap 4. A block is opened a slot before its time and signed at its time; pause only
keeps the next one from being opened; resume opens one at once, for the slot that has begun. A process that is frozen
signs its open block when it thaws, whatever the time is then.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from agent.core.model.slots import slot_of
from tests.lab.evidence import Signature
from tests.lab.simulated_chain import SimulatedChain, time_of


def wall_ms() -> int:
    """Return the time of day in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


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
    ) -> None:
        self._chain, self._node, self._producer, self._address = chain, node, producer, address
        self._paused, self._live, self._signed = paused, stale, signed
        self._changed = threading.Condition()
        self._over = threading.Event()
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
        """Whether production is paused."""
        with self._changed:
            return self._paused

    def pause(self) -> None:
        """Open no further block."""
        with self._changed:
            self._paused = True

    def resume(self) -> None:
        """Open blocks again, from the slot on that has begun."""
        with self._changed:
            self._paused = False
            self._changed.notify_all()

    def _run(self) -> None:
        while not self._over.is_set():
            self._chain.greet(self._node, self._address, wall_ms())
            slot = slot_of(wall_ms()) + 1
            self._live = self._live or self._chain.head().slot >= slot - 2
            if not self._opened(slot):
                continue
            if self._over.wait(max(0, time_of(slot) - wall_ms()) / 1000) or self._producer is None:
                continue
            self._signed(self._chain.sign(self._node, self._producer, slot, wall_ms()))

    def _opened(self, slot: int) -> bool:
        """Wait until a block for `slot` may be opened; False when the slot, or all, is over."""
        mine = self._live and self._producer == self._chain.producer_of(slot)
        with self._changed:
            while not self._over.is_set():
                left = time_of(slot) - wall_ms()
                if left <= 0:
                    return False
                if mine and not self._paused:
                    return True
                self._changed.wait(left / 1000)
        return False
