"""What the agent tells over HTTP: the leader is only who is confirmed, ready only who may lead, and all is JSON."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from agent.core.alerts import rules
from agent.core.alerts.notice import Notice
from agent.core.health.finality import FinalityProbed
from agent.core.leadership.events import Eligibility
from agent.core.leadership.state import Phase, Production, State, StoreView, Tenure
from agent.core.model.chain import Block
from agent.core.model.finality import Finality, Finalizer
from agent.core.model.operator import Override, Switchover
from agent.core.model.records import Heartbeat, HeartbeatKey, LeaderKey
from agent.core.model.store import KeyValue
from agent.core.model.store import Snapshot as Snapshot_
from agent.core.node import step as core
from agent.core.node.snapshot import STUCK_MS, NodeSnapshot
from agent.core.node.state import EtcdFault, FinalityWatch, FinalizerSettings, GroupReports, LiveSettings, Node
from agent.telemetry.metrics import Metrics
from agent.telemetry.pages import AgentPages, latest, leased
from agent.telemetry.web import page
from tests.core.parts import GOOD, LIMITS, NODEOS, SETUP, info, member
from tests.support.moved_time import MovedTime

NOW = 100_000
FIT = Eligibility(eligible=True, can_produce=True, why="")
STANDBY: dict[str, Any] = {
    "started": True,
    "phase": Phase.STANDBY,
    "production": Production.STOPPED,
    "process": NODEOS,
    "lease": 7,
    "eligibility": FIT,
    "seen": StoreView(5, 5, last_holder="bp-b"),
}
TENURE = Tenure(3, "f00d", 9, 7, 12, 11, valid_until=NOW + 4000)
LEADING = {**STANDBY, "phase": Phase.LEADING, "production": Production.PRODUCING, "tenure": TENURE}


def make(clock: MovedTime | None = None, more: dict[str, Any] | None = None, **state: Any) -> AgentPages:
    """Return the pages of an agent in some state; `more` are fields of the node."""
    begun: Node = core.begin(LiveSettings("lab", LIMITS, version="0.1.0", url="127.0.0.1:9877"), State(SETUP))
    for probe in GOOD.values():
        begun, _ = core.step(begun, probe, NOW - 1000)
    whole = replace(begun, leadership=replace(begun.leadership, **state), **(more or {}))
    clock = clock or MovedTime(NOW)
    snapshot = NodeSnapshot(whole, NOW)
    return AgentPages(lambda: snapshot, Metrics("lab", "bp-a", clock, lambda: snapshot), clock, lambda: 4242)


# --- /livez ----------------------------------------------------------------------------------------------------------


def test_live_is_a_loop_that_steps() -> None:
    """A loop that has not stepped for seconds is not alive, whatever else is well; etcd has no part in it."""
    clock = MovedTime(NOW)
    pages = make(clock, {"etcd_faults": {"session": EtcdFault(1, "no quorum")}}, **STANDBY)
    assert pages.live() == (True, "last step 0.0 s ago")
    clock.now += STUCK_MS - 1
    assert pages.live()[0]
    clock.now += 1
    assert pages.live() == (False, "last step 5.0 s ago")


# --- /leader ---------------------------------------------------------------------------------------------------------


def test_the_leader_is_who_is_confirmed() -> None:
    """Leading, producing, and the stop time not come: then, and only then, this node is the leader (R1, R3)."""
    clock = MovedTime(NOW)
    pages = make(clock, **LEADING)
    assert pages.leader() == (True, "leader")
    assert pages.status()["leads"]
    clock.now = TENURE.valid_until - SETUP.timing.margin - 1
    assert pages.leader()[0]
    clock.now += 1
    assert pages.leader() == (False, "not the confirmed leader"), "a frozen loop does not stay leader"
    assert not pages.status()["leads"]


def test_what_a_fit_node_waits_for_is_told_with_the_seconds_left() -> None:
    """R20: while a forgotten confirmation may count nobody leads, and no node is unfit: only the wait tells why."""
    forgot = StoreView(5, 5, last_holder="bp-b", barred_until=NOW + 31_600)
    found = make(**{**STANDBY, "seen": forgot}).status()
    assert found["fit"]
    assert found["why_not"].startswith("its etcd lost its data, or was restored; ")
    assert found["why_not"].endswith("Z (32 s left)")
    assert make(**STANDBY).status()["why_not"] == ""


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase is not Phase.LEADING])
def test_no_other_phase_is_the_leader(phase: Phase) -> None:
    """Elected is not leading yet, stopping not any more."""
    assert not make(**{**LEADING, "phase": phase}).leader()[0]


# --- /readyz ---------------------------------------------------------------------------------------------------------


def test_ready_is_who_leads_or_may() -> None:
    """A healthy standby is ready, and so is the leader."""
    assert make(**STANDBY).ready() == (True, "standby")
    assert make(**LEADING).ready() == (True, "leading")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"phase": Phase.STARTING, "production": Production.PAUSING}, "starting, nodeos pausing"),
        ({"production": Production.UNKNOWN}, "standby, nodeos unknown"),
        ({"phase": Phase.STOPPING}, "stopping, nodeos stopped"),
        ({"process": None}, "no nodeos process"),
        ({"lease": None}, "no session in etcd"),
        ({"eligibility": Eligibility(why="peers: 0 of 1")}, "peers: 0 of 1"),
        ({"seen": StoreView(5, 5, override=Override("bp-b"))}, "an override names bp-b"),
        ({"seen": StoreView(5, 5, override=Override(None))}, "an override names nobody"),
        ({"seen": StoreView(5, 5, maintenance="disks")}, "maintenance: disks"),
        ({"seen": StoreView()}, "etcd was not read yet"),
        ({"leaving": True}, "the agent ends"),
    ],
)
def test_who_may_not_lead_is_not_ready_and_says_why(change: dict[str, Any], why: str) -> None:
    """Whatever keeps this node from taking over (R8) makes it not ready, with the reason."""
    assert make(**{**STANDBY, **change}).ready() == (False, why)


def test_without_etcd_nobody_is_ready() -> None:
    """A node that cannot reach etcd cannot take over."""
    assert make(None, {"etcd_faults": {"session": EtcdFault(NOW - 10, "no quorum")}}, **STANDBY).ready() == (
        False,
        "etcd does not answer",
    )


@pytest.mark.parametrize("able", [True, False])
def test_who_operators_chose_needs_only_be_able(able: bool) -> None:
    """An override for this very node counts more than its health, as long as it could produce at all."""
    chosen = {
        "seen": StoreView(5, 5, override=Override("bp-a")),
        "eligibility": Eligibility(can_produce=able, why="head_age: 9 s"),
    }
    assert make(**{**STANDBY, **chosen}).ready() == (able, "standby" if able else "head_age: 9 s")


# --- /status ---------------------------------------------------------------------------------------------------------


def test_status_of_nothing_known_is_json() -> None:
    """Before anything is known, all of it can be told."""
    told = json.loads(json.dumps(make(process=None).status()))
    assert told["phase"] == "starting"
    assert told["leader"] is None
    assert told["nodeos_pid"] is None
    assert told["validity_left_s"] is None


def test_status_of_everything_is_json() -> None:
    """With everything known, too: keys, records, members, checks, alerts."""
    heartbeat = Heartbeat(3, "bp-b", "beef", 8, 6000, True, Block(5, "id", 7, "p"), "why")
    seen = StoreView(
        9,
        9,
        LeaderKey("bp-b", 9),
        HeartbeatKey(heartbeat, 9),
        1,
        1,
        "bp-b",
        3,
        Override("bp-a", "reason", "me"),
        "text",
        Switchover("bp-a"),
    )
    reports = GroupReports(members=(member(), member("bp-a")), problems=("leader: what?",))
    told = json.loads(json.dumps(make(None, {"reports": reports}, **{**LEADING, "seen": seen}).status()))
    assert told["heartbeat"]["last_block"]["num"] == 5
    assert told["override"] == {"leader": "bp-a", "reason": "reason", "by": "me"}
    assert [each["node"] for each in told["members"]] == ["bp-b", "bp-a"]
    assert told["problems"] == ["leader: what?"]
    assert told["checks"]["peers"] == {"ok": True, "reason": ""}
    assert told["guard_pid"] == 4242
    assert told["epoch"] == 3
    assert told["validity_left_s"] == 4.0
    assert told["step_age_s"] == 0.0
    assert told["me"]["url"] == "127.0.0.1:9877"
    assert told["nodeos_pid"] == NODEOS.pid


def test_a_process_that_nobody_knows_has_no_pid() -> None:
    """A process that may be there but could not be found is told as unknown, not as pid 0."""
    assert make(**{**STANDBY, "process": replace(NODEOS, pid=0, start_ticks=0)}).status()["nodeos_pid"] is None


# --- what the status page shows ---


def snapshot_of(**values: object) -> Snapshot_:
    """Return the group's keys, each with its value as JSON or as raw text."""
    items = (
        KeyValue(SETUP.keys.root + key, value if isinstance(value, bytes) else json.dumps(value).encode(), number, 0)
        for number, (key, value) in enumerate(values.items(), 5)
    )
    return Snapshot_(99, tuple(items))


