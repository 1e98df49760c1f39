"""Election: who goes first, who may go at all (R11), and who fails again and again goes last for a bounded time."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.election.hold_down import Flaps, failed
from agent.core.election.policy import Policy
from agent.core.election.ranking import LAST, eligibility, ready
from agent.core.health import checks
from agent.core.health.checks import NEAR, Health
from agent.core.health.hysteresis import CheckState
from agent.core.leadership.events import Eligibility
from agent.core.model.records import Member
from tests.core.parts import CHECKS, member

WELL = Health(dict.fromkeys(CHECKS, CheckState(ok=True, reason="", known=True)))
SICK = Health({**WELL.checks, "peers": CheckState(ok=False, reason="0 peers connected", known=True)})
YOUNG = Health({**WELL.checks, "peers": CheckState()})
ME = member("bp-a")


def look(*others: Member, me: Member = ME, found: Health = WELL, holder: str | None = None) -> Eligibility:
    """Return the standing of bp-a among others."""
    return eligibility(me, found, (me, *others), holder)


nodes = st.lists(st.from_regex("[a-z]{1,3}", fullmatch=True), min_size=1, max_size=5, unique=True)


@st.composite
def groups(draw: st.DrawFn) -> list[Member]:
    """Return members with any names, priorities and heads, some drained, some unhealthy."""
    return [
        member(
            name,
            priority=draw(st.sampled_from([1, 100])),
            head=draw(st.integers(990, 1010)),
            drained=draw(st.booleans()),
            healthy=draw(st.booleans()),
        )
        for name in draw(nodes)
    ]


# --- the order (R11) ---


def test_alone_a_healthy_node_goes_first() -> None:
    """Alone, a healthy node is fit, of rank 0, and has nobody to hand over to."""
    assert look() == Eligibility(eligible=True, can_produce=True, rank=0, why="", handover="")


@pytest.mark.parametrize(
    ("other", "rank"),
    [
        ({"priority": 99}, 1),
        ({"priority": 101}, 0),
        ({"priority": 99, "head": 1}, 1),
        ({"head": 1000 + NEAR + 1}, 1),
        ({"head": 1000 + NEAR}, 0),
        ({"head": 1000 - NEAR - 1}, 0),
        ({"node": "bp-0"}, 1),
        ({"node": "bp-0", "head": 1000 - NEAR}, 1),
        ({"node": "bp-0", "head": 1000 - NEAR - 1}, 0),
        ({"node": "bp-0", "drained": True}, 0),
        ({"node": "bp-0", "healthy": False}, 0),
    ],
)
def test_the_order_is_priority_then_head_then_name(other: dict[str, object], rank: int) -> None:
    """The lower priority goes first, then the head that is clearly further, then the name (R11)."""
    assert look(replace(member("bp-b"), **other)).rank == rank  # type: ignore[arg-type] # fields of the table above


@given(groups())
def test_everybody_agrees_on_the_order(group: list[Member]) -> None:
    """All members that may lead, reading the same reports, have ranks 0, 1, 2 …: a race is the exception (R11)."""
    ready = [each for each in group if each.healthy and not each.drained]
    ranks = sorted(eligibility(each, WELL, group, None).rank for each in ready)
    assert ranks == list(range(len(ready)))


@given(groups())
def test_a_lower_priority_always_goes_first(group: list[Member]) -> None:
    """No member that may lead goes before one that may lead with a lower priority number (R11)."""
    ready = [each for each in group if each.healthy and not each.drained]
    ranks = {each.node: eligibility(each, WELL, group, None).rank for each in ready}
    for one in ready:
        for two in ready:
            assert one.priority >= two.priority or ranks[one.node] < ranks[two.node]


def test_the_last_holder_is_not_waited_for() -> None:
    """Who held the heartbeat last has failed or been asked to step down: nobody waits for it (R11, R12)."""
    first = member("bp-0", priority=1)
    assert look(first).rank == 1
    assert look(first, holder="bp-0").rank == 0
    assert look(first, member("bp-1", priority=1), holder="bp-0").rank == 1


def test_an_isolated_head_does_not_upset_the_order() -> None:
    """The head of a member that may not lead is no measure for those who may (R11)."""
    alone = member("bp-z", head=9000, healthy=False)
    assert look(member("bp-0", head=1000 + NEAR), alone, me=member("bp-a", head=1000)).rank == 1
    assert look(member("bp-0", head=1000), alone, me=member("bp-a", head=1000 + NEAR + 1)).rank == 0


# --- who may ---


def test_an_unhealthy_node_is_not_fit_and_says_why() -> None:
    """A failing check makes a node unfit; why_not names it."""
    found = look(member("bp-b"), found=SICK)
    assert (found.eligible, found.can_produce) == (False, True)
    assert found.why == "peers: 0 peers connected"


def test_a_check_that_was_not_made_yet_keeps_a_node_out() -> None:
    """What was not checked yet is no reason to change leaders, but a reason not to become one."""
    found = look(member("bp-b"), found=YOUNG)
    assert not found.eligible
    assert found.why == "peers: not checked yet"


def test_a_drained_node_is_not_fit_however_healthy() -> None:
    """A drained node does not lead by itself; an operator may still insist (it is able)."""
    assert look(me=replace(ME, drained=True)) == Eligibility(False, True, 0, "drained", "")


# --- who failed again and again ---


def test_a_node_that_is_held_down_goes_last() -> None:
    """A node that failed again and again goes behind every other that may lead, whatever its priority (R11)."""
    held = member("bp-0", priority=1, held_down_ms=1000)
    assert look(held).rank == 0
    assert look(member("bp-b"), held, me=member("bp-a", priority=200)).rank == 1


def test_a_node_that_is_held_down_lets_a_sound_one_go_first_for_a_while() -> None:
    """R11, P2: seconds after the sound one, which may be gone, it leads; alone, or among others like it, at once."""
    me = replace(ME, held_down_ms=1000)

    def last(*others: Member, holder: str | None = None) -> tuple[bool, int, str]:
        found = eligibility(me, WELL, (me, *others), holder, "held down: 3 faults")
        return found.eligible, found.rank, found.why

    assert last(member("bp-b")) == (True, LAST + 1, "held down: 3 faults")
    assert last() == (True, 0, "")
    assert last(member("bp-b", held_down_ms=5)) == (True, 0, "")
    assert last(member("bp-b", healthy=False)) == (True, 0, "")
    assert last(member("bp-b"), holder="bp-b") == (True, 0, "")


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ({"nodeos": "v4.0.6"}, {"nodeos": "v5.0.2"}),
        ({"nodeos": "v5.0.2"}, {"nodeos": "v1.0.0"}),
        ({"nodeos": "v1.8.14"}, {"nodeos": "v2.1.0"}),
        ({"nodeos": "v1.1.9"}, {"nodeos": "v1.2.0-rc1"}),
        ({"nodeos": "unknown"}, {"nodeos": "v3.1.0"}),
        ({"version": "0.1.9"}, {"version": "0.2.0"}),
        ({"nodeos": "v4.0.0", "version": "0.9.0"}, {"nodeos": "v5.0.0", "version": "0.1.0"}),
    ],
)
def test_among_equals_the_newest_goes_first(older: dict[str, str], newer: dict[str, str]) -> None:
    """Of level nodes that of the newest nodeos goes first, Spring 1 after Leap 5; then that of the newest agent."""
    old, new = replace(member("bp-0"), **older), replace(member("bp-z"), **newer)  # type: ignore[arg-type] # texts
    assert eligibility(new, WELL, (old, new), None).rank == 0
    assert eligibility(old, WELL, (old, new), None).rank == 1
    ahead = replace(old, head=1000 + NEAR + 1)
    assert eligibility(ahead, WELL, (ahead, new), None).rank == 0


@given(groups(), st.sampled_from([WELL, SICK, YOUNG, checks.begin(checks.Limits({}))]))
def test_who_may_lead_is_healthy_and_wanted(group: list[Member], found: Health) -> None:
    """Whatever the group is like: fit is who is healthy and not drained, and no rank is above the number of others."""
    result = eligibility(group[0], found, group, None)
    assert result.eligible == (found.ok and not group[0].drained)
    assert result.rank <= len(ready(group[0].node, group))


P = Policy()


def test_one_fault_holds_nobody_down() -> None:
    """A node that failed once is as good as any."""
    assert failed(Flaps(), 1000, P).left(1000) == 0


def test_each_further_fault_doubles_the_time_up_to_a_bound() -> None:
    """The second fault costs 30 s, the third 60 s … but never more than ten minutes."""
    flaps, spans = Flaps(), []
    for _ in range(9):
        flaps = failed(flaps, 1000, P)
        spans.append(flaps.left(1000) // 1000)
    assert spans == [0, 30, 60, 120, 240, 480, 600, 600, 600]
    assert flaps.left(601_000) == 0


def test_faults_of_long_ago_are_forgotten() -> None:
    """What lies farther back than the window counts no more."""
    flaps = failed(failed(Flaps(), 1000, P), 2000, P)
    assert failed(flaps, 2000 + P.hold_down_window, P).left(2000 + P.hold_down_window) == 0


def test_leading_in_vain_holds_down_at_once() -> None:
    """A fault of double weight counts as if it had happened before."""
    assert failed(Flaps(), 1000, P, weight=2).left(1000) == P.hold_down


@given(st.lists(st.tuples(st.integers(0, 700_000), st.sampled_from([1, 2])), max_size=80))
def test_holding_down_is_bounded_whatever_happens(faults: list[tuple[int, int]]) -> None:
    """However often a node fails, what is remembered is bounded, and so is the time."""
    flaps, now = Flaps(), 0
    for wait, weight in faults:
        now += wait
        flaps = failed(flaps, now, P, weight)
        assert len(flaps.times) <= 32
        assert flaps.left(now) <= P.hold_down_max
