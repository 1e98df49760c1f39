"""Alerting: what is told, by whom, when, and when it is over."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import core
from agent.alerts.text import COLOURS
from agent.core.alerts import rules
from agent.core.alerts.kinds import AWAY_AFTER, ETCD_AFTER, HOLD, KINDS, NO_LEADER_AFTER, STANDBY_AFTER, WORDS_AFTER
from agent.core.alerts.notice import Notice
from agent.core.alerts.rules import AlertInput, Open, announced, duration, lasting, news, reopened, warned
from agent.core.leadership.actions import Announce, Warn
from agent.core.leadership.transitions import TRANSITIONS

CALM = AlertInput(
    group="lab",
    node="bp-a",
    producer="eosio",
    leads=False,
    stopped=True,
    leader="bp-b",
    before="",
    origin="",
    leaderless_since=None,
    etcd_down_since=None,
    etcd_error="",
    unhealthy=(),
    override="",
    silenced=False,
    maintenance=None,
    problems=(),
    standby_ready=True,
    ahead=("info",),
)
LEADS = replace(CALM, leads=True, stopped=False, leader="bp-a", ahead=())
NOBODY = replace(CALM, leader="", leaderless_since=0, ahead=())

Step = tuple[int, AlertInput]


def tell(*steps: Step, start: Open | None = None) -> list[str]:
    """Return what is told at each (time, facts): `time event` for one that begins, `time -event` for its end."""
    found, told = start or Open(), []
    for now, facts in steps:
        found, notices = lasting(found, facts, now)
        told += [f"{now} {'-' if each.resolved else ''}{each.event}" for each in notices]
    return told


# --- things that last ---

LASTING = {
    "no_leader": (NOBODY, NO_LEADER_AFTER, "critical"),
    "etcd_down": (replace(CALM, etcd_down_since=0), ETCD_AFTER, "warning"),
    "unhealthy": (replace(CALM, unhealthy=("peers: none",)), STANDBY_AFTER, "warning"),
    "no_standby": (replace(LEADS, standby_ready=False), STANDBY_AFTER, "warning"),
    "override_long": (replace(LEADS, override="bp-a"), WORDS_AFTER, "warning"),
    "maintenance_long": (replace(LEADS, maintenance=""), WORDS_AFTER, "warning"),
}


@pytest.mark.parametrize("event", LASTING)
def test_what_lasts_is_told_once_after_its_time_and_resolved_at_its_end(event: str) -> None:
    """A condition is told when it has lasted long enough, once, and its end is told once."""
    facts, delay, severity = LASTING[event]
    calm = replace(facts, leaderless_since=None, etcd_down_since=None, unhealthy=(), override="", maintenance=None)
    calm = replace(calm, standby_ready=True)
    times = (0, delay - 1, delay, delay + 1, 2 * delay)
    over = [(2 * delay + 1, calm), (2 * delay + 2, calm)]
    assert tell(*((now, facts) for now in times), *over) == [f"{delay} {event}", f"{2 * delay + 1} -{event}"]
    _, notices = lasting(Open(since={next(iter(lasting(Open(), facts, 0)[0].since)): 0}), facts, delay)
    assert [each.severity for each in notices] == [severity]


@pytest.mark.parametrize("event", LASTING)
def test_what_passes_quickly_is_not_told(event: str) -> None:
    """A condition that ends before its time is told neither way, and its next beginning counts anew."""
    facts, delay, _ = LASTING[event]
    calm = LEADS if facts.leads else CALM
    again = 10 * delay
    fresh = replace(
        facts,
        leaderless_since=None if facts.leaderless_since is None else again,
        etcd_down_since=None if facts.etcd_down_since is None else again,
    )
    assert tell((0, facts), (delay - 1, facts), (delay, calm), (again, fresh), (again + delay - 1, fresh)) == []


def test_the_leader_is_told_of_its_own_health_at_once() -> None:
    """An unhealthy leader is critical and told at once; a standby that restarts is not worth a call."""
    sick = replace(LEADS, unhealthy=("peers: none",))
    _, (notice,) = lasting(Open(), sick, 0)
    assert (notice.event, notice.severity) == ("unhealthy", "critical")
    assert "peers: none" in notice.summary


def test_a_leader_that_its_peers_keep_without_etcd_says_so_at_once_and_it_gets_worse() -> None:
    """A warning at once, told beside `etcd_down`; critical when `failsafe` has lasted; over when etcd answers."""
    away = replace(LEADS, etcd_down_since=0, etcd_error="no quorum", witnessed=True, failsafe=True)
    opened, (first,) = lasting(Open(), away, 0)
    assert (first.event, first.severity) == ("etcd_away", "warning")
    assert "by the promises of its peers alone" in first.summary
    later, (down,) = lasting(opened, away, ETCD_AFTER)
    assert down.event == "etcd_down"
    _, (worse,) = lasting(later, away, AWAY_AFTER)
    assert (worse.event, worse.severity) == ("etcd_away", "critical")
    assert lasting(later, replace(away, failsafe=False), AWAY_AFTER)[1] == (), "there it ends with the lease"
    assert tell((0, away), (1, LEADS)) == ["0 etcd_away", "1 -etcd_away"]
    assert tell((0, replace(away, witnessed=False)), (1, replace(away, leads=False))) == []


def test_what_gets_worse_is_told_again_and_what_gets_better_is_not() -> None:
    """An unhealthy standby that becomes leader is told again, as critical; back as a standby it is told no more."""
    sick = replace(CALM, unhealthy=("peers: none",))
    worse = replace(LEADS, unhealthy=("peers: none",))
    steps = [(0, sick), (STANDBY_AFTER, sick), (20_000, worse), (21_000, sick), (22_000, worse), (23_000, CALM)]
    assert tell(*steps) == [f"{STANDBY_AFTER} unhealthy", "20000 unhealthy", "23000 -unhealthy"]


def test_a_resolve_has_the_key_and_the_newest_words() -> None:
    """The end of an alert bears the key of its beginning, or no channel could match them."""
    found, (begun,) = lasting(Open(), replace(LEADS, unhealthy=("peers: none",)), 0)
    found, _ = lasting(found, replace(LEADS, unhealthy=("peers: none", "disk_space: full")), 1)
    _, (ended,) = lasting(found, LEADS, 2)
    assert (begun.key, begun.resolved) == (ended.key, False)
    assert ended.resolved
    assert "disk_space: full" in ended.summary


# --- who tells what belongs to the group ---


def test_a_standby_leaves_the_groups_alerts_to_the_leader() -> None:
    """What concerns the whole group is told by the leader alone, or every member would tell it."""
    facts = replace(CALM, override="bp-b", maintenance="disk", problems=("k/override: not JSON",), standby_ready=False)
    assert tell((0, facts), (2 * WORDS_AFTER, facts)) == []
    alone = replace(facts, leader="", ahead=())
    assert tell((0, alone), (2 * WORDS_AFTER, alone)) == [
        "0 unreadable",
        f"{2 * WORDS_AFTER} override_long",
        f"{2 * WORDS_AFTER} maintenance_long",
    ]


def test_a_new_leader_does_not_begin_to_count_anew() -> None:
    """How long an override has been on is counted by everybody, so a change of leader does not put it off."""
    standby, leader = replace(CALM, override="bp-a"), replace(LEADS, override="bp-a")
    steps = [(0, standby), (WORDS_AFTER - 1, standby), (WORDS_AFTER, leader)]
    assert tell(*steps) == [f"{WORDS_AFTER} override_long"]


def test_who_told_an_alert_ends_it_only_when_it_is_over() -> None:
    """A leader that steps down does not resolve what goes on; it resolves it when it is over."""
    standby, leader = replace(CALM, override="bp-a"), replace(LEADS, override="bp-a")
    steps = [(0, leader), (WORDS_AFTER, leader), (WORDS_AFTER + 1, standby), (WORDS_AFTER + 2, CALM)]
    assert tell(*steps) == [f"{WORDS_AFTER} override_long", f"{WORDS_AFTER + 2} -override_long"]


def test_a_missing_standby_is_over_when_another_leads() -> None:
    """Who does not lead any more says nothing about standbys."""
    alone = replace(LEADS, standby_ready=False)
    assert tell((0, alone), (STANDBY_AFTER, alone), (STANDBY_AFTER + 1, CALM)) == [
        f"{STANDBY_AFTER} no_standby",
        f"{STANDBY_AFTER + 1} -no_standby",
    ]


# --- no leader ---


def test_no_leader_counts_from_when_nobody_led() -> None:
    """The thirty seconds count from when the heartbeat fell free, not from when this agent looked."""
    facts = replace(NOBODY, leaderless_since=5000)
    assert tell((34_999, facts), (35_000, facts)) == ["35000 no_leader"]


def test_nobody_leads_because_an_operator_says_so() -> None:
    """Under `override none` a missing leader is what was asked for; the override itself is told when it is long."""
    silent = replace(NOBODY, silenced=True, override="nobody may lead")
    assert tell((0, silent), (NO_LEADER_AFTER, silent), (WORDS_AFTER, silent)) == [f"{WORDS_AFTER} override_long"]


def test_no_leader_without_etcd_says_how_sure_it_is() -> None:
    """An agent that cannot reach etcd says that it cannot know who leads elsewhere."""
    _, notices = lasting(Open(), replace(NOBODY, etcd_down_since=0), NO_LEADER_AFTER)
    assert {each.event for each in notices} == {"no_leader", "etcd_down"}
    assert "as far as bp-a can tell without etcd" in next(each for each in notices if each.event == "no_leader").summary


# --- values that cannot be read ---


def test_garbage_is_told_a_key_at_a_time_and_no_more_than_a_few() -> None:
    """Each key that cannot be read is told with its name; hundreds of them are not hundreds of alerts."""
    problems = tuple(f"/n/lab/members/x{number}: not JSON" for number in range(200))
    found, notices = lasting(Open(), replace(LEADS, problems=problems), 0)
    assert [each.key for each in notices] == [f"unreadable//n/lab/members/x{number}" for number in range(5)]
    _, notices = lasting(found, replace(LEADS, problems=problems[1:]), 1)
    assert [(each.key[-2:], each.resolved) for each in notices] == [("x5", False), ("x0", True)]


# --- things that happen ---


def announcement(key: str, detail: str = "") -> Announce:
    """Return a transition as the core announces it."""
    row = TRANSITIONS[key]
    reason = f"{row.reason}: {detail}" if detail else row.reason
    return Announce(key, row.sources[0].value, row.target.value, reason, 7)


def test_a_failover_says_who_after_whom_and_why() -> None:
    """A change of leader is told with both names and the reason why the one before ended."""
    (notice,) = announced(announcement("leads"), replace(LEADS, before="bp-b", origin="bp-b released it: disk full"))
    assert (notice.event, notice.severity, notice.key) == ("failover", "info", "failover/lab/7")
    assert notice.summary == "bp-a leads lab now, after bp-b: bp-b released it: disk full"
    assert notice.fields["from"] == "bp-b"
    assert notice.fields["epoch"] == "7"


def test_the_first_leader_comes_after_nobody() -> None:
    """The first leader of a group is told as the first."""
    (notice,) = announced(announcement("leads"), replace(LEADS, origin="nobody holds the heartbeat"))
    assert "as the first" in notice.summary


def test_a_leader_that_stops_says_why() -> None:
    """Every stop of a leader is told with the reason of the moment; one that was asked for is no warning."""
    for row in TRANSITIONS.values():
        if row.target.value == "stopping" and row.key not in ("late_answer", "elected_late"):
            (notice,) = announced(announcement(row.key, "detail"), CALM)
            asked = row.key in ("leader_changed", "override", "switchover", "drained", "failback", "shutdown")
            expected = ("leader_leaves", "info", False) if asked else ("leader_stops", "warning", True)
            expected = ("leader_in_vain", "critical", True) if row.key == "barren" else expected
            assert (notice.event, notice.severity, notice.lasts) == expected
            assert f"{row.reason}: detail" in notice.summary


def test_a_stop_is_resolved_when_somebody_leads_again() -> None:
    """A leader that had to stop is an open alert until another one leads, or the same one again."""
    (notice,) = announced(announcement("nodeos_gone"), replace(LEADS, leads=False), 5)
    start = rules.opened(Open(), notice, 5)
    still = replace(CALM, leader="bp-a")
    for over in (CALM, LEADS):
        assert tell((6, still), (9, replace(still, leader="")), (10, over), start=start) == ["10 -leader_stops"]
    _, (ended,) = lasting(start, CALM, 1305)
    assert ended.fields["duration"] == "1.3 s"


def test_the_news_of_a_failover_has_what_it_cost() -> None:
    """A failover is told once its slots are counted; or without, when that takes long, or the lead ends."""
    (notice,) = announced(announcement("leads"), replace(LEADS, before="bp-b", origin="why", gap=5900))
    waiting = Open(news=notice, news_by=10_000)
    assert news(waiting, LEADS, 9_999, None) == (waiting, ())
    left, (told,) = news(waiting, LEADS, 700, 11)
    assert left.news is None
    assert (told.fields["slots_missed"], told.fields["duration"]) == ("11", "5.9 s")
    for found in (news(waiting, LEADS, 10_000, None), news(waiting, CALM, 1, None)):
        assert "slots_missed" not in found[1][0].fields


@pytest.mark.parametrize("key", ["goes_on", "ready", "campaign", "elected", "released", "late_answer", "elected_late"])
def test_what_changes_nothing_for_anybody_is_not_told(key: str) -> None:
    """An agent that restarts and goes on, and steps on the way, are for the log."""
    assert announced(announcement(key), CALM) == ()


def warnings_in_use() -> Iterator[str]:
    """Yield the key of each warning that the core gives."""
    for path in Path(core.__path__[0]).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Warn":
                assert isinstance(node.args[0], ast.Constant)
                yield str(node.args[0].value)


def test_every_warning_names_a_remedy() -> None:
    """Each warning that the core can give has a row in the table, with its severity and what to do."""
    keys = set(warnings_in_use()) - set(rules.FOR_THE_LOG)
    at_once = {"in_vain", "switchover_refused", "switchover_void", "leader_ignored"}
    assert keys == set(rules._HOLDS) - {"leader_stops", "leader_in_vain", "votes_missing"} | at_once
    for key in keys:
        notice = warned(Warn(key, "why"), CALM)
        assert notice.severity == KINDS[key].severity in ("warning", "critical")
        assert notice.fields["do"]
        assert notice.summary == "bp-a: why"


def test_what_stays_open_says_what_ends_it_and_what_to_do() -> None:
    """Each row of the table that opens an alert tells how it ends and the remedy; its key names its scope."""
    for event, kind in KINDS.items():
        assert kind.do or not kind.over, event
        assert kind.key("lab", "x") == (f"{event}/lab" if kind.scope == "group" else kind.key("lab", "x"))
        assert kind.key("lab", "x").startswith(f"{event}/")


def test_a_warning_that_lasts_is_over_when_nodeos_is_proven_stopped() -> None:
    """A fence that failed stands until nodeos is proven stopped, and then its end is told (R4)."""
    running = replace(CALM, stopped=False)
    found = rules.opened(Open(), warned(Warn("fence_failed", "why"), running))
    assert tell((1, running), (2, running), (3, CALM), start=found) == ["3 -fence_failed"]


def test_what_is_over_at_once_stays_open_for_people_to_see() -> None:
    """A standby that was resumed by hand is paused within a second; its alert stands until it has not come for long."""
    running = replace(CALM, stopped=False)
    found = rules.opened(Open(), warned(Warn("unpaused", "why"), running, 100), 100)
    found = rules.opened(found, warned(Warn("unpaused", "why"), running, 5000), 5000)
    assert tell((6000, CALM), (4999 + HOLD, CALM), (5000 + HOLD, CALM), start=found) == [f"{5000 + HOLD} -unpaused"]


def test_a_lead_in_vain_stays_open_until_it_has_not_come_for_long() -> None:
    """Nobody can tell when it is mended, so it is over when it has not come for a while."""
    found = rules.opened(Open(), warned(Warn("in_vain", "why"), LEADS, 100), 100)
    assert tell((200, LEADS), (100 + HOLD, LEADS), start=found) == [f"{100 + HOLD} -in_vain"]


def test_the_run_time_file_is_well_when_it_is_written_again() -> None:
    """The alert about the run-time file ends with the next write that succeeds."""
    found = rules.opened(Open(), warned(Warn("file_failed", "why"), CALM))
    assert tell((1, CALM), (2, replace(CALM, saved=True)), start=found) == ["2 -file_failed"]


@pytest.mark.parametrize(
    ("span", "words"),
    [(0, "0.0 s"), (9_999, "10.0 s"), (12_000, "12 s"), (185_000, "3 min 5 s"), (7_800_000, "2 h 10 min")],
)
def test_spans_are_written_for_people(span: int, words: str) -> None:
    """Seconds, minutes or hours, whatever fits."""
    assert duration(span) == words


# --- told once, by whom ---


def test_of_members_without_a_leader_only_the_first_tells() -> None:
    """While nobody leads, the first of the members that have a channel for it tells it; all, if nobody can know."""
    for level in ("info", "warning", "critical"):
        assert tell((30_000, replace(NOBODY, ahead=(level,)))) == []
    assert tell((30_000, replace(NOBODY, ahead=("", "")))) == ["30000 no_leader"]
    assert tell((30_000, replace(NOBODY, ahead=("info",), fresh=False))) == ["30000 no_leader"]


def test_a_leader_without_a_channel_leaves_its_groups_alerts_to_who_has_one() -> None:
    """An override that is forgotten is told by a standby, if the leader could not tell anybody."""
    mute, critical = replace(CALM, override="bp-b", ahead=("",)), replace(CALM, override="bp-b", ahead=("critical",))
    for facts in (mute, critical):
        assert tell((0, facts), (WORDS_AFTER, facts)) == [f"{WORDS_AFTER} override_long"]
    stale = replace(mute, fresh=False)
    assert tell((0, stale), (WORDS_AFTER, stale)) == []


def test_what_another_member_has_told_is_not_told_again() -> None:
    """A new leader does not repeat what the one before has told; it does when that one is gone with its word."""
    on = replace(LEADS, override="bp-a", elsewhere=frozenset({"override_long/lab"}))
    gone = replace(on, elsewhere=frozenset())
    told = tell((0, on), (WORDS_AFTER, on), (WORDS_AFTER + 1, gone), (WORDS_AFTER + 2, on), (WORDS_AFTER + 3, LEADS))
    assert told == [f"{WORDS_AFTER + 1} override_long", f"{WORDS_AFTER + 3} -override_long"]


def test_what_an_earlier_process_told_is_over_only_when_enough_is_known() -> None:
    """A restarted agent neither tells again what goes on, nor resolves it before it can know; then it resolves it."""
    _, (sick,) = lasting(Open(), replace(LEADS, unhealthy=("peers: none",)), 7)
    early = replace(LEADS, settled=False)
    start = reopened((sick,))
    assert tell((20, early), (30, replace(LEADS, unhealthy=("peers: none",))), (40, LEADS), start=start) == [
        "40 -unhealthy"
    ]
    assert tell((20, early), (40, LEADS), start=start) == ["40 -unhealthy"]
    _, (ended,) = lasting(start, LEADS, 61_007)
    assert ended.fields["duration"] == "1 min 1 s"


def test_an_alert_that_no_version_knows_is_not_reopened() -> None:
    """What another version left open, and this one does not know, is dropped: nothing here could resolve it."""
    assert reopened((Notice("x", "of_tomorrow", "critical", "x", lasts=True),)) == Open()


# --- whatever the facts ---

facts_of_any_kind = st.builds(
    AlertInput,
    st.just("lab"),
    st.just("bp-a"),
    st.just("eosio"),
    st.booleans(),
    st.booleans(),
    st.sampled_from(["", "bp-a", "bp-b"]),
    st.just(""),
    st.just(""),
    st.none() | st.integers(0, 10_000_000),
    st.none() | st.integers(0, 10_000_000),
    st.just("no answer"),
    st.sampled_from([(), ("peers: none",)]),
    st.sampled_from(["", "bp-b"]),
    st.booleans(),
    st.sampled_from([None, "", "disk"]),
    st.lists(st.sampled_from(["k/a: x", "k/b: x"]), unique=True).map(tuple),
    st.booleans(),
)


@given(st.lists(st.tuples(st.integers(0, 5_000_000), facts_of_any_kind), max_size=12))
def test_begin_and_end_always_alternate(steps: list[Step]) -> None:
    """For each key a beginning comes first, an end ends it, and what is open is told again only if it is worse."""
    found, open_now = Open(), dict[str, Notice]()
    now = 0
    for wait, facts in steps:
        now += wait
        found, notices = lasting(found, facts, now)
        for notice in notices:
            assert notice.severity in COLOURS
            before = open_now.pop(notice.key, None)
            if notice.resolved:
                assert before is not None
            else:
                assert before is None or (before.severity, notice.severity) == ("warning", "critical")
                open_now[notice.key] = notice
        assert set(open_now) == set(found.notices)