def test_words_that_end_by_themselves_are_named() -> None:
    """An override that hangs on a lease ends; one without stays."""
    found = snapshot_of(override={"leader": "bp-a"}, maintenance=b"disks")
    assert leased(SETUP.keys, found) == []
    items = tuple(replace(each, lease=7) if each.key.endswith("override") else each for each in found.items)
    assert leased(SETUP.keys, Snapshot_(99, items)) == ["override"]
    assert leased(SETUP.keys, None) == []


def test_the_status_has_the_newest_of_the_history() -> None:
    """Changes and words of operators come oldest first, no more than a few, with what each cost."""
    changes = {
        f"history/{number}": {"when_ms": number * 1000, "node": "bp-a", "slots_missed": 1} for number in range(30)
    }
    found = latest(SETUP.keys, snapshot_of(**changes, **{"audit/1": {"when_ms": 40_000, "by": "joe", "did": "drain"}}))
    assert [each.get("epoch") for each in found] == [*range(19, 30), None]
    assert found[0] == {
        "kind": "change",
        "when": "1970-01-01T00:00:19.000+00:00",
        "epoch": 19,
        "node": "bp-a",
        "slots_missed": 1,
    }
    assert found[-1]["did"] == "drain"


@pytest.mark.parametrize(
    "value", [b"{", b"[1]", b'{"slots_missed": NaN, "leaderless_ms": 1e999, "node": {"a": 1}, "reason": 7, "x": "y"}']
)
def test_rubbish_in_the_history_does_not_break_the_status(value: bytes) -> None:
    """What is not as it should be is left out: the JSON stays JSON for every reader."""
    found = latest(SETUP.keys, snapshot_of(**{"history/7": value, "history/8": b"{" + b" " * 70_000 + b"}"}))
    json.loads(json.dumps(found, allow_nan=False))
    assert all(set(each) <= {"kind", "when", "epoch"} for each in found)


