"""Steps at a glance: what they leave out would have changed nothing, whatever happens to a group with peers."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from agent.core.leadership.actions import Action
from agent.core.model.store import Ms
from agent.core.node import step as core
from agent.core.node.glance import glance
from agent.core.node.state import Node, NodeEvent, RecordWindow
from tests.simulation.test_peers import away, group, leader, lost

NOTED = RecordWindow
"""What becomes due by time alone in `Node.watch`: it is counted with the next whole step, within a second as ever."""


class Compared:
    """Stands for `glance`, and holds each of its answers against the whole step.

    longest  the longest span in which an agent made no whole step, in ms
    """

    def __init__(self) -> None:
        self.steps = self.glances = self.longest = 0
        self._whole: dict[str, Ms] = {}
        self.differ: list[tuple[str, Any, Any, NodeEvent]] = []
        self.asked: list[object] = []

    def __call__(self, node: Node, event: NodeEvent, now: Ms) -> tuple[Node, tuple[Action, ...]] | None:
        """Answer as `glance` does."""
        found = glance(node, event, now)
        self.steps += 1
        name = node.leadership.identity.instance
        if found is None:
            self._whole[name] = now
        else:
            self.longest = max(self.longest, now - self._whole[name])
            self.glances += 1
            whole, actions = core.whole(node, event, now)
            self.asked += [each for each in actions if each not in found[1] and not isinstance(each, NOTED)]
            self.differ += [
                (each.name, getattr(found[0], each.name), getattr(whole, each.name), event)
                for each in fields(Node)
                if each.name not in ("due", "wake", "watch")
                and getattr(found[0], each.name) != getattr(whole, each.name)
            ]
        return found


def test_what_a_glance_leaves_out_would_have_changed_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The group idles, etcd is away and comes back, the leader's host is lost: each glance is the whole step."""
    compared = Compared()
    monkeypatch.setattr(core, "glance", compared)
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
    assert compared.glances > compared.steps / 4  # else there is no use in it
