"""Worlds as they are, without canonical forms: what the canonical search is held against. Nothing else lives here."""

from __future__ import annotations

from tests.proof.engine import Engine
from tests.proof.parts import Compact
from tests.proof.world import Host


class Raw(Engine):
    """An engine in which time goes on, and every number stays what it is."""

    def host(self, host: Host) -> int:
        """Return the number of a host, as it is."""
        return self.intern(host)

    def canonical(self, world: Compact) -> Compact:
        """Return the world as it is."""
        return world

    def haunting(self, ghosts: tuple[int, ...], store: int, _hosts: tuple[int, ...]) -> tuple[int, ...]:
        """Return the ghosts that may yet act, as they are."""
        return tuple(sorted({each for each in ghosts if not self.hopeless(each, store)}))
