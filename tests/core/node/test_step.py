"""One agent as a whole, told as stories: what health and election make of leadership, and who hears of it."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from agent.core.alerts.notice import Notice
from agent.core.alerts.rules import Open
from agent.core.health.checks import Limits, Probe, ProcessProbed
from agent.core.leadership import events as ev
from agent.core.leadership.actions import Warn
from agent.core.leadership.state import State
from agent.core.model.chain import ProcessId
from agent.core.model.operator import Override
from agent.core.model.records import GroupView, write
from agent.core.model.slots import SLOT
from agent.core.model.store import Put, Txn
from agent.core.node import notify
from agent.core.node import step as core
from agent.core.node.stage import SAY_AGAIN, NodeStep
from agent.core.node.state import EtcdSeen, LiveSettings, Node, NodeEvent, Notify, Publish
from tests.core.parts import GOOD, LIMITS, NODEOS, SETUP, member
from tests.simulation.story import GATES, NAMES, Host, pair, settled, two

# --- a calm group ---


def test_a_new_group_is_no_outage() -> None:
    """A group that starts for the first time tells of its first leader, not of a leader that was missing since boot."""
    story = settled()
    assert [host.events_told() for host in story.hosts] == [["failover"], []]


def test_a_member_reports_every_two_seconds_and_at_once_on_change() -> None:
    """A member publishes how it is every 2 s; what fails or mends is published at once, with the reason."""
    story, _, standby = pair()
    start = len(standby.published())
    story.go(20)
    times = [at for at, _ in standby.published()[start:]]
    assert [later - one for one, later in pairwise(times)] == [2000] * (len(times) - 1)
    assert len(times) == 10
    standby.nodeos.kill()
    story.until(lambda: not standby.node.health.ok)
    at, found = standby.published()[-1]
    assert at == story.now or story.now - at < 100
    assert not found.healthy
    assert found.fails("process")


def test_a_change_of_role_is_published_at_once() -> None:
    """Who stops or begins to lead says so at once, though every check is as it was."""
    story, leader, standby = pair()
    story.put("leader", standby.name.encode())
    story.until(lambda: standby.leads, 5)
    for host, role in ((leader, "standby"), (standby, "leading")):
        at, found = host.published()[-1]
        assert found.role == role
        assert at == host.node.leadership.phase_since


def test_a_moving_head_is_no_change_worth_a_write() -> None:
    """Head, LIB and ages move all the time and are published with the next report: etcd is not written for them."""
    _, _, standby = pair()
    heads = [found.head for _, found in standby.published()[-3:]]
    assert heads == sorted(set(heads))
    assert heads[-1] - heads[0] >= 7


def test_nothing_is_published_without_a_lease() -> None:
    """Without a session lease a report would stay for ever; it comes at once when there is a lease."""
    node = core.begin(LiveSettings("lab", LIMITS), State(SETUP))
    node, actions = core.step(node, ev.Started(None, NODEOS), 1000)
    assert not any(isinstance(each, Publish) for each in actions)
    node, actions = core.step(node, ev.LeaseSeen(7), 1100)
    assert any(isinstance(each, Publish) for each in actions)
    node, actions = core.step(node, ev.LeaseSeen(None), 1200)
    assert not any(isinstance(each, Publish) for each in actions)
    node, actions = core.step(node, ev.LeaseSeen(8), 1300)
    assert any(isinstance(each, Publish) for each in actions)


# --- the chain ---


def test_a_standby_that_lags_is_unhealthy_until_it_has_caught_up() -> None:
    """A node that lags behind its group may not lead; when it is level again it may."""
    story, leader, standby = pair()
    standby.nodeos.isolated = True  # blocks do not reach it; what it counts as peers is not asked here
    standby.node = replace(standby.node, settings=replace(standby.node.settings, limits=without(standby, "peers")))
    story.until(lambda: not standby.node.health.ok, 15)
    assert standby.node.leadership.eligibility.why.startswith("head_age: head is")
    assert leader.name in standby.node.leadership.eligibility.why
    standby.nodeos.isolated = False
    story.until(lambda: standby.node.leadership.eligibility.eligible, 5)
    assert leader.leads


def without(host: Host, check: str) -> Limits:
    """Return the limits of a host without one check."""
    limits = host.node.settings.limits
    return replace(limits, thresholds={name: gate for name, gate in limits.thresholds.items() if name != check})


def test_a_leader_cut_off_from_its_peers_hands_over_to_the_rest() -> None:
    """A producer that goes on alone is unhealthy; the others, whom its head has left behind, are not (P2)."""
    story, leader, _ = pair("bp-a", "bp-b", "bp-c")
    leader.nodeos.isolated = True
    took = story.until(lambda: story.leader not in (leader, None), 20)
    assert took < 12
    assert leader.nodeos.head.head_num > story.head.head_num, "it was ahead, on a chain of its own"
    story.go(10)
    assert not leader.node.health.ok
    assert all(host.node.health.ok for host in story.hosts if host is not leader)


def test_a_lagging_standby_does_not_get_the_lead_of_an_unhealthy_leader() -> None:
    """A leader with a full disk stays while the only other node is far behind: a handover would stop the chain."""
    story, leader, standby = pair()
    standby.nodeos.isolated = True
    standby.node = replace(standby.node, settings=replace(standby.node.settings, limits=without(standby, "peers")))
    leader.disk_free = 1
    story.go(60)
    assert leader.leads
    assert not standby.node.health.ok
    assert story.head.head_num > standby.nodeos.head.head_num + 100


def said(host: Host) -> list[str]:
    """Return the warnings that a host gave out."""
    return [action.text for _, action in host.said if isinstance(action, Warn)]


# --- leaders that fail ---


def test_a_killed_nodeos_is_replaced_and_goes_down_in_history() -> None:
    """The other takes over at once, and writes from whom, why, and how many slots it cost (R5, R8)."""
    story, leader, standby = pair()
    head = story.head
    leader.nodeos.kill()
    assert story.until(lambda: standby.leads) < 1.5
    story.go(5)
    (epoch, begun), (again, proven) = standby.changes()
    assert epoch == again == 2
    assert (begun["node"], begun["from"]) == (standby.name, leader.name)
    assert "the nodeos process is gone" in str(begun["reason"])
    assert isinstance(begun["leaderless_ms"], int)
    missed = (story.head.head_time - head.head_time) // SLOT - (story.head.head_num - head.head_num)
    counted = {"slots_missed": missed, "outage_ms": missed * SLOT, "counted_to": proven["counted_to"]}
    assert proven == {**begun, **counted}
    assert standby.events_told()[0] == "failover"
    assert leader.events_told()[-2:] == ["leader_stops", "-leader_stops"]
    news = standby.told[0]
    assert news.fields["slots_missed"] == str(missed)
    assert (news.fields["from"], news.fields["to"]) == (leader.name, standby.name)


def test_history_tells_how_long_each_step_of_a_change_took() -> None:
    """The new leader's record has its take-over and its resume, the old one's gets its stop and its release (R3 to R9).

    What stood in a record before stays in it.
    """
    story, leader, standby = pair()
    before = leader.changes()[-1][1]
    story.put("leader", standby.name.encode())
    story.until(lambda: standby.leads, 10)
    story.go(1)
    epoch, end = leader.changes()[-1]
    assert (epoch, {name: end[name] for name in before}) == (1, before)
    timing = leader.setup.timing
    assert timing.block <= int(str(end["stop_ms"])) <= timing.pause + timing.block + timing.pause
    assert 0 <= int(str(end["release_ms"])) <= timing.request
    epoch, begun = standby.changes()[-1]
    assert epoch == 2
    assert 0 <= int(str(begun["take_ms"])) <= timing.request
    assert 0 <= int(str(begun["resume_ms"])) <= timing.request
    assert "stop_ms" not in begun


def test_the_first_tenure_knows_of_nobody_before() -> None:
    """Before the first leader nobody led, and since when is not known: it is left out of the history."""
    story = settled()
    _, begun = two(story)[0].changes()[0]
    spans = {name: begun[name] for name in ("take_ms", "resume_ms")}
    assert begun == {"epoch": 1, "node": "bp-a", "from": "", "reason": "nobody holds the heartbeat", **spans}


def test_a_leader_that_is_alone_tells_that_nobody_stands_by() -> None:
    """A healthy leader is no standby of its own: that nobody could take over is told after ten seconds."""
    story = settled("bp-a")
    story.go(5)
    assert story.hosts[0].events_told() == ["failover", "no_standby"]


def test_a_drained_leader_moves_the_lead_once() -> None:
    """A drained node hands over as soon as another may lead, and does not come back."""
    story, leader, other = pair()
    leader.node = replace(leader.node, settings=replace(leader.node.settings, drained=True))
    story.until(lambda: other.leads, 5)
    assert "drained" in str(other.changes()[0][1]["reason"])
    story.go(30)
    assert other.leads
    assert leader.node.leadership.eligibility.why == "drained"


# --- operators and others ---


def test_a_warning_that_goes_on_is_sent_again_after_a_while() -> None:
    """People are reminded of a warning that goes on, whatever its words; the log has new words at once."""
    node = core.begin(LiveSettings("lab", LIMITS), State(SETUP))
    logged, sent = [], []
    for now in range(0, notify.TELL_AGAIN + 1000, 500):
        step = NodeStep(node, ev.Tick(), now)
        step.do(Warn("pause_refused", "busy" if now == 1000 else "missing"))
        notify.notify(step)
        node, actions = step.node, step.actions()
        logged += [now] if any(isinstance(each, Warn) for each in actions) else []
        sent += [now] if any(isinstance(each, Notify) for each in actions) else []
    assert logged == sorted([1000, *range(0, notify.TELL_AGAIN + 1000, SAY_AGAIN)])
    assert sent == [0, notify.TELL_AGAIN]


def test_a_nodeos_that_cannot_be_looked_for_is_not_taken_for_gone() -> None:
    """No right to look is no proof: a leader whose process cannot be found goes on, unhealthy (R4)."""
    story = settled("bp-a")
    (leader,) = story.hosts
    before = leader.node.leadership
    leader.step(ProcessProbed(None, "permission denied"))
    assert leader.leads
    assert leader.node.leadership.process == before.process
    assert leader.node.health.failing == ("process: cannot look for it: permission denied",)
    assert leader.told[-1].event == "unhealthy"


def test_a_process_that_may_be_there_is_not_known() -> None:
    """Something stands where nodeos was and is not known to be nodeos: a leader stops, and does not come back (R4)."""
    story = settled("bp-a")
    (leader,) = story.hosts
    leader.step(ProcessProbed(ProcessId(0, 0), "conmon listens"))
    assert not leader.leads
    assert leader.node.leadership.process == ProcessId(0, 0)
    assert leader.node.health.failing == ("process: cannot look for it: conmon listens",)
    assert not leader.node.leadership.eligibility.can_produce


def test_the_words_of_operators_are_told_as_they_stand() -> None:
    """Alerts name whom an override names, or that nobody may lead; a maintenance without a reason is one too."""
    node = settled("bp-a").hosts[0].node
    seen = replace(node.leadership.seen, override=Override("bp-a"), maintenance="")
    named = notify.facts(replace(node, leadership=replace(node.leadership, seen=seen)), 200_000)
    assert (named.override, named.silenced, named.maintenance) == ("bp-a", False, "")
    seen = replace(seen, override=Override(None))
    silent = notify.facts(replace(node, leadership=replace(node.leadership, seen=seen)), 200_000)
    assert (silent.override, silent.silenced) == ("nobody may lead", True)


# --- the history ---


def test_a_tenure_that_ended_before_its_first_block_is_not_counted() -> None:
    """What a leader that stopped at once would have counted is another one's blocks: only its end is added."""
    story, leader, standby = pair()
    story.stalled = True
    leader.nodeos.kill()
    story.until(lambda: standby.leads)
    leader.nodeos.start()
    story.until(lambda: leader.node.leadership.eligibility.eligible, 10)
    standby.nodeos.kill()
    story.until(lambda: leader.leads)
    story.stalled = False
    standby.nodeos.start()
    story.go(20)
    assert [epoch for epoch, _ in standby.changes()] == [2, 2]
    assert "stop_ms" in standby.changes()[-1][1]
    assert not any("slots_missed" in fields for _, fields in standby.changes())
    assert leader.changes()[-1][0] == 3
    assert "slots_missed" in leader.changes()[-1][1]


