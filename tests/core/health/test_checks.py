"""Health: each check's verdict and reason, when it changes its mind, and what a node is compared with."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.election import ranking
from agent.core.health import checks
from agent.core.health.checks import (
    STANDS,
    DiskProbed,
    GateProbed,
    Health,
    InfoProbed,
    Limits,
    Others,
    PausedProbed,
    PeersProbed,
    Probe,
    ProcessProbed,
    ScheduleProbed,
)
from agent.core.health.hysteresis import CheckResult, CheckState, Thresholds, update
from agent.core.model.chain import Peers, ProcessId, Producer, Schedule
from agent.core.model.slots import EPOCH, SLOT
from tests.core.parts import (
    CHECKS,
    GOOD,
    KEY,
    LIMITS,
    NODEOS,
    OTHER_CHAIN,
    OTHER_KEY,
    PRODUCER,
    SCHEDULE,
    info,
    member,
    on_time,
)


def after(
    probes: Iterable[Probe],
    limits: Limits = LIMITS,
    others: Others = Others(),  # noqa: B008 - frozen
    leading_since: int | None = None,
    start: Health | None = None,
    now: int = 10_000,
) -> Health:
    """Return the health after some probes, half a second apart."""
    found = start or checks.begin(limits)
    for step, probe in enumerate(probes):
        found = checks.take(found, probe, limits, others, leading_since, now + step * 500)
    return found


HEALTHY = after(GOOD.values())


def one(name: str, *probes: Probe, **more: object) -> CheckState:
    """Return what one check stands at after probes on a healthy node."""
    return after(probes, start=HEALTHY, **more).checks[name]  # type: ignore[arg-type] # as `after` wants them


# --- rise and fall ---


def test_nothing_is_known_at_the_start() -> None:
    """A node of which nothing is known is neither healthy nor able, but nothing was seen to be wrong either."""
    found = checks.begin(LIMITS)
    assert not found.ok
    assert not found.can_produce
    assert len(found.reasons) == len(CHECKS)
    assert found.failing == ()


def test_one_good_answer_of_each_kind_makes_a_node_healthy() -> None:
    """The first result of a check counts at once, however high `rise` is: a start waits for nothing."""
    slow = replace(LIMITS, thresholds=dict.fromkeys(CHECKS, Thresholds(rise=9, fall=9)))
    found = after(GOOD.values(), slow)
    assert found.reasons == ()
    assert found.ok
    assert found.can_produce


@given(st.lists(st.booleans(), min_size=1, max_size=40), st.integers(1, 4), st.integers(1, 4))
def test_a_check_changes_its_mind_only_after_enough_results_in_a_row(results: list[bool], rise: int, fall: int) -> None:
    """After the first result, a check turns exactly when the last `rise` or `fall` results all speak against it."""
    check, expected = CheckState(), results[0]
    for count, ok in enumerate(results, 1):
        check = update(check, Thresholds(rise, fall), CheckResult(ok, f"result {count}"))
        need = rise if not expected else fall
        if count > 1 and count > need and all(each is not expected for each in results[count - need : count]):
            expected = not expected
        assert check.ok is expected
        assert check.known
    assert check.failures == results.count(False)


def test_the_reason_is_that_of_the_verdict_in_force() -> None:
    """A bad result that does not turn the check yet does not put its reason beside a passing check."""
    check = update(
        update(CheckState(), Thresholds(2, 2), CheckResult(True, "fine")), Thresholds(2, 2), CheckResult(False, "bad")
    )
    assert (check.ok, check.reason, check.streak) == (True, "fine", 1)
    check = update(check, Thresholds(2, 2), CheckResult(False, "worse"))
    assert (check.ok, check.reason, check.streak) == (False, "worse", 0)


def test_checks_that_are_switched_off_are_not_made() -> None:
    """Without a gate a check is not made, whatever the probe says."""
    only = replace(LIMITS, thresholds={"process": Thresholds()})
    found = after([*GOOD.values(), InfoProbed(None, 0, "dead"), PeersProbed(None, "dead")], only)
    assert set(found.checks) == {"process"}
    assert found.ok


def test_a_node_without_any_check_is_not_healthy() -> None:
    """No check at all is no proof of health."""
    assert not after(GOOD.values(), replace(LIMITS, thresholds={})).ok


# --- single checks ---


@pytest.mark.parametrize(
    ("name", "probe", "reason"),
    [
        ("process", ProcessProbed(None), "no nodeos process"),
        ("process", ProcessProbed(None, "no right to look"), "cannot look for it: no right to look"),
        ("main_thread", PausedProbed(0, None, "no answer in 1 s"), "no answer in 1 s"),
        ("head_age", InfoProbed(None, 0, "connection refused"), "connection refused"),
        ("chain_id", on_time(1001, chain=OTHER_CHAIN), f"nodeos is on chain {OTHER_CHAIN}, not {LIMITS.chain_id}"),
        ("peers", PeersProbed(Peers(5, 0)), "0 peers connected, at least 1 wanted"),
        ("peers", PeersProbed(None, "no answer"), "no answer"),
        (
            "schedule",
            ScheduleProbed(Schedule(4, (Producer(PRODUCER, (OTHER_KEY,)),))),
            f"the schedule has key {OTHER_KEY} for {PRODUCER}, not {KEY}",
        ),
        ("disk_space", DiskProbed(99, 900), "0.0 GiB (11.0 %) free for the data directory"),
        ("disk_space", DiskProbed(9 * 2**30, 100 * 2**30), "9.0 GiB (9.0 %) free for the data directory"),
        ("disk_space", DiskProbed(0, 0, "/data: Input/output error"), "/data: Input/output error"),
        ("clock_offset", on_time(1008, age=-800), "our clock is 0.3 s behind the chain's"),
    ],
)
def test_what_fails_a_check_and_why(name: str, probe: Probe, reason: str) -> None:
    """Each fault fails its own check and no other, with a reason that names the fault."""
    found = after([probe], start=HEALTHY)
    assert found.reasons == (f"{name}: {reason}",)
    assert found.failing == found.reasons
    assert not found.ok


@pytest.mark.parametrize(
    ("name", "probe", "note"),
    [
        ("peers", PeersProbed(None, "404", missing=True), "not measured: nodeos has no net_api_plugin"),
        ("schedule", ScheduleProbed(Schedule(4, ())), f"producer {PRODUCER} is not in the schedule now"),
        ("disk_space", DiskProbed(100, 1000), ""),
        ("clock_offset", on_time(1008, age=-750), ""),
        ("clock_offset", on_time(1008, age=2000), ""),
        ("head_age", on_time(1001, age=-900), ""),
        ("peers", PeersProbed(Peers(1, 1)), ""),
    ],
)
def test_what_is_only_noted(name: str, probe: Probe, note: str) -> None:
    """What cannot be measured, or is no fault of the node, is noted beside a check that passes."""
    found = after([probe], start=HEALTHY)
    assert found.ok
    assert found.checks[name].reason == note


def test_able_is_what_an_operator_may_insist_on() -> None:
    """A node that lags, has no peers and no disk left is able still; one without process, answer or chain is not."""
    bad: list[Probe] = [PeersProbed(None, "x"), DiskProbed(0, 1), on_time(900, age=60_000)]
    found = after(bad, start=HEALTHY, others=Others(2000, 0, "bp-b"))
    assert not found.ok
    assert found.can_produce
    for probe in (ProcessProbed(None), PausedProbed(0, None, "hung"), on_time(1001, chain=OTHER_CHAIN)):
        assert not after([probe], start=HEALTHY).can_produce


def test_without_chain_id_any_chain_will_do() -> None:
    """Where the configuration names no chain and no key, none is wrong."""
    free = replace(LIMITS, chain_id="", producer_key="")
    wrong_key = ScheduleProbed(Schedule(4, (Producer(PRODUCER, (OTHER_KEY,)),)))
    assert after([on_time(1001, chain=OTHER_CHAIN), wrong_key], free, start=HEALTHY).ok


# --- answers that do not come ---


@pytest.mark.parametrize("name", ["chain_id", "schedule"])
def test_no_answer_says_nothing_about_chain_and_schedule(name: str) -> None:
    """A request that fails once must not cost the leadership: what chain it is and whose turn is as it was (P3)."""
    silent: list[Probe] = [InfoProbed(None, 0, "no answer in 0.5 s"), ScheduleProbed(None, "no answer in 2 s")] * 9
    assert one(name, *silent).ok
    unknown = after(silent).checks[name]
    assert (unknown.known, unknown.ok) == (False, False)
    assert unknown.reason.startswith("no answer in")


def test_one_slow_get_info_keeps_a_leader_in_its_place() -> None:
    """With the configuration's own gates, a single get_info that is not answered in time leaves a node healthy (P3)."""
    gates = {name: Thresholds(1, 1) if name in ("process", "chain_id") else Thresholds(2, 3) for name in CHECKS}
    found = after([InfoProbed(None, 0, "no answer in 0.5 s")], replace(LIMITS, thresholds=gates), start=HEALTHY)
    assert found.ok
    assert found.info is None


