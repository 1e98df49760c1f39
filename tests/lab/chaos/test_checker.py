"""The judge: what breaks a promise is caught, by the blocks alone, and what does not is left in peace."""

from __future__ import annotations

import random

import pytest

from tests.lab.chaos.checker import RECOVERY, SHORT, check, story
from tests.lab.chaos.histories import FIRST, at, change, done, history, signature, without
from tests.lab.chaos.history import Note, Rest, Span


def test_quiet_history_has_nothing_to_tell() -> None:
    """A leader that signs every slot breaks nothing and leaves no gap."""
    verdict = check(history())
    assert verdict.violations == ()
    assert verdict.flags == ()
    assert verdict.gaps == ()
    assert [(each.node, each.epoch) for each in verdict.tenures] == [("bp-a", 1)]


@pytest.mark.parametrize(
    ("node", "block", "broken"),
    [("bp-b", "", 1), ("bp-b", "ff", 1), ("bp-a", "ff", 1), ("bp-a", "", 0)],
    ids=["two nodes, alike byte for byte", "two nodes", "one node, two blocks", "one block, read twice"],
)
def test_slot_signed_twice_is_caught(node: str, block: str, broken: int) -> None:
    """Two nodes or two blocks for one slot break P1; a line that also stands in the older log counts once."""
    found = history()
    found.signatures.append(signature(node, 17, block))
    verdict = check(found)
    assert len(verdict.violations) == broken
    assert all(each.startswith(f"P1: slot {FIRST + 17} was signed twice") for each in verdict.violations)
    assert [(double.slot, double.governed) for double in verdict.doubles] == [(FIRST + 17, True)] * broken


@pytest.mark.parametrize("seed", range(20))
def test_double_is_found_wherever_it_is(seed: int) -> None:
    """One slot signed twice among a hundred is found whatever the order, the place and the faults around it."""
    rng = random.Random(seed)
    found = history(100)
    slot = rng.randrange(100)
    found.signatures.append(signature("bp-b", slot, "ff"))
    rng.shuffle(found.signatures)
    found.done.append(done("nodeos-frozen", "bp-a", slot - 3, slot + 3))
    assert [double.slot for double in check(found).doubles if double.governed] == [FIRST + slot]


@pytest.mark.parametrize(
    ("span", "excused"),
    [
        (Span("bp-b", at(16), at(18)), True),
        (Span("bp-a", at(30), at(32)), False),
        (Span("bp-b", at(18), at(20)), False),
        (Span("bp-c", 0.0, 9e9), False),
    ],
    ids=["then", "another node, later", "later", "another node"],
)
def test_double_while_not_governed_is_told_apart(span: Span, excused: bool) -> None:
    """What a node signs before its agent can have paused it breaks no promise: the very node, at the very time."""
    found = history()
    found.signatures.append(signature("bp-b", 17, "ff"))
    found.ungoverned.append(span)
    verdict = check(found)
    assert [double.governed for double in verdict.doubles] == [not excused]
    assert bool(verdict.violations) is not excused


def test_two_governed_and_one_stray_break_the_promise() -> None:
    """A third node that is not governed does not excuse the two that are."""
    found = history()
    found.signatures += [signature("bp-b", 17, "ff"), signature("bp-c", 17, "ee")]
    found.ungoverned.append(Span("bp-c", at(16), at(18)))
    assert len(check(found).violations) == 1


def test_epoch_led_by_two_nodes_is_caught() -> None:
    """Two nodes that say they led in one epoch break P1, whatever was signed (R8)."""
    found = history()
    found.changes += [change("bp-a", 10, "stopping", "expiring", 1), change("bp-b", 12, "leading", "leads", 1)]
    assert check(found).violations == ("P1: epoch 1 was led by bp-a and bp-b",)


def test_leader_that_goes_on_after_a_restart_keeps_its_epoch() -> None:
    """An agent that restarts and goes on in its epoch breaks nothing."""
    found = history()
    found.changes += [change("bp-a", 10, "gone", "", 0), change("bp-a", 12, "leading", "goes_on", 1)]
    verdict = check(found)
    assert verdict.violations == ()
    assert [each.epoch for each in verdict.tenures] == [1, 1]


