"""The plan: drawn again from its seed, full of overlapping faults, and without what the product does not cover."""

from __future__ import annotations

import itertools

import pytest

from agent.core.leadership.timing import Timing
from tests.lab.chaos import faults as acts
from tests.lab.chaos import run
from tests.lab.chaos.kinds import GATED, JOINT_STALL, KINDS, PLAIN
from tests.lab.chaos.plan import Fault, Plan, make_plan, overlap

HOSTS = ("bp-a", "bp-b", "bp-c")
STOPPERS = ("agent-killed", "agent-frozen", "agent-restarted", "guard-killed", "guard-frozen", "host-stalled")


def plan(seed: int, faults: int = 300) -> Plan:
    """Return a plan for three hosts."""
    return make_plan(seed, faults, HOSTS)


def test_one_seed_is_one_plan() -> None:
    """A seed draws the same plan again, another seed another one."""
    assert plan(7) == plan(7)
    assert plan(7) != plan(8)


@pytest.mark.parametrize("faults", [1, 9, 10, 11, 25])
def test_short_plan_is_the_beginning_of_a_long_one(faults: int) -> None:
    """So a violation is replayed with as many faults as it took."""
    short = list(itertools.chain(*plan(7, faults).rounds))
    assert len(short) == faults
    assert short == list(itertools.chain(*plan(7, 40).rounds))[:faults]


def test_every_kind_can_be_done() -> None:
    """The plan knows no kind that nobody can do, and nothing can be done that no plan has."""
    assert run.BREAKING
    assert set(acts.FAULTS) == set(KINDS) == set(GATED)


def test_long_plan_has_every_kind() -> None:
    """Four hundred faults leave no kind out."""
    assert {fault.kind for each in plan(7, 400).rounds for fault in each} == set(PLAIN)


@pytest.mark.parametrize("seed", range(25))
def test_agent_and_guard_of_one_host_are_never_down_together(seed: int) -> None:
    """Nobody would be left to stop nodeos: that is not covered, so no plan contains it."""
    for faults in plan(seed).rounds:
        for one, two in itertools.combinations([each for each in faults if each.kind in STOPPERS], 2):
            if one.target == two.target:
                first, second = sorted((one, two), key=lambda fault: fault.at)
                assert second.at >= first.at + first.length + 2.0


@pytest.mark.parametrize("seed", range(25))
def test_no_part_is_broken_twice_at_a_time(seed: int) -> None:
    """Each part is healed by the one that broke it."""
    for faults in plan(seed).rounds:
        assert not [pair for pair in itertools.combinations(faults, 2) if overlap(*pair)]


def test_overlap_knows_parts_that_stand_for_all() -> None:
    """A fault of all of etcd overlaps with one of a member, and not with one of a host."""
    split = Fault(1, 5.0, "etcd-split", "", 4.0)
    assert overlap(split, Fault(2, 6.0, "etcd-killed", "etcd-2", 1.0))
    assert overlap(Fault(2, 1.0, "etcd-killed", "etcd-2", 2.0), split)
    assert not overlap(split, Fault(2, 6.0, "nodeos-killed", "bp-a", 1.0))
    assert not overlap(split, Fault(2, 20.0, "etcd-killed", "etcd-2", 1.0))


def test_joint_stall_leaves_time_to_stop() -> None:
    """After the longest stall of a whole host the agent is still before its stop: R, a request, the stall (R3)."""
    timing = Timing()
    before_stop = (timing.validity - timing.margin) / 1000
    assert (timing.renew + timing.request) / 1000 + JOINT_STALL + 1.0 < before_stop