def test_a_schedule_is_known_from_its_first_answer_on() -> None:
    """Requests that failed while nodeos was starting do not hold up the first answer."""
    slow = replace(LIMITS, thresholds=dict.fromkeys(CHECKS, Thresholds(rise=2, fall=3)))
    found = after([ScheduleProbed(None, "refused"), ScheduleProbed(None, "refused"), GOOD["schedule"]], slow)
    assert found.checks["schedule"].ok


def test_the_schedule_that_was_read_last_stays_known() -> None:
    """A question that failed says nothing of it, and it is known where the check is switched off, too."""
    assert after([ScheduleProbed(None, "refused")]).schedule is None
    assert after([ScheduleProbed(SCHEDULE), ScheduleProbed(None, "refused")]).schedule == SCHEDULE
    assert after([ScheduleProbed(SCHEDULE)], replace(LIMITS, thresholds={"peers": Thresholds()})).schedule == SCHEDULE


# --- another nodeos process ---


def test_another_process_is_judged_anew() -> None:
    """What the process before answered proves nothing of the next one: it may be on another chain, or hang."""
    found = after([ProcessProbed(None), ProcessProbed(ProcessId(71, 800))], start=HEALTHY)
    assert not found.ok
    assert not found.can_produce
    assert found.failing == ()
    assert (found.info, found.paused, found.peers) == (None, None, None)
    assert found.checks["process"].ok
    assert found.checks["disk_space"].ok
    assert found.checks["schedule"].ok


