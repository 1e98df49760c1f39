"""What a leader knows of its peers' support, and a member of what it has promised: plain data (R13 to R16)."""

from __future__ import annotations

from dataclasses import dataclass

from agent.core.model.peers import Peer, Sight
from agent.core.model.runtime_record import Listing
from agent.core.model.store import Ms


@dataclass(frozen=True, slots=True)
class Sent:
    """A write (its seq) or a beat whose answer may still come. `at`: the time read before it left (R1, R15)."""

    number: int
    at: Ms


@dataclass(frozen=True, slots=True)
class Vote:
    """What one peer has promised.

    sent   when the newest beat left that it has promised for: its promise counts from there (R15)
    heard  when its last promise was heard
    since  since when it has promised without a gap (R17)
    """

    peer: Peer
    sent: Ms
    heard: Ms
    since: Ms


@dataclass(frozen=True, slots=True)
class Support:
    """What a tenure rests on besides its last confirmation; empty where there are no peers.

    lists    own writes that may stand in the store, by what others' take-overs depend on: the one that is known to
             stand, and one that is to be sent or was, if it is not like that (R15)
    unsaved  the version of the run-time file that has to be written before that one is sent (R16); 0: it is
    beats    those that a promise may still count for
    """

    lists: tuple[Listing, ...] = ()
    unsaved: int = 0
    beats: tuple[Sent, ...] = ()
    votes: tuple[Vote, ...] = ()

    def vote(self, peer: Peer) -> Vote | None:
        """Return what a peer has promised, None if nothing."""
        return next((each for each in self.votes if each.peer == peer), None)

    @property
    def named(self) -> tuple[Peer, ...]:
        """Whom the heartbeat names that is written next."""
        return self.lists[-1].peers if self.lists else ()


@dataclass(frozen=True, slots=True)
class Told:
    """What a member's nodeos told, by a datagram that counted. `at`: when it was first heard."""

    node: str
    sight: Sight
    at: Ms


@dataclass(frozen=True, slots=True)
class Pledge:
    """What this member has promised to others.

    until  no held heartbeat is taken over before (R14)
    last   the number of the last beat of each leading process, the newest few
    heard  when the last beat was received: its sender lived. No rule here rests on it
    """

    until: Ms = 0
    last: tuple[tuple[str, int], ...] = ()
    heard: Ms = 0
