"""Whose slots are ours: the turns of one producer in a schedule, as pure arithmetic on slots."""

from __future__ import annotations

from dataclasses import dataclass

from agent.core.model.chain import Schedule
from agent.core.model.slots import REPETITIONS, producer_index


@dataclass(frozen=True, slots=True)
class Turns:
    """The place `index` in a schedule of `producers`. With one producer every slot is ours, in spans of 12."""

    producers: int
    index: int

    @property
    def period(self) -> int:
        """Slots from the beginning of one own turn to that of the next."""
        return self.producers * REPETITIONS

    def ours(self, slot: int) -> bool:
        """Tell whether a slot is ours."""
        return producer_index(slot, self.producers) == self.index

    def next_start(self, slot: int) -> int:
        """Return the first slot of the first own turn that begins at `slot` or later."""
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


def turns_of(schedule: Schedule | None, producer: str) -> Turns | None:
    """Return the turns of `producer`; None when it is not scheduled, or no schedule is known."""
    names = [each.name for each in schedule.producers] if schedule else []
    return Turns(len(names), names.index(producer)) if producer in names else None