# --- whatever happens ---

views = st.builds(
    GroupView,
    st.integers(1, 50),
    members=st.lists(
        st.sampled_from([member("bp-b"), member("bp-c", healthy=False), member("bp-a", head=5)]), max_size=3
    ).map(tuple),
    maintenance=st.sampled_from([None, "disk"]),
    problems=st.sampled_from([(), ("k: not JSON",)]),
)
probes: st.SearchStrategy[Probe] = st.sampled_from(list(GOOD.values()))
anything = st.one_of(
    probes,
    st.builds(ev.StoreSeen, views),
    st.builds(EtcdSeen, st.sampled_from(["", "no answer"])),
    st.builds(ev.LeaseSeen, st.sampled_from([None, 7])),
    st.just(ev.Tick()),
    st.just(ev.Shutdown()),
    st.builds(ev.PauseDone, st.integers(1, 9), st.sampled_from(ev.Call)),
)


@given(st.lists(st.tuples(st.integers(0, 3000), anything), max_size=30))
def test_any_order_of_events_is_taken(events: list[tuple[int, NodeEvent]]) -> None:
    """Whatever comes in whatever order, a step gives a state, and looks again within two seconds."""
    node: Node = core.begin(LiveSettings("lab", replace(LIMITS, thresholds=GATES)), State(SETUP))
    node, _ = core.step(node, ev.Started(None, NODEOS), 1000)
    now = 1000
    for wait_ms, event in events:
        now += wait_ms
        before = node
        node, actions = core.step(node, event, now)
        assert core.step(before, event, now) == (node, actions), "a step is pure"
        assert node.wake <= now + 2000
        assert not any(isinstance(each, Notify) and not each.notice.summary for each in actions)


