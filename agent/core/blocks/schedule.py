"""The windows of our producer: which slots of the schedule are ours, as slots and as dates, and the gaps between them.

Pure arithmetic; dates are milliseconds since 1970. A block is dated with its slot and made in the half second before
that date, at the latest: up to Leap 4 one by one, from Leap 5 on ahead of the wall clock. So once the date of the last
slot of a window is over, nothing of ours is in flight, whatever the version; inside one only B of the timings tells.
"""

from __future__ import annotations

from dataclasses import dataclass

from agent.core.model.chain import Schedule
from agent.core.model.slots import REPETITIONS, SLOT, date, producer_index, slot_of
from agent.core.model.store import Ms

QUIET: Ms = SLOT
"""After the date of the last slot: a block that was late is done (Leap 3.2: at most 449 ms, Spring 1.2: 460 ms)."""
EARLY: Ms = 2 * SLOT
"""Before the date of the first slot: its block is begun one slot early, and a handover is to be over a slot before."""


@dataclass(frozen=True, slots=True)
class ProducerWindows:
    """The place `index` (from 0) in a schedule of `producers`. With one producer every slot is ours, in spans of 12."""

    producers: int
    index: int

    @property
    def alone(self) -> bool:
        """Whether every slot is ours: then there is no gap, and no window to wait for."""
        return self.producers < 2

    @property
    def period(self) -> int:
        """Slots from the beginning of one own window to that of the next."""
        return self.producers * REPETITIONS

    def ours(self, slot: int) -> bool:
        """Tell whether a slot is ours."""
        return producer_index(slot, self.producers) == self.index

    def next_start(self, slot: int) -> int:
        """Return the first slot of the first own window that begins at `slot` or later."""
        return slot + (self.index * REPETITIONS - slot) % self.period

    def count(self, first: int, end: int) -> int:
        """Return how many slots from `first` on and before `end` are ours."""
        return self._before(end) - self._before(first) if end > first else 0

    def _before(self, slot: int) -> int:
        rounds, rest = divmod(slot, self.period)
        return rounds * REPETITIONS + min(max(rest - self.index * REPETITIONS, 0), REPETITIONS)

    def touches(self, first: int, last: int) -> bool:
        """Tell whether any slot from `first` to `last` is ours."""
        return self.count(first, last + 1) > 0

    def ours_at(self, date: Ms) -> bool:
        """Tell whether a block of that date stands in a slot of ours."""
        return self.ours(slot_of(date))

    def last(self, wall: Ms) -> Ms:
        """Return the date of our last slot that is dated `wall` or earlier."""
        slot = slot_of(wall)
        into = (slot - self.index * REPETITIONS) % self.period
        return date(slot - max(0, into - REPETITIONS + 1))

    def window(self, wall: Ms) -> tuple[Ms, Ms]:
        """Return the dates of the first and the last slot of the window that is not over (with QUIET) at `wall`."""
        slot = slot_of(wall - QUIET)
        first = slot - slot % self.period + self.index * REPETITIONS
        while date(first + REPETITIONS - 1) + QUIET <= wall:
            first += self.period
        return date(first), date(first + REPETITIONS - 1)

    def away(self, wall: Ms) -> Ms:
        """Return how far the next window is, counted to when its first block may be begun; 0 while one is on."""
        return 0 if self.alone else max(0, self.window(wall)[0] - EARLY - wall)

    def gap(self, wall: Ms, span: Ms) -> Ms:
        """Return the first moment from `wall` on at which a handover that takes `span` may begin at no cost.

        Where no gap is long enough, it is the half second after a window.
        """
        if self.alone:
            return wall
        first, last = self.window(wall)
        opened = first - (self.period - REPETITIONS + 1) * SLOT + QUIET
        closes = max(first - EARLY - span, opened + SLOT)
        return wall if wall <= closes else last + QUIET

    def own(self, wall: Ms, count: int) -> tuple[Ms, Ms]:
        """Return the dates of the first and of the `count`-th of our slots that are dated `wall` or later."""
        slot = slot_of(wall + SLOT - 1)
        into = (slot - self.index * REPETITIONS) % self.period  # slots since the last window began
        first = slot if into < REPETITIONS else slot + self.period - into
        rounds, rest = divmod((into if into < REPETITIONS else 0) + count - 1, REPETITIONS)
        begin = first - (into if into < REPETITIONS else 0)
        return date(first), date(begin + rounds * self.period + rest)


def windows_of(schedule: Schedule | None, producer: str) -> ProducerWindows | None:
    """Return the windows of `producer`; None when it is not scheduled, or no schedule is known."""
    names = [each.name for each in schedule.producers] if schedule else []
    return ProducerWindows(len(names), names.index(producer)) if producer in names else None