def test_the_status_tells_how_long_the_lead_is_confirmed() -> None:
    """For ourselves by our tenure; for another leader from when its last confirmation was seen (R7)."""
    mine = HeartbeatKey(Heartbeat(3, "bp-a", "f00d", 9, 6000), 12)
    said = make(**LEADING | {"seen": StoreView(5, 5, heartbeat=mine, heartbeat_since=NOW - 100)}).status()
    assert (said["held"], said["lead_left_s"]) == (True, 4.0)
    theirs = HeartbeatKey(Heartbeat(3, "bp-b", "beef", 9, 6000), 12)
    standby = STANDBY | {"seen": StoreView(5, 5, heartbeat=theirs, heartbeat_since=NOW - 100)}
    assert make(**standby).status()["lead_left_s"] == 5.9
    old = STANDBY | {"seen": StoreView(5, 5, heartbeat=theirs, heartbeat_since=NOW - 7000)}
    assert (make(**old).status()["held"], make(**old).status()["lead_left_s"]) == (False, None)


def test_a_sign_of_life_goes_out_while_nothing_critical_is_open() -> None:
    """A loop that stands still, and a critical alert, hold the pings back; a warning does not."""
    clock = MovedTime(NOW)
    assert make(clock).well() == ""
    warning = Notice("no_standby/lab", "no_standby", "warning", "x", lasts=True)
    assert make(clock, {"alerts": rules.Open({warning.key: warning})}).well() == ""
    critical = Notice("no_leader/lab", "no_leader", "critical", "x", lasts=True)
    assert "no_leader/lab" in make(clock, {"alerts": rules.Open({critical.key: critical})}).well()
    clock.now = NOW + STUCK_MS
    assert "has not stepped" in make(clock).well()


def test_the_page_comes_with_headers_that_keep_others_out() -> None:
    """Nothing from elsewhere runs in it, nobody frames it, its type is not guessed, and no other site learns of it."""
    headers = dict(page()[1])
    policy = headers.pop("Content-Security-Policy").split("; ")
    assert {"default-src 'none'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"} <= set(policy)
    assert headers == {
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Resource-Policy": "same-origin",
    }


def test_the_status_tells_of_votes_and_why_nodeos_paused_itself() -> None:
    """Whose key is active, how old votes are, how far LIB is behind; nothing before Savanna."""
    assert make(**LEADING).status()["finality"] is None
    head = info().head_time
    policy = Finality((Finalizer(SETUP.producer, "A"), Finalizer("c", "C")), voted={"A": head - 9000, "C": head - 500})
    begun: Node = core.begin(LiveSettings("lab", LIMITS), State(SETUP))
    for probe in (*GOOD.values(), FinalityProbed(policy)):
        begun, _ = core.step(begun, probe, NOW - 1000)
    given = replace(begun.settings, finalizer=FinalizerSettings(SETUP.producer, "B"))
    more = {"health": begun.health, "settings": given, "finality": FinalityWatch(excused="it waits for votes")}
    found = make(more=more, **LEADING).status()
    assert found["finality"] == {
        "active_key": "A",
        "our_key": "B",
        "own_vote_age_s": 9.0,
        "others_vote_age_s": 0.5,
        "lib_lag": info().head_num - info().lib_num,
        "self_paused": "it waits for votes",
    }
    assert found["in_vain"] == found["me"]["plan"] == "it waits for votes", "so `status` and the page show it"
