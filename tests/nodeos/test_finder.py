"""The finder in a played world of nodeos and forwarders: whatever comes and goes, gone is said of nodeos alone (R4)."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import cast

import pytest

from agent.core.model.chain import ProcessId
from agent.errors import FenceError
from agent.host import process
from agent.host.deadline import Deadline
from agent.host.process import Held
from agent.nodeos import listener
from agent.nodeos.finder import FencePlan, Finder

URL = "http://127.0.0.1:8888"
MOVES = ("nodeos starts", "nodeos starts behind", "forwarder starts", "listener ends", "nodeos ends")
LONGEST = 6
"""Moves of a story: all stories of so many are played, with a look after each move."""


@dataclass
class World:
    """Processes by pid, with their program; `listens` at nodeos's address, and `behind` answers what that forwards."""

    programs: dict[int, str] = field(default_factory=dict)
    listens: int = 0
    behind: int = 0
    pids: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    answered: set[int] = field(default_factory=set)

    def start(self, program: str) -> int:
        """Start a process."""
        pid = next(self.pids)
        self.programs[pid] = program
        return pid

    def play(self, move: str) -> None:
        """Make a move that is no look."""
        if move == "nodeos starts" and not self.listens:
            self.listens = self.start("nodeos")
        elif move == "nodeos starts behind" and self.behind not in self.programs:
            self.behind = self.start("nodeos")
        elif move == "forwarder starts" and not self.listens:
            self.listens = self.start("conmon")
        elif move == "listener ends":
            self.programs.pop(self.listens, None)
            self.listens = 0
        elif move == "nodeos ends":
            self.programs.pop(self.behind, None)

    def note(self) -> None:
        """Note which nodeos answers the agent now: that one may be the one that it leads with."""
        answers = self.listens if self.programs.get(self.listens) == "nodeos" else self.behind if self.listens else 0
        if answers in self.programs:
            self.answered.add(answers)


class Handle:
    """A process of the world that is held."""

    def __init__(self, world: World, pid: int) -> None:
        self.id = ProcessId(pid, 1)
        self._world = world

    def runs(self, executable: str) -> bool:
        """Tell what the world says."""
        return self._world.programs.get(self.id.pid) == executable

    def close(self) -> None:
        """Let go of nothing."""


def hold(world: World, pid: int) -> Held | None:
    """Hold a process of the world."""
    return cast("Held", Handle(world, pid)) if pid in world.programs else None


def look(world: World, finder: Finder) -> None:
    """Look once; what is said must be true."""
    world.note()
    try:
        held = finder.find(Deadline(1.0))
    except FenceError:
        return
    if held is None:
        assert not world.answered & set(world.programs), "one that answered lives"
    else:
        assert held.runs("nodeos")
        assert held.id.pid == world.listens, "what answers is what would be ended"
        world.answered = {world.listens}  # with this one the core begins anew


def test_gone_is_said_only_when_all_that_answered_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """However forwarders and nodeos come and go: None is never said while one lives that answered."""
    world = World()
    monkeypatch.setattr(listener, "listeners", lambda *_: [held] if (held := hold(world, world.listens)) else [])
    monkeypatch.setattr(listener, "see_that_nobody_answers", lambda *_: None)
    monkeypatch.setattr(process, "hold", lambda wanted: hold(world, wanted.pid))
    monkeypatch.setattr(process, "comm", lambda pid: world.programs.get(pid, ""))
    for moves in itertools.product(MOVES, repeat=LONGEST):
        world, finder = World(), Finder(FencePlan(URL))
        for move in moves:
            world.play(move)
            look(world, finder)