def test_another_process_is_believed_at_its_first_answer() -> None:
    """A nodeos that was down long enough to fail its checks does not need `rise` good answers after its start."""
    slow = replace(LIMITS, thresholds=dict.fromkeys(CHECKS, Thresholds(rise=5, fall=1)))
    down: list[Probe] = [ProcessProbed(None), PausedProbed(0, None, "refused"), InfoProbed(None, 0, "refused")]
    up: list[Probe] = [
        ProcessProbed(ProcessId(71, 800)),
        PausedProbed(0, True),
        on_time(1001),
        PeersProbed(Peers(1, 1)),
    ]
    found = after([*down, *up], slow, start=after(GOOD.values(), slow))
    assert {name for name, check in found.checks.items() if not check.ok} <= {"process", "clock_offset"}


def test_the_same_process_seen_again_changes_nothing() -> None:
    """The process is reported every second; only another one counts as a change."""
    assert after([ProcessProbed(NODEOS)] * 3, start=HEALTHY) == HEALTHY


# --- producing ---


def test_a_leader_that_somebody_paused_is_unhealthy() -> None:
    """A leader whose nodeos answers that it is paused does not produce: that is seen (R3)."""
    assert "paused" in one("producing", PausedProbed(9000, True), leading_since=9000).reason
    assert not one("producing", PausedProbed(9000, True), leading_since=9000).ok


@pytest.mark.parametrize(
    ("asked", "paused", "since"), [(9000, False, 8000), (7999, True, 8000), (9000, True, None), (9000, None, 8000)]
)
def test_an_answer_about_another_time_is_no_fault(asked: int, paused: bool | None, since: int | None) -> None:
    """A question asked before the resume, one that was not answered, and a standby's pause fail nothing here."""
    assert one("producing", PausedProbed(asked, paused, "" if paused is not None else "hung"), leading_since=since).ok


