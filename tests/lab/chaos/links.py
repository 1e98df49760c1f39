"""A link that can be broken: a proxy of the lab, or a way between two network namespaces. Nothing else lives here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

from tests.lab.errors import LabError
from tests.lab.packets import Tap
from tests.lab.proxy import Direction, Proxy
from tests.lab.spaces import Spaces


class Skipped(LabError):
    """The machine lacks what this fault needs."""


class Link(Protocol):
    """A way from whoever calls (the client) to whoever is called (the server). One fault at a time; `heal` ends it."""

    def cut(self, direction: Direction | Literal["both"] = "both") -> None:
        """Let nothing pass in a direction, and tell nobody."""

    def delay(self, seconds: float) -> None:
        """Let everything come later, both ways."""

    def lose(self, share: float) -> None:
        """Lose a share of the packets, both ways. Skipped where there are none."""

    def heal(self) -> None:
        """End it."""


class ProxyLink:
    """A link through a proxy. After a cut its connections are reset, as after an outage that both ends gave up on."""

    def __init__(self, proxy: Proxy) -> None:
        self.proxy = proxy
        self.cut = proxy.cut
        self.delay = proxy.delay
        self.heal = proxy.heal

    def lose(self, share: float) -> None:
        """See Link."""
        raise Skipped(f"{share:.0%} loss: a proxy has no packets to lose: network namespaces are needed")


Pair = tuple[str, str]


class SpaceLink:
    """A link between namespaces: packets are dropped, connections live through it. Pairs are (source, target).

    `only` selects packets (see Spaces): all when it is empty.
    """

    def __init__(
        self, spaces: Spaces, to_server: Sequence[Pair], to_client: Sequence[Pair], only: Sequence[str] = ()
    ) -> None:
        self._spaces = spaces
        self._only = only
        self._ways: dict[Direction, Sequence[Pair]] = {"to_server": to_server, "to_client": to_client}

    def _pairs(self, direction: Direction | Literal["both"]) -> Sequence[Pair]:
        if direction == "both":
            return [*self._ways["to_server"], *self._ways["to_client"]]
        return self._ways[direction]

    def cut(self, direction: Direction | Literal["both"] = "both") -> None:
        """See Link."""
        for source, target in self._pairs(direction):
            self._spaces.cut(source, target, self._only)

    def delay(self, seconds: float) -> None:
        """See Link. `seconds` is the time of one way, as with a proxy."""
        for source, target in self._pairs("both"):
            self._spaces.delay(source, target, seconds, only=self._only)

    def lose(self, share: float) -> None:
        """See Link."""
        for source, target in self._pairs("both"):
            self._spaces.delay(source, target, 0.0, share, self._only)

    def tap(self, tap: Tap, lost: float = 0.0) -> None:
        """Let somebody see every packet, both ways, and send more; with `lost` 1 nothing passes but what he sends."""
        for source, target in self._pairs("both"):
            self._spaces.delay(source, target, 0.0, lost, self._only, tap)

    def heal(self) -> None:
        """See Link."""
        for source, target in self._pairs("both"):
            self._spaces.heal(source, target, self._only)
