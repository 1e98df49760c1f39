"""What waits for one channel: bounded, the newest word for each key, the worst first. No thread, no I/O."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

from agent.core.alerts.notice import SEVERITIES, Notice, rank

CAPACITY = 200
"""Notices that wait for one channel."""
LEVELS = range(len(SEVERITIES) + 1)
GIVE_UP_S = {"info": 600.0, "warning": 3600.0, "critical": 3600.0}
"""How long a notice is worth trying: what is older misleads more than it tells. An end of an alert is never too old."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A notice that waits. `give_up_at` is in seconds of CLOCK_BOOTTIME."""

    notice: Notice
    give_up_at: float


class Waiting:
    """The queue of one channel. A newer word about a key replaces the one before it: nobody needs yesterday's.

    Every call takes the same short time, however much waits: the loop makes some of them.
    """

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        # ends of alerts stand apart: they are sent in the order of severity like the others, but never dropped for them
        self._lines = {(end, level): OrderedDict[str, Entry]() for end in (False, True) for level in LEVELS}
        self._where: dict[str, tuple[bool, int]] = {}

    def __len__(self) -> int:
        return len(self._where)

    def __iter__(self) -> Iterator[Notice]:
        return iter([entry.notice for line in self._lines.values() for entry in line.values()])

    def put(self, notice: Notice, now: float) -> bool:
        """Take a notice; tell whether one had to go for it."""
        if notice.key in self._where:
            self._pop(notice.key)
        give_up = float("inf") if notice.resolved else GIVE_UP_S.get(notice.severity, GIVE_UP_S["critical"])
        self._add(Entry(notice, now + give_up))
        return self._full()

    def take(self) -> Entry | None:
        """Take out the one to send next: the oldest of the worst."""
        for level in reversed(LEVELS):
            for end in (True, False):
                if line := self._lines[end, level]:
                    return self._pop(next(iter(line)))
        return None

    def put_back(self, entry: Entry) -> bool:
        """Put back what could not be sent, as the oldest, unless there is a newer word; tell whether one had to go."""
        if entry.notice.key not in self._where:
            self._add(entry).move_to_end(entry.notice.key, last=False)
        return self._full()

    def clear(self) -> int:
        """Take all out; return how many there were."""
        count = len(self._where)
        for line in self._lines.values():
            line.clear()
        self._where.clear()
        return count

    def _add(self, entry: Entry) -> OrderedDict[str, Entry]:
        where = (entry.notice.resolved, rank(entry.notice.severity))
        self._where[entry.notice.key] = where
        self._lines[where][entry.notice.key] = entry
        return self._lines[where]

    def _pop(self, key: str) -> Entry:
        return self._lines[self._where.pop(key)].pop(key)

    def _full(self) -> bool:
        """Let the oldest of the least go when there are too many."""
        if len(self._where) <= self._capacity:
            return False
        self._pop(next(key for line in self._lines.values() for key in line))
        return True
