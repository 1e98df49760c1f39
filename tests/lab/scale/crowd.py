"""A process full of light agents: `python -m tests.lab.scale.crowd ENDPOINTS FIRST COUNT SHARE IN_STEP PEERS`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from agent.core.model.store import Ms
from tests.lab.scale.light import LightAgent, configuration
from tests.lab.scale.link import Link
from tests.lab.scale.nodeos import Signers
from tests.lab.scale.process import main

START_S = 0.01
"""Between the starts of two groups."""
NODES = ("bp-a", "bp-b")


@dataclass
class Group:
    """Two agents, and who of them may sign."""

    agents: list[LightAgent]
    signers: Signers

    @property
    def leader(self) -> LightAgent | None:
        """Who leads; None when nobody does."""
        return next((each for each in self.agents if each.leads), None)


@dataclass
class Crowd:
    """Groups `first` to `first + count`, on connections that `share` agents have in common."""

    endpoints: Sequence[str]
    first: int
    count: int
    share: int
    in_step: bool = False
    peers: str = "lease"
    groups: list[Group] = field(default_factory=list)
    told: list[tuple[str, Ms, Ms]] = field(default_factory=list)
    links: dict[tuple[int, int], Link] = field(default_factory=dict)

    async def begin(self) -> None:
        """Start all, one after another. Both agents of a group are on different connections, as on different hosts."""
        links = self.links
        for number in range(self.first, self.first + self.count):
            signers, agents = Signers(), []
            for at, node in enumerate(NODES):
                place = (number // self.share, at)
                link = links.setdefault(place, Link(self.endpoints, sum(place)))
                config = configuration(f"scale-{number}", node, self.peers)
                told = partial(_note, self.told)
                agents.append(LightAgent(config, link, signers, told, in_step=self.in_step))
            self.groups.append(Group(agents, signers))
            for agent in agents:
                agent.mates = dict(zip(NODES, agents, strict=True))
                agent.begin()
            await asyncio.sleep(START_S)

    async def close(self) -> None:
        """End all of them at once, as SIGKILL does."""
        for group in self.groups:
            for agent in group.agents:
                agent.kill()
        await asyncio.gather(*(link.close() for link in self.links.values()))

    @property
    def led(self) -> int:
        """How many groups are led."""
        return sum(group.leader is not None for group in self.groups)

    @property
    def named(self) -> int:
        """How many groups have a heartbeat that names a peer."""
        return sum(group.leader is not None and group.leader.named for group in self.groups)

    @property
    def stops(self) -> int:
        """How many tenures have ended."""
        return sum(len(agent.stops) for group in self.groups for agent in group.agents)

    @property
    def events(self) -> int:
        """How many changes the watches have brought."""
        return sum(agent.watched for group in self.groups for agent in group.agents)

    def report(self) -> dict[str, object]:
        """Return everything: requests (kind, sent, took), tenures that ended and why, doubles, events of watches."""
        agents = [agent for group in self.groups for agent in group.agents]
        return {
            "requests": self.told,
            "stops": [key for agent in agents for key in agent.stops],
            "doubled": sum(group.signers.doubled for group in self.groups),
            "events": self.events,
        }


def _note(told: list[tuple[str, Ms, Ms]], *what: Any) -> None:
    told.append(what)


if __name__ == "__main__":
    sys.exit(main(Crowd, sys.argv[1:]))
