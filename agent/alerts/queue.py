"""What waits for one channel: bounded, the newest word for each key, the worst first. No thread, no I/O."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from agent.core.notice import SEVERITIES, Notice, rank

CAPACITY = 200
"""Notices that wait for one channel."""
GIVE_UP_S = {"info": 600.0, "warning": 3600.0, "critical": 3600.0}
"""How long a notice is worth trying: what is older misleads more than it tells. An end of an alert is never too old."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A notice that waits. `give_up_at` is in seconds of CLOCK_BOOTTIME."""

    notice: Notice
    give_up_at: float

    @property
    def place(self) -> int:
        """How long it is kept when there is no room: the end of an alert longest, then by severity."""
        return len(SEVERITIES) + 1 if self.notice.resolved else rank(self.notice.severity)


class Waiting:
    """The queue of one channel. A newer word about a key replaces the one before it: nobody needs yesterday's."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._entries: dict[str, Entry] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Notice]:
        return iter([entry.notice for entry in self._entries.values()])

    def put(self, notice: Notice, now: float) -> bool:
        """Take a notice; tell whether one had to go for it."""
        self._entries.pop(notice.key, None)
        give_up = float("inf") if notice.resolved else GIVE_UP_S.get(notice.severity, GIVE_UP_S["critical"])
        self._entries[notice.key] = Entry(notice, now + give_up)
        return self._full()

    def take(self) -> Entry | None:
        """Take out the one to send next: the oldest of the worst."""
        if not self._entries:
            return None
        worst = max(self._entries, key=lambda key: rank(self._entries[key].notice.severity))
        return self._entries.pop(worst)

    def put_back(self, entry: Entry) -> bool:
        """Put back what could not be sent, as the oldest, unless there is a newer word; tell whether one had to go."""
        if entry.notice.key not in self._entries:
            self._entries = {entry.notice.key: entry, **self._entries}
        return self._full()

    def _full(self) -> bool:
        if len(self._entries) <= self._capacity:
            return False
        least = min(self._entries, key=lambda key: self._entries[key].place)  # min returns the oldest of equals
        del self._entries[least]
        return True

    def clear(self) -> int:
        """Take all out; return how many there were."""
        count = len(self._entries)
        self._entries.clear()
        return count
