"""Finalizers in a story: four of which three are enough, ours with a key on each host, one of them active on chain."""

from __future__ import annotations

from dataclasses import replace

from agent.core.health.finality import FinalityProbed
from agent.core.model.finality import Finality, Finalizer
from agent.core.model.slots import SLOT
from agent.core.node.state import FINALIZER, FinalizerSettings, RunHook
from tests.core.parts import PRODUCER
from tests.lab.simulated_votes import RECENT_MS, VoteTracker
from tests.simulation.story import LONG, Host, Story

OTHERS = ("c", "d", "e")
ENOUGH = 3


def key_of(name: str) -> str:
    """Return the BLS key of a host or of another finalizer."""
    return f"PUB_BLS_{name}"


class Savanna:
    """Votes, what they make irreversible, and what agents see of it. `command`: hosts have one to change the key.

    silent    the other finalizers do not vote
    refused   the command changes nothing
    deaf      agents hear nothing of votes
    """

    def __init__(self, story: Story, active: str = "bp-a", *, command: bool = True) -> None:
        self.story, self.active, self.pending = story, key_of(active), ""
        self.silent = self.refused = self.deaf = False
        self._pushed = 0  # the head when a key was pushed
        self._voted: dict[str, tuple[int, int]] = {}  # key → date of the block, time of the vote
        self._done: dict[str, int] = {}
        for host in story.hosts:
            host.nodeos.votes = VoteTracker(PRODUCER)
            settings = FinalizerSettings(PRODUCER, key_of(host.name), command, 3000)
            host.node = replace(host.node, settings=replace(host.node.settings, finalizer=settings))
        story.lib = story.head.head_num - 2
        story.every(SLOT, self._turn)
        story.every(1000, self._probe)

    def policy(self) -> dict[str, str]:
        """Return the keys whose votes count, and the account of each."""
        others = {key_of(name): name for name in OTHERS}
        return {self.active: PRODUCER, **others, **({self.pending: PRODUCER} if self.pending else {})}

    def _turn(self) -> None:
        """Vote for the head, and see what has enough votes and who has seen them."""
        story, head, counts = self.story, self.story.head, self.policy()
        voters = [key_of(host.name) for host in story.hosts if not host.nodeos.silent and not host.nodeos.behind]
        voters += [] if self.silent else [key_of(name) for name in OTHERS]
        voting = [key for key in voters if key in counts and story.wall - head.head_time < RECENT_MS]
        self._voted.update(dict.fromkeys(voting, (head.head_time, story.wall)))
        if len({*voting} - {self.pending}) >= ENOUGH:
            story.lib = max(story.lib or 0, head.head_num - 2)
        if self.pending and (story.lib or 0) > self._pushed + 1:
            self.active, self.pending = self.pending, ""
        for host in story.hosts:
            self._see(host, counts)
            self._run(host)

    def _see(self, host: Host, counts: dict[str, str]) -> None:
        tracker, nodeos = host.nodeos.votes, host.nodeos
        assert tracker is not None
        seen = {} if nodeos.behind else {key: at for key, (_, at) in self._voted.items()}
        new = nodeos.head.head_num != self._done.get(host.name + "/head")
        self._done[host.name + "/head"] = nodeos.head.head_num
        tracker.look(counts, seen, min(self.story.wall, nodeos.head.head_time) if new and not nodeos.behind else None)
        if nodeos.behind:
            tracker.received(self.story.wall - LONG)

    def _run(self, host: Host) -> None:
        """Have a command that has ended well act: the key is pending once another block was made."""
        runs = [at + host.hook_takes.get(FINALIZER, LONG) for at, each in host.said if isinstance(each, RunHook)]
        ended = len([at for at in runs if at <= self.story.now])
        if ended > self._done.get(host.name, 0) and not self.refused:
            self.pending, self._pushed = key_of(host.name), self.story.head.head_num
        self._done[host.name] = ended

    def _probe(self) -> None:
        active = tuple(Finalizer(account, key) for key, account in self.policy().items() if key != self.pending)
        pending = (Finalizer(PRODUCER, self.pending), *active[1:]) if self.pending else ()
        found = Finality(active, pending, {key: date for key, (date, _) in self._voted.items()})
        for host in self.story.hosts if not self.deaf else ():
            host.step(FinalityProbed(None if host.nodeos.silent else found, host.nodeos.silent))