def test_a_member_of_another_chain_counts_for_nothing_and_is_told() -> None:
    """P2: it is no standby, no measure and no candidate, however healthy it says that it is."""
    story = settled()
    host = story.hosts[0]
    stranger = member("bp-z", chain="b" * 64, priority=1, head=10**6)
    lease = story.etcdctl.grant(60, 1.0).id
    story.etcdctl.txn(Txn((), (Put(NAMES.member("bp-z"), write(stranger), lease),)), 1.0)
    story.go(5)
    assert host.leads
    assert [each.node for each in host.node.members] == ["bp-a", "bp-b"]
    assert "bp-z" in host.node.strangers[0]
    assert "stranger" in host.events_told()
    assert "stranger" in story.hosts[1].events_told()
    assert host.node.health.ok


def test_a_file_that_is_written_again_ends_its_alert_at_once() -> None:
    """Though a file that is written as ever is no news, and other alerts are open."""
    story = settled()
    leader = next(host for host in story.hosts if host.leads)
    told = {name: Notice(name, name, "critical", "why", lasts=True) for name in ("file_failed", "no_standby")}
    node = replace(leader.node, alerts=Open(told))
    _, actions = core.step(node, ev.RuntimeSaved(node.leadership.numbers, ok=True), story.now)
    assert "file_failed" in [each.notice.event for each in actions if isinstance(each, Notify) and each.notice.resolved]