# --- compared with the group ---


def test_a_node_that_lags_behind_its_group_is_unhealthy() -> None:
    """An old head fails when a member is clearly further; the reason names who and how far."""
    check = one("head_age", on_time(1000, age=5000), others=Others(1010, 0, "bp-b"))
    assert (check.ok, check.reason) == (False, "head is 5.0 s old, bp-b is 10 blocks ahead")


@pytest.mark.parametrize("ahead", [-50, 0, 1, checks.NEAR])
def test_a_chain_that_stands_still_everywhere_is_nobodys_fault(ahead: int) -> None:
    """An old head is no fault when nobody is further: a last block that did not reach all does not count."""
    check = one("head_age", on_time(1000, age=60_000), others=Others(1000 + ahead, 0, "bp-b"))
    assert check.ok
    assert "stands still" in check.reason


def test_a_fresh_head_is_healthy_however_far_others_are() -> None:
    """A head that is young enough passes, whatever others report: reports may be of another fork."""
    assert one("head_age", on_time(1001, age=3000), others=Others(5000, 0, "bp-b")).ok


def test_lib_that_stands_still_here_and_moves_elsewhere() -> None:
    """A LIB that stands still fails when another member's is further by more than one producer's turn."""
    still = [on_time(1000 + step) for step in range(130)]
    assert not one("lib_progress", *still, others=Others(1100, 913, "bp-b")).ok
    check = one("lib_progress", *still, others=Others(1100, 912, "bp-b"))
    assert check.ok
    assert "for the whole group" in check.reason
    assert one("lib_progress", *still[:119], others=Others(1100, 2000, "bp-b")).ok


def test_a_get_info_that_fails_does_not_hide_that_lib_stands_still() -> None:
    """How long LIB stands still is counted through answers that did not come."""
    probes: list[Probe] = [on_time(1000 + step) for step in range(130)]
    probes[50:120:7] = [InfoProbed(None, 0, "no answer")] * len(probes[50:120:7])
    assert not one("lib_progress", *probes, others=Others(1100, 2000, "bp-b")).ok


