"""A node that could not lead says so before it matters: nobody hands over to it, and it does not campaign (P2)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from agent.core.health.checks import GateProbed
from agent.core.health.hysteresis import Thresholds
from agent.core.leadership.state import Phase
from agent.core.model.store import Put, Txn
from agent.core.node.can_lead import PASSING, SILENT, why_not
from agent.core.node.state import EtcdSeen, Reconfigured
from tests.simulation.story import NAMES, Host, pair


def reason(host: Host) -> str:
    """Return why a host could not lead, as it publishes it."""
    found = [each for each in host.published()[-1][1].reasons if each.startswith("can_lead: ")]
    return found[0].removeprefix("can_lead: ") if found else ""


def unread(host: Host) -> None:
    """Take the right to read the group away; writing goes on."""
    host.unread = "permission denied"


def full(host: Host) -> None:
    """Fill the run-time directory."""
    host.around.file_error = "No space left on device"


def hang(host: Host) -> None:
    """Let the reader hang, without an error."""
    host.deaf = True


HARMS = {"unread": (unread, "permission denied"), "full": (full, "No space left"), "hang": (hang, "hangs")}


@pytest.mark.parametrize(("harm", "why"), HARMS.values(), ids=HARMS)
def test_a_standby_that_could_not_lead_tells_and_is_given_nothing(harm: Callable[[Host], None], why: str) -> None:
    """It reports that it is unhealthy, with the reason, and is not able either; mended, it may lead again."""
    story, leader, standby = pair()
    harm(standby)
    story.until(lambda: bool(reason(standby)), SILENT / 1000 + 5)
    member = standby.published()[-1][1]
    assert why in reason(standby)
    assert (member.healthy, member.able) == (False, False)
    assert not standby.node.leadership.eligibility.eligible
    leader.store.txn(Txn((), (Put(NAMES.switchover, b'{"to": "%s"}' % standby.name.encode()),)), 1.0)
    story.go(20)
    assert leader.leads, "a switchover to it is refused instead of costing slots"
    assert "switchover_refused" in leader.events_told()
    standby.unread, standby.deaf, standby.around.file_error = "", False, ""
    story.until(lambda: standby.node.leadership.eligibility.eligible, 10)
    assert not standby.node.health.reasons


def test_a_reader_that_fails_after_a_silence_is_not_said_to_hang() -> None:
    """P3: a watch that was silent for a while, and then a refusal, is told as that: nobody looks for a thread."""
    story, _, standby = pair()
    hang(standby)
    story.go(SILENT / 1000 - 2)
    unread(standby)
    story.until(lambda: bool(reason(standby)), 10)
    assert "permission denied" in reason(standby)


@pytest.mark.parametrize("harm", [unread, hang], ids=["unread", "hang"])
def test_a_leader_that_reads_nothing_keeps_the_lead_and_is_told(harm: Callable[[Host], None]) -> None:
    """While its confirmations succeed a leader stays, though a standby is ready: its blocks are sound (P3)."""
    story, leader, standby = pair()
    epoch = leader.node.leadership.seen.max_epoch
    harm(leader)
    story.go(60)
    assert leader.leads
    assert leader.node.leadership.seen.max_epoch == epoch
    assert reason(leader)
    assert standby.node.leadership.eligibility.eligible
    assert {"etcd_down", "unhealthy"} & set(leader.events_told())


def test_a_lease_that_leadership_lost_is_told_though_nobody_says_so() -> None:
    """The check looks at the lease that a take-over would use, not at what the session said of it last."""
    story, _, standby = pair()
    standby.node = replace(standby.node, leadership=replace(standby.node.leadership, lease=None))
    story.until(lambda: not standby.node.health.checks["can_lead"].ok, 15)
    assert "no lease" in standby.node.health.checks["can_lead"].reason


def test_what_the_session_hears_says_nothing_of_the_reader() -> None:
    """A session that writes well does not hide that the group cannot be read: these are two facts."""
    story, _, standby = pair()
    standby.unread = "permission denied"
    story.go(8)
    assert standby.node.etcd_down_since is not None
    standby.step(EtcdSeen())
    assert standby.node.etcd_error == "permission denied"
    assert "etcd_down" in standby.events_told()
    assert "unhealthy" not in standby.events_told(), "one alert says it"
    standby.unread = ""
    story.until(lambda: standby.node.etcd_down_since is None, 3)
    story.go(1)
    assert "-etcd_down" in standby.events_told()


def test_an_outage_of_etcd_that_is_over_keeps_nobody_out() -> None:
    """When etcd comes back, a node that could not reach it may lead at once, and no fault of its own is counted."""
    story, leader, standby = pair()
    for host in story.hosts:
        host.store.cut = True
    story.go(20)
    assert not leader.leads
    assert not any(host.node.health.checks["can_lead"].ok for host in story.hosts)
    for host in story.hosts:
        host.store.cut = False
    assert story.until(lambda: story.leader is not None, 10) < 5
    assert not standby.node.assessment.flaps.times


@pytest.mark.parametrize("phase", list(PASSING))
def test_a_phase_that_does_not_move_is_told(phase: Phase) -> None:
    """A node that sits in a phase which should pass leads nothing, whatever its nodeos is like, and says so."""
    story, _, standby = pair()
    node, timing = standby.node, standby.setup.timing
    bound = timing.validity + timing.margin + node.settings.limits.can_lead
    sits = replace(node, leadership=replace(node.leadership, phase=phase, phase_since=story.now - bound))
    assert f"stuck in the phase {phase.value}" in why_not(sits, story.now)
    assert not why_not(sits, story.now - 1)
    moves = replace(sits, leadership=replace(sits.leadership, phase=Phase.STANDBY))
    assert not why_not(moves, story.now)


def test_a_gate_beside_a_key_is_judged_once_nodeos_was_seen_to_use_it() -> None:
    """With `on` a dead gate says nothing of a nodeos that may have its key; of one that signs through it, all (P2)."""
    story, leader, standby = pair()
    limits = leader.profile.limits
    gated = replace(
        leader.node.settings, limits=replace(limits, thresholds={**limits.thresholds, "gate": Thresholds(1, 2)})
    )
    leader.step(Reconfigured(gated, leader.setup.timing))
    for _ in range(3):
        leader.step(GateProbed(story.now, "no answer"))
    assert leader.node.health.checks["gate"].ok
    leader.node = replace(leader.node, gated_process=leader.node.leadership.process)
    for _ in range(2):
        leader.step(GateProbed(story.now, "no answer"))
    assert leader.node.health.failing == ("gate: no answer",)
    story.until(lambda: standby.leads, 5)
