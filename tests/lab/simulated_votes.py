"""When a SIMULATED nodeos votes, and pauses itself for want of votes: that of Spring, from its documented behaviour.

Of the votes for our own account, and of all others, the last is remembered, and the first block that came more than a
second after it. Once that block is older than the time-out, production is implicitly paused. A vote ends that, and a
resume forgets the block, so that the time-out begins anew with the next one. Where nobody of one of the two kinds is
in the policy, only the other one counts. A block that comes too late is not voted for: on a chain that stands still
nothing ends that pause but a resume.
"""

from __future__ import annotations

from dataclasses import dataclass, field

RECENT_MS = 30_000
"""How old a block may be that is voted for (Spring: `block_state::is_recent`)."""
TOLERANCE_MS = 1000
TIMEOUT_MS = 6000
"""nodeos's default of `production-pause-vote-timeout-ms`."""


@dataclass
class _Kind:
    """The votes of one kind."""

    vote: int = 0
    block: int = 0  # the first after the vote; 0: none

    def voted(self, at: int) -> None:
        self.vote = max(self.vote, at)
        if self.block <= self.vote:
            self.block = 0

    def received(self, at: int) -> None:
        if at - TOLERANCE_MS > self.vote and not 0 < self.block <= at:
            self.block = at

    def late(self, now: int, timeout: int) -> bool:
        return 0 < self.block < now - timeout


@dataclass
class VoteTracker:
    """Follows votes and blocks, all in ms since 1970. `producer` None or a `timeout` of 0: it never pauses."""

    producer: str | None
    timeout: int = TIMEOUT_MS
    _own: _Kind = field(default_factory=_Kind)
    _others: _Kind = field(default_factory=_Kind)
    _kinds: frozenset[bool] = frozenset()

    def look(self, policy: dict[str, str], votes: dict[str, int], block: int | None) -> None:
        """Take in whose keys count (key → account), the last vote of each key, and a block that was received."""
        kinds = frozenset(account == self.producer for account in policy.values())
        if kinds != self._kinds:
            self._kinds = kinds
            self.resumed()
        for key, account in policy.items():
            (self._own if account == self.producer else self._others).voted(votes.get(key, 0))
        if block is not None and kinds:
            self.received(block)

    def received(self, at: int) -> None:
        """Take in a block that was received."""
        self._own.received(at)
        self._others.received(at)

    def resumed(self) -> None:
        """Begin the time-out anew."""
        self._own.block = self._others.block = 0

    def paused(self, now: int) -> bool:
        """Tell whether production is implicitly paused."""
        if self.producer is None or not self.timeout:
            return False
        own = True in self._kinds and self._own.late(now, self.timeout)
        return own or (False in self._kinds and self._others.late(now, self.timeout))
