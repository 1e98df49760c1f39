"""Steps at a glance: what they leave out would have changed nothing, whatever happens to a group with peers."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest

from agent.core.model.store import Ms
from agent.core.node import sights
from agent.core.node import step as core
from agent.core.node.glance import slight
from agent.core.node.stage import NodeStep
from agent.core.node.state import Node, NodeEvent, RecordWindow
from tests.simulation.test_peers import away, group, leader, lost

NOTED = RecordWindow
"""What becomes due by time alone in `Node.watch`: it is counted with the next whole step, within a second as ever."""


class Compared:
    """Stands for `slight`, and holds each step that it ends against the whole one.

    From when on no block of a tenure was seen (`unseen`) is left out: every whole step begins with finding it anew.

    longest  the longest span in which an agent made no whole step, in ms
    """

    def __init__(self) -> None:
        self.steps = self.glances = self.longest = 0
        self._whole: dict[str, Ms] = {}
        self._comparing = False
        self.differ: list[tuple[str, Any, Any, NodeEvent]] = []
        self.asked: list[object] = []

    def __call__(self, step: NodeStep) -> bool:
        """Answer as `slight` does."""
        if self._comparing:
            return False
        self.steps += 1
        name = step.node.leadership.identity.instance
        if not slight(step):
            self._whole[name] = step.now
            return False
        self.longest = max(self.longest, step.now - self._whole[name])
        self.glances += 1
        self._comparing = True
        whole, actions = core.step(step.before, step.event, step.now)
        whole = replace(whole, assessment=replace(whole.assessment, unseen=step.node.assessment.unseen))
        self._comparing = False
        told = sights.telling(step.node, step.actions())
        self.asked += [each for each in actions if each not in told and not isinstance(each, NOTED)]
        self.differ += [
            (each.name, getattr(step.node, each.name), getattr(whole, each.name), step.event)
            for each in fields(Node)
            if each.name not in ("due", "wake", "watch") and getattr(step.node, each.name) != getattr(whole, each.name)
        ]
        return True


def test_what_a_glance_leaves_out_would_have_changed_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The group idles, etcd is away and comes back, the leader's host is lost: each glance is the whole step."""
    compared = Compared()
    monkeypatch.setattr(core, "slight", compared)
    world = group("failsafe")
    away(world)
    world.run(6000)
    away(world, cut=False)
    world.run(6000)
    lost(leader(world))
    world.run(6000)
    assert leader(world).signs()
    assert compared.asked == []
    assert compared.differ == []
    assert compared.longest <= core.WATCH_EVERY
    assert compared.glances > compared.steps / 2  # else there is no use in it