def test_nobody_producing_after_a_rest_is_caught() -> None:
    """When all is healed and no block comes in time, P2 is broken."""
    found = history()
    found.rests += [Rest(at(10), at(11)), Rest(at(30), None)]
    assert len(check(found).violations) == 1


def test_defect_of_an_agent_is_caught() -> None:
    """An error that nobody foresaw is a finding by itself, also when it cost nothing this time."""
    found = history()
    found.notes += [
        Note(at(3), "bp-b", "warning: nodeos is slow"),
        Note(at(4), "bp-b", "error: a defect in lane x: Oh"),
    ]
    assert [violation.startswith("bp-b at 2.0 s: ") for violation in check(found).violations] == [True]


def test_lost_evidence_is_caught() -> None:
    """A block that nobody seems to have signed means that signatures are missing: then nothing is proven (P1)."""
    found = history()
    found.unsigned.append(117)
    assert [violation.partition(":")[0] for violation in check(found).violations] == ["EVIDENCE"]


@pytest.mark.parametrize(("slots", "flags"), [(SHORT, 0), (SHORT + 1, 1)])
def test_gap_without_a_fault_is_flagged(slots: int, flags: int) -> None:
    """As many slots as a handover may cost are counted; more of them without a cause are flagged."""
    verdict = check(without(history(), 10, 9 + slots))
    assert verdict.violations == ()
    assert [(gap.count, gap.causes) for gap in verdict.gaps] == [(slots, ())]
    assert len(verdict.flags) == flags


@pytest.mark.parametrize(
    "cause",
    [
        done("nodeos-killed", "bp-a", 9, 12),
        done("etcd-cut", "bp-a", 0, 9),
        done("leader-deleted", "", 9, 9),
        done("etcd-nospace", "", 2, 12),
    ],
    ids=lambda cause: cause.fault.kind,
)
def test_gap_is_explained_by_a_fault_of_who_signed(cause: object) -> None:
    """A fault of the leader's host, of all of etcd, or a word explains the gap that follows, and is blamed for it."""
    found = without(history(), 10, 20)
    found.done.append(cause)  # type: ignore[arg-type] # parametrize hands out objects
    verdict = check(found)
    assert verdict.flags == ()
    assert verdict.gaps[0].blamed == 1


@pytest.mark.parametrize(
    "fault",
    [
        done("nodeos-killed", "bp-b", 9, 12),
        done("guard-killed", "bp-a", 9, 9),
        done("clock-jumped", "bp-a", 5, 12),
        done("etcd-killed", "etcd-1", 5, 15),
        done("nodeos-killed", "bp-a", 21, 23),
        done("nodeos-killed", "bp-a", 9, 12, failed="could not"),
        done("nodeos-killed", "bp-a", -60, -58),
    ],
    ids=["standby", "guard", "clock", "one-member", "later", "failed", "long-ago"],
)
def test_gap_is_not_explained_by_what_must_cost_nothing(fault: object) -> None:
    """A standby's fault, a guard's, a clock's, one etcd member's, one that came later or was not done: no excuse."""
    found = without(history(), 10, 20)
    found.done.append(fault)  # type: ignore[arg-type] # parametrize hands out objects
    assert len(check(found).flags) == 1


def test_two_etcd_members_lost_explain_a_gap() -> None:
    """Without a quorum nobody can confirm: two members down at once explain a gap."""
    found = without(history(), 20, 30)
    found.done += [done("etcd-killed", "etcd-1", 2, 28), done("etcd-frozen", "etcd-2", 3, 28, number=2)]
    assert check(found).flags == ()