def test_a_moving_lib_is_healthy() -> None:
    """A LIB that moves now and then passes, however far behind it is."""
    probes = [on_time(1000 + step, lib=900 + step // 100) for step in range(400)]
    assert one("lib_progress", *probes, others=Others(5000, 5000, "bp-b")).ok


def test_the_clock_is_judged_by_blocks_that_just_came() -> None:
    """A head far in the future tells that our clock is behind; an old head tells nothing about the clock."""
    assert after([on_time(1000, age=-9000)]).checks["clock_offset"].known is False, "how old that head is is not known"
    again = after([on_time(1000, age=-9000), on_time(1000, age=-9000)])
    assert again.checks["clock_offset"] == CheckState(True, "not measured: no new block", True)
    wrong: list[Probe] = [on_time(1000), on_time(1001, age=-9000)]
    assert not after(wrong).checks["clock_offset"].ok
    assert not after([*wrong, on_time(1001, age=-9000)]).checks["clock_offset"].ok, "no new block is no good news"


def test_a_chain_that_stands_does_not_hold_against_a_clock_what_it_was() -> None:
    """P2: who was wrong when the last block came, and was set right, leads again: no block would come to acquit it."""
    stood = after([on_time(1000), on_time(1001, age=-9000)])
    still = [on_time(1001, age=500 * step) for step in range(round(STANDS / 500) + 2)]
    assert not after(still[:-3], start=stood).checks["clock_offset"].ok, "not at once: blocks may be on their way"
    assert after(still, start=stood).checks["clock_offset"].ok
    ahead: list[Probe] = [on_time(1001, age=-9000)] * len(still)
    assert not after(ahead, start=stood).checks["clock_offset"].ok, "that clock is behind still"


@pytest.mark.parametrize("effort", [500, 462, 400, 300, 100])
def test_blocks_that_a_turn_dates_ahead_are_no_clock_behind(effort: int) -> None:
    """Whatever nodeos allows per turn, and however full blocks are, a right clock passes (12 blocks of `effort` ms)."""
    found = HEALTHY
    for slot in range(1008, 1032):
        begun = EPOCH + (slot // 12 * 12 - 1) * SLOT
        asked = begun + effort * (slot % 12 + 1)
        found = after([InfoProbed(info(slot), asked)], start=found)
        assert found.checks["clock_offset"].ok, found.reasons


def test_a_clock_behind_is_seen_at_each_turn_and_later_blocks_do_not_acquit_it() -> None:
    """A clock that is 1.3 s behind fails once a turn, and passes by none of the blocks between, in any number."""
    limits = replace(LIMITS, thresholds={"clock_offset": Thresholds(2, 3)})
    begun = after([on_time(999), on_time(1000)], limits)
    turns = [on_time(slot, age=-1300 - 38 * (slot % 12)) for slot in range(1008, 1046)]
    assert not after(turns, limits, start=begun).checks["clock_offset"].ok
    assert after(turns[:12], limits, start=begun).checks["clock_offset"].ok, "one turn is not three"


# --- whose head counts ---


def others(*members: object) -> Others:
    """Return what bp-a compares itself with."""
    return ranking.others("bp-a", members)  # type: ignore[arg-type] # members, from `member`


def test_the_furthest_other_member_is_the_measure() -> None:
    """Head and LIB are compared with the furthest of the others; our own report does not count."""
    found = others(member("bp-a", head=9999), member("bp-b", head=1000, lib=950), member("bp-c", head=1005, lib=940))
    assert found == Others(1005, 950, "bp-c")
    assert others(member("bp-a")) == others() == Others()


@pytest.mark.parametrize(
    "reason", ["peers: 0 peers connected, at least 1 wanted", "chain_id: wrong", "lib_progress: x"]
)
def test_a_producer_that_goes_on_alone_makes_nobody_look_behind(reason: str) -> None:
    """The head of a member that is cut off, on another chain or on a dead fork is no measure for the others."""
    alone = member("bp-b", healthy=False, reasons=(reason,), head=5000, lib=4000)
    found = others(alone, member("bp-c", head=1001, lib=901))
    assert found == Others(1001, 901, "bp-c")
    assert one("head_age", on_time(1000, age=60_000), others=found).ok


@pytest.mark.parametrize(
    "reason", ["disk_space: 1 GiB free", "head_age: 9 s", "schedule: wrong key", "producing: paused"]
)
def test_a_leader_with_a_fault_of_its_own_does_not_make_a_node_that_lags_look_level(reason: str) -> None:
    """A full disk says nothing against a head: or an unhealthy leader would hand over to one that is far behind."""
    leader = member("bp-b", healthy=False, reasons=(reason,), head=5000)
    check = one("head_age", on_time(1000, age=2_000_000), others=others(leader))
    assert not check.ok


def test_heads_of_a_member_that_starts_count() -> None:
    """A member that is not ready yet, and says so without a reason, is on the chain all the same."""
    assert others(member("bp-b", healthy=False, role="starting", head=2000)).head == 2000


def test_info_is_kept_for_those_who_ask() -> None:
    """The newest answers are there for status and metrics, and gone when nodeos stops answering."""
    assert HEALTHY.info == info(1000)
    assert (HEALTHY.paused, HEALTHY.peers, HEALTHY.schedule) == (True, Peers(3, 3), SCHEDULE)
    assert after([PausedProbed(0, None, "hung")], start=HEALTHY).paused is None


def test_a_gate_that_cannot_sign_makes_a_node_unable() -> None:
    """With a gate that is required a node without it is no candidate, not even if an operator insists."""
    limits = replace(LIMITS, thresholds={**LIMITS.thresholds, "gate": Thresholds(1, 2)})
    unknown = after(GOOD.values(), limits)
    assert not unknown.can_produce
    good = after([*GOOD.values(), GateProbed(0, "", 1, 2)], limits)
    assert good.ok
    assert good.can_produce
    bad = after([*GOOD.values(), GateProbed(0, "", 1, 2), *[GateProbed(0, "keosd: locked")] * 2], limits)
    assert bad.reasons == ("gate: keosd: locked",)
    assert not bad.can_produce
