"""A node that failed again and again goes last, and yet leads when whoever may go before it does not (P2, R11)."""

from __future__ import annotations

import pytest

from agent.core.model.store import Ms
from tests.simulation.story import ALONE, Host, Story, settled

SOON = 3.0
"""Seconds: those that it lets pass, and a campaign."""


def held_down() -> tuple[Story, Host, Host, Host]:
    """Return a group whose second node is held down, and well."""
    story = settled("bp-a", "bp-b", "bp-c", turns=ALONE)
    leader, held, sound = story.hosts
    for _ in range(2):
        held.nodeos.kill()
        story.go(3)
        held.nodeos.start()
        story.go(8)
    assert leader.leads
    assert held.node.assessment.flaps.left(story.now)
    assert held.node.health.ok
    return story, leader, held, sound


def cut(host: Host) -> None:
    """Cut a host from etcd: its report stands until its lease ends."""
    host.store.cut = True


def deafen(host: Host) -> None:
    """Let the reader of a host hang: its report is renewed."""
    host.deaf = True


@pytest.mark.parametrize("harm", [cut, deafen])
def test_it_leads_when_the_one_before_it_does_not_come(harm: object) -> None:
    """P2: the one that reports to be well cannot take over, and the seat is not left to it for the life of a lease."""
    story, leader, held, sound = held_down()
    assert callable(harm)
    harm(sound)
    leader.nodeos.kill()
    assert story.until(lambda: held.leads, 20) < SOON


def test_it_lets_a_sound_one_go_first() -> None:
    """R11: the lead does not go to a node that flaps while another one may lead."""
    story, leader, held, sound = held_down()
    took: Ms = story.now
    leader.nodeos.kill()
    story.until(lambda: sound.leads, SOON)
    assert story.now - took < 1500
    story.go(30)
    assert sound.leads
    assert not held.leads
