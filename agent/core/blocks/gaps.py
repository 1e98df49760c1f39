"""The turns of our producer in the schedule, as dates: when a window is on, when the next one comes, where a gap is.

Pure arithmetic on milliseconds since 1970. A block is dated with its slot and made in the half second before that date,
at the latest: up to Leap 4 one by one, from Leap 5 on ahead of the wall clock. So once the date of the last slot of a
window is over, nothing of ours is in flight, whatever the version; inside a window only B of the timings tells.
"""

from __future__ import annotations

from dataclasses import dataclass

from agent.core.model.chain import Schedule
from agent.core.model.slots import EPOCH, REPETITIONS, SLOT, slot_of
from agent.core.model.store import Ms

QUIET: Ms = SLOT
"""After the date of the last slot: a block that was late is done (Leap 3.2: at most 449 ms, Spring 1.2: 460 ms)."""
EARLY: Ms = 2 * SLOT
"""Before the date of the first slot: its block is begun one slot early, and a handover is to be over a slot before."""


@dataclass(frozen=True, slots=True)
class Turns:
    """The place of our producer (from 0) among `producers` of the active schedule."""

    place: int
    producers: int

    @property
    def alone(self) -> bool:
        """Whether every slot is ours: then there is no gap, and no window to wait for."""
        return self.producers < 2

    @property
    def _round(self) -> int:
        return self.producers * REPETITIONS

    def ours(self, date: Ms) -> bool:
        """Tell whether a block of that date stands in a slot of ours."""
        return slot_of(date) % self._round // REPETITIONS == self.place

    def window(self, wall: Ms) -> tuple[Ms, Ms]:
        """Return the dates of the first and the last slot of the window that is not over (with QUIET) at `wall`."""
        slot = slot_of(wall - QUIET)
        first = slot - slot % self._round + self.place * REPETITIONS
        while date(first + REPETITIONS - 1) + QUIET <= wall:
            first += self._round
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
        opened = first - (self._round - REPETITIONS + 1) * SLOT + QUIET
        closes = max(first - EARLY - span, opened + SLOT)
        return wall if wall <= closes else last + QUIET

    def own(self, wall: Ms, count: int) -> tuple[Ms, Ms]:
        """Return the dates of the first and of the `count`-th of our slots that are dated `wall` or later."""
        slot = slot_of(wall + SLOT - 1)
        into = (slot - self.place * REPETITIONS) % self._round  # slots since the last window began
        first = slot if into < REPETITIONS else slot + self._round - into
        rounds, rest = divmod((into if into < REPETITIONS else 0) + count - 1, REPETITIONS)
        begin = first - (into if into < REPETITIONS else 0)
        return date(first), date(begin + rounds * self._round + rest)


def date(slot: int) -> Ms:
    """Return the date of a slot."""
    return EPOCH + slot * SLOT


def turns(schedule: Schedule | None, producer: str) -> Turns | None:
    """Return the turns of `producer`; None when it is not in the schedule, or none was read."""
    names = [each.name for each in schedule.producers] if schedule else []
    return Turns(names.index(producer), len(names)) if producer in names else None