def test_etcd_away_explains_a_gap_only_beside_a_lost_promise_or_for_long() -> None:
    """P3, R15: promises hold the lead while etcd has no quorum; for ever in `failsafe`, else while the lease lives."""
    found = without(history(), 20, 30)
    found.done.append(done("etcd-away", "", 0, 30))
    assert len(check(found).flags) == 1
    found.done.append(done("agent-killed", "bp-b", 18, 28, number=2))
    assert check(found).flags == ()
    found = without(history(120), 70, 90)
    found.done.append(done("etcd-away", "", 0, 100))
    assert check(found).flags == ()
    found.failsafe = True
    assert len(check(found).flags) == 1


def test_datagrams_alone_explain_no_gap() -> None:
    """P3, R17: with etcd there neither lost, doubled nor forged datagrams may cost a slot, nor a peer that freezes."""
    for kind in ("udp-cut", "udp-lossy", "udp-doubled", "udp-replayed", "udp-forged", "promiser-frozen"):
        found = without(history(), 20, 30)
        found.done.append(done(kind, "", 10, 30))
        assert len(check(found).flags) == 1


def test_stall_of_the_machine_explains_a_gap() -> None:
    """When the whole machine stood still no node can sign."""
    found = without(history(), 10, 20)
    found.stalls.append(Span("", at(9), at(20)))
    assert check(found).flags == ()


def test_gap_that_outlives_its_cause_is_flagged() -> None:
    """A cause explains a gap for as long as a recovery may take, not for ever."""
    slots = round(2 * RECOVERY) + 10
    found = without(history(slots + 30), 10, 10 + slots)
    found.done.append(done("nodeos-killed", "bp-a", 9, 10))
    assert len(check(found).flags) == 1


def test_gap_at_the_end_counts() -> None:
    """A chain that stands when the run ends has a gap up to there."""
    found = without(history(40), 30, 40)
    assert [gap.count for gap in check(found).gaps] == [10]


def test_blocks_of_a_node_that_is_not_governed_fill_no_gap() -> None:
    """Blocks that should not be there do not hide that the right ones are missing."""
    found = without(history(), 10, 20)
    found.signatures += [signature("bp-b", slot) for slot in range(10, 21)]
    found.ungoverned.append(Span("bp-b", at(9), at(22)))
    assert [gap.count for gap in check(found).gaps] == [11]


def test_change_of_leader_is_blamed_on_the_last_fault_before_it() -> None:
    """Who led when, and which fault came before."""
    found = history()
    found.done += [done("nodeos-killed", "bp-a", 5, 6, number=1), done("leader-deleted", "", 9, 9, number=2)]
    found.changes += [change("bp-a", 10, "stopping", "leader_changed", 1), change("bp-b", 12, "leading", "leads", 2)]
    tenures = check(found).tenures
    assert [(each.node, each.epoch, each.blamed) for each in tenures] == [("bp-a", 1, 0), ("bp-b", 2, 2)]


def test_story_tells_faults_phases_and_blocks_in_order() -> None:
    """A story is what happened around a moment, in order, and nothing else."""
    found = history()
    found.done.append(done("nodeos-frozen", "bp-a", 10, 14))
    found.changes.append(change("bp-a", 12, "stopping", "expiring", 1))
    found.signatures.append(signature("bp-b", 17, "ff"))
    lines = story(found, at(9), at(18)).splitlines()
    assert [line.split()[1] for line in lines] == ["bp-a", "FAULT", "bp-a", "fault", "bp-b", "bp-a"]
    assert "signs block" in lines[0]
    assert "stopping (epoch 1)" in lines[2]


@pytest.mark.parametrize(("slot", "wrong", "broken"), [(17, (20, 24), 0), (35, (10, 14), 1)], ids=["now", "long ago"])
def test_blocks_under_a_wrong_clock_count_for_no_slot(slot: int, wrong: tuple[int, int], broken: int) -> None:
    """A node whose clock jumped dates its blocks wrongly: they make no double signature until it is right (P1)."""
    found = history()
    found.signatures.append(signature("bp-b", slot, "ff"))
    found.misdated.append(Span("bp-b", at(wrong[0]), at(wrong[1])))
    verdict = check(found)
    assert [double.governed for double in verdict.doubles] == [bool(broken)]
    assert len(verdict.violations) == broken
