"""SIMULATED nodeos of one group: a chain of two producers by the clock, and who of the group may sign."""

from __future__ import annotations

from agent.core.model.chain import ChainInfo, Header, Peers, ProcessId, Producer, Schedule
from agent.core.model.finality import Finality
from agent.core.model.slots import EPOCH, REPETITIONS, SLOT
from agent.ports import Clock

OURS, OTHERS = "ours", "someoneelse1"
SCHEDULE = Schedule(1, (Producer(OTHERS, ("EOS1",)), Producer(OURS, ("EOS2",))))
CHAIN = "c" * 64
PROCESS = ProcessId(1, 1)


class Signers:
    """Who of a group is resumed. `doubled` counts the resumes that found another one so: the number that must be 0.

    first  the first block that may be ours, 0: nobody was ever resumed, and blocks of ours would be a stranger's (R18)
    """

    def __init__(self) -> None:
        self.now: set[str] = set()
        self.first = 0
        self.doubled = 0

    def add(self, name: str) -> None:
        """Let one sign."""
        self.doubled += bool(self.now - {name})
        self.now.add(name)


class LightNodeos:
    """The port `Nodeos`: answers at once. Our blocks come in our turns, as if whoever leads had signed them."""

    def __init__(self, name: str, signers: Signers, clock: Clock) -> None:
        self._name, self._signers, self._clock = name, signers, clock

    def pause(self, timeout_s: float) -> None:
        """See the port."""
        self._signers.now.discard(self._name)

    def resume(self, timeout_s: float) -> None:
        """See the port."""
        self._signers.first = self._signers.first or self._num()
        self._signers.add(self._name)

    def paused(self, timeout_s: float) -> bool:
        """See the port."""
        return self._name not in self._signers.now

    def info(self, timeout_s: float) -> ChainInfo:
        """See the port."""
        head = self.block(self._num(), timeout_s)
        return ChainInfo(CHAIN, "v4.1.0", head.num, head.id, head.time, head.producer, head.num - 24, head.time)

    def _num(self) -> int:
        return (self._clock.wall() - EPOCH) // SLOT

    def peers(self, timeout_s: float) -> Peers:
        """See the port."""
        return Peers(3, 3)

    def schedule(self, timeout_s: float) -> Schedule:
        """See the port."""
        return SCHEDULE

    def finality(self, timeout_s: float) -> Finality:
        """See the port."""
        return Finality()

    def block(self, num: int, timeout_s: float) -> Header:
        """See the port."""
        ours = num % (2 * REPETITIONS) >= REPETITIONS and 0 < self._signers.first <= num
        return Header(num, f"{num:064x}", EPOCH + num * SLOT, OURS if ours else OTHERS, f"{num - 1:064x}")
