"""Peers in the core: records, spans, promises (R13, R14, R15, R16, R17)."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from agent.core.leadership import actions as do
from agent.core.leadership import events as ev
from agent.core.leadership.state import Phase, Production
from agent.core.leadership.timing import GateMode, PeersMode, Timing, standstill
from agent.core.model import records
from agent.core.model.chain import Block
from agent.core.model.fields import RecordError
from agent.core.model.operator import Override
from agent.core.model.peers import MOST_PEERS, Beat, Peer, Promise, Sight
from agent.core.model.records import Heartbeat, HeartbeatKey, LeaderKey, read_heartbeat
from agent.core.model.runtime_record import Listing, RuntimeRecord, read_runtime
from agent.core.model.store import Ms
from tests.core.leadership.one import LEASE, NODEOS, One, T, held, record
from tests.core.parts import member

E_S = 2000
PEERS = (Peer("bp-b", "host-b"), Peer("bp-c", "host-c"))


def test_heartbeat_keeps_its_list() -> None:
    """R13: what a leader names every other reads, sorted; a heartbeat that names nobody looks as it did before."""
    named = Heartbeat(1, "bp-a", "i", 1, 2000, host_id="host-a", peers=PEERS)
    assert read_heartbeat(records.write(named)) == named
    assert read_heartbeat(records.write(Heartbeat(1, "bp-a", "i", 1, 2000, peers=PEERS[::-1]))).peers == PEERS
    assert not {"peers", "host_id"} & json.loads(records.write(Heartbeat(1, "bp-a", "i", 1, 6000))).keys()


@pytest.mark.parametrize(
    "peers",
    [
        "bp-b",
        ["bp-b"],
        [{"node": "bp-b"}],
        [{"node": "bp-b", "host_id": ""}],
        [{"node": "bp-b", "host_id": "1"}, {"node": "bp-b", "host_id": "2"}],
        [{"node": f"bp-{each}", "host_id": "1"} for each in range(MOST_PEERS + 1)],
    ],
)
def test_list_that_cannot_be_read_in_full_is_not_read(peers: object) -> None:
    """R13: no reader makes a shorter list of a bad one, for fewer would promise then."""
    value = json.loads(records.write(Heartbeat(1, "bp-a", "i", 1, 2000))) | {"peers": peers}
    with pytest.raises(RecordError, match=r"peers|host_id"):
        read_heartbeat(json.dumps(value).encode())


def test_run_time_file_keeps_the_lists_that_may_stand() -> None:
    """R15: a restart knows every list that may stand in the store; an older file names none."""
    lists = (Listing((), 6000, 100), Listing(PEERS, 2000, 200))
    file = RuntimeRecord("boot", 1, "held", 1, "i", 1, 1, 1, 1, 1, 1, resume_open=False, process=None, lists=lists)
    assert read_runtime(records.write(file)) == file
    value = json.loads(records.write(file))
    del value["lists"]
    assert read_runtime(json.dumps(value).encode()).lists == ()


def test_short_validity_leaves_time_to_ask_etcd() -> None:
    """R16, R17: E_s below A + beat + 0.5 s, or above E, is refused; without peers nobody asks for it."""
    assert Timing(peers=PeersMode.LEASE).problems() == []
    assert Timing(peers=PeersMode.OFF, peers_validity=1).problems() == []
    assert "peers.validity is 1.7 s but must be at least 1.8 s" in str(
        Timing(peers=PeersMode.LEASE, peers_validity=1700).problems()
    )
    assert "must not be above" in str(Timing(peers=PeersMode.FAILSAFE, peers_validity=7000).problems())
    gated = Timing(peers=PeersMode.LEASE, gate=GateMode.REQUIRED, slack=100, peers_validity=900)
    assert gated.problems() == []


# --- a leader ---


class Leading(One):
    """A leader with two peers, which promise as long as a test lets them."""

    def __init__(self, mode: PeersMode = PeersMode.FAILSAFE) -> None:
        super().__init__()
        self.given(replace(T, peers=mode), "host-a")
        self.lead()
        self.etcd = True
        self.members()

    def members(self, *nodes: str) -> None:
        """See who is there."""
        there = [member(each, host_id=f"host-{each[-1]}", peer_address="x") for each in nodes or ("bp-b", "bp-c")]
        self.see(members=tuple(there))

    def promise(self, beat: Beat, *nodes: str) -> None:
        """Let these peers promise."""
        for each in nodes:
            promise = Promise(beat.epoch, beat.instance, beat.number, each, f"host-{each[-1]}")
            self.tell(ev.PromiseReceived(promise, self.now), 1)
            self.save()

    def go(self, span: Ms, *nodes: str) -> None:
        """Let time pass while these peers promise, and etcd answers."""
        end = self.now + span
        while self.now < end:
            count = len(self.all)
            self.tick(max(1, min(end, self.state.wake or end) - self.now))
            self.save()
            for beat in [each.beat for each in self.all[count:] if isinstance(each, do.SendBeat)]:
                self.promise(beat, *nodes)
            if self.state.request and self.etcd:
                self.apply(self.state.kind)

    def beat(self) -> Beat:
        """Return the newest beat."""
        return self.last(do.SendBeat).beat

    @property
    def named(self) -> list[str]:
        """Whom the heartbeat names, as far as it is known to stand."""
        (known,) = self.state.support.lists
        return [each.node for each in known.peers]


def all_promise(one: One) -> None:
    """Let every peer promise to the newest beat of an agent that goes on in epoch 4."""
    number = one.last(do.SendBeat).beat.number
    for peer in PEERS:
        one.tell(ev.PromiseReceived(Promise(4, "me", number, peer.node, peer.host_id), one.now))


def both() -> Leading:
    """Return a leader that names both peers."""
    one = Leading()
    one.go(2000, "bp-b", "bp-c")
    assert one.named == ["bp-b", "bp-c"]
    return one


def test_who_promised_for_a_second_is_named() -> None:
    """R17: a member is named after five beats of promises, not before; who promises nothing is not."""
    one = Leading()
    one.go(900, "bp-b")
    assert one.named == []
    one.go(500, "bp-b")
    assert one.named == ["bp-b"]


def test_shorter_validity_is_in_the_file_before_it_is_sent() -> None:
    """R16: V is capped, and the run-time file with the new list is written, before the heartbeat with it leaves."""
    one = both()
    saves = [each for each in one.all if isinstance(each, do.SaveRuntime) and each.record]
    first = next(each for each in saves if each.record and len(each.record.lists) == 2)
    assert first.record is not None
    assert [len(each.peers) for each in first.record.lists] == [0, 1]
    assert first.record.valid_until <= first.record.lists[-1].at + E_S
    sent = next(each for each in one.all if isinstance(each, do.Transact) and b'"peers"' in str(each.txn.then).encode())
    assert one.all.index(first) < one.all.index(sent)


def test_promises_hold_the_lead_without_etcd() -> None:
    """R15: while all that are named promise the lead goes on; without one of them it ends at V - A."""
    one = both()
    one.etcd = False
    one.go(20_000, "bp-b", "bp-c")
    assert one.phase() is Phase.LEADING
    one.go(E_S, "bp-b")
    assert one.phase() is Phase.STOPPING


def test_promise_counts_from_when_its_beat_left() -> None:
    """R15: V is the sending of the beat + E_s, however late its promise is; one for no beat of ours is none."""
    one = both()
    one.etcd = False
    one.go(3000, "bp-b", "bp-c")
    one.tick(200)
    beat = one.beat()
    sent = one.now
    one.tick(300)
    one.promise(replace(beat, number=beat.number + 50), "bp-b", "bp-c")
    one.promise(replace(beat, instance="before"), "bp-b", "bp-c")
    assert one.tenure.valid_until < sent + E_S
    one.promise(beat, "bp-b", "bp-c")
    assert one.tenure.valid_until == sent + E_S


def test_promise_of_another_host_is_none() -> None:
    """R13: an agent with a copied name on another host promises for nobody."""
    one = both()
    before = one.state.support.votes
    one.tick(200)
    beat = one.beat()
    copied = Promise(beat.epoch, beat.instance, beat.number, "bp-b", "elsewhere")
    one.tell(ev.PromiseReceived(copied, one.now))
    assert one.state.support.vote(PEERS[0]) != next(each for each in before if each.peer == PEERS[0])
    assert one.tenure.valid_until <= before[0].sent + E_S


def test_etcd_is_asked_seldom_while_all_promise_and_at_once_when_one_is_late() -> None:
    """R17: one confirmation in ten R; half a beat after a promise was due etcd is asked, and then in time."""
    one = both()
    one.go(2000, "bp-b", "bp-c")
    count = len(one.all)
    one.go(10_000, "bp-b", "bp-c")
    assert 2 <= len([each for each in one.all[count:] if isinstance(each, do.Transact)]) <= 3
    count, begun = len(one.all), one.now
    one.go(600, "bp-b")
    assert [each for each in one.all[count:] if isinstance(each, do.Transact)]
    one.go(600, "bp-b")
    assert one.named == ["bp-b"]
    assert one.phase() is Phase.LEADING
    assert one.now - begun < E_S


def test_member_whose_report_is_gone_is_not_named() -> None:
    """R17: it has lost etcd, and goes on promising: nobody but it could take over, and it cannot."""
    one = both()
    one.members("bp-b")
    one.go(300, "bp-b", "bp-c")
    assert one.named == ["bp-b"]
    assert one.phase() is Phase.LEADING


def test_a_try_that_was_refused_for_a_void_leader_may_yet_be_applied() -> None:
    """P1, R15: `leader` may be absent once more, so the list of a try that compared with that still binds."""
    one = both()
    one.see(leader=None)
    one.tell(ev.EtcdLeaderBeside(("bp-c",)))
    one.tell(ev.LeaseSeen(LEASE + 1))
    one.tell(ev.LeaseKept(LEASE + 1, one.now + 9000))
    one.promise(one.beat(), "bp-b", "bp-c")
    one.save()
    assert len(one.state.support.lists) == 2, "the try that leaves now has another list"
    one.tell(ev.Unknown(one.request("regain").request, "no answer"))
    one.etcd = False
    one.go(300, "bp-b", "bp-c")
    one.members()
    heartbeat = one.state.seen.heartbeat
    void = LeaderKey(None, one.revision + 1)
    one.revision += 1
    one.tell(ev.Refused(one.request("regain").request, one.revision, void, heartbeat))
    assert one.phase() is Phase.LEADING
    assert len(one.state.support.lists) == 2


def test_member_beside_etcds_leader_is_not_named() -> None:
    """R17: its host would take promises and etcd away at once."""
    one = both()
    one.tell(ev.EtcdLeaderBeside(("bp-b",)))
    one.go(500, "bp-b", "bp-c")
    assert one.named == ["bp-c"]


def test_lease_that_may_be_over_takes_the_promises_away() -> None:
    """R15: in `lease` promises count while our own lease may live, by our clock."""
    one = Leading(PeersMode.LEASE)
    one.tell(ev.LeaseKept(LEASE, one.now + 8000))
    one.go(2000, "bp-b", "bp-c")
    one.etcd = False
    one.go(4000, "bp-b", "bp-c")
    assert one.phase() is Phase.LEADING
    one.go(1500, "bp-b", "bp-c")
    assert one.phase() is not Phase.LEADING


@pytest.mark.parametrize("late", [False, True], ids=["in time", "late"])
def test_reason_names_the_run_time_file_only_where_it_is_late(*, late: bool) -> None:
    """R3, R15: a file a beat behind V is as it should be: it is etcd that was away until our lease may have ended."""
    one = Leading(PeersMode.LEASE)
    one.tell(ev.LeaseKept(LEASE, one.now + 8150))
    one.go(2000, "bp-b", "bp-c")
    one.etcd = False
    one.go(3000, "bp-b", "bp-c")
    if late:
        one.save = list  # type: ignore[method-assign] # from here on nothing is written any more
    one.go(3000, "bp-b", "bp-c")
    assert ("run-time file is behind" in one.tenure.stop_reason) is late
    assert ("etcd is away, and our lease" in one.tenure.stop_reason) is not late


def test_promise_revives_no_tenure_that_stops() -> None:
    """R3, R15: a tenure that has begun to stop is over, whatever is promised."""
    one = both()
    one.tick(200)
    beat = one.beat()
    one.tell(ev.Shutdown())
    until = one.tenure.valid_until if one.state.tenure else 0
    one.promise(beat, "bp-b", "bp-c")
    assert one.phase() is Phase.STOPPING
    assert one.tenure.valid_until == until


def test_lists_of_the_process_before_bind() -> None:
    """R15: after a restart the lists in the run-time file are asked for, and no other until it is known what stands."""
    one = One()
    one.given(replace(T, peers=PeersMode.FAILSAFE), "host-a")
    lists = (Listing((), 6000, one.now - 5000), Listing(PEERS, E_S, one.now - 900))
    file = replace(record(one.now), valid_until=one.now + 1300, stop_by=one.now + 200, lists=lists)
    one.tell(ev.Started(file, NODEOS))
    one.save()
    assert one.phase() is Phase.LEADING
    one.tick(100)
    all_promise(one)
    assert one.tenure.valid_until == file.valid_until, "the empty list may stand: it binds"


@pytest.mark.parametrize("mode", PeersMode)
def test_restart_with_shorter_spans_caps_what_the_process_before_was_given(mode: PeersMode) -> None:
    """R16: V is no more than this process writes, and the file says so before its first confirmation leaves."""
    one = One()
    timing = replace(T, peers=mode)
    one.given(timing, "host-a")
    until = one.now + 14_000
    lists = (Listing((), 15_000, one.now - 1000),)
    file = replace(record(one.now), valid_until=until, stop_by=until - timing.margin, lists=lists)
    one.tell(ev.Started(file, NODEOS))
    assert one.phase() is Phase.LEADING
    assert one.tenure.valid_until == one.now + timing.validity
    one.tick(8)
    assert not one.state.request, "the guard would act on the longer V"
    one.save()
    while not one.state.request:
        one.tick(max(1, (one.state.wake or one.now) - one.now))
        one.tell(ev.LeaseKept(LEASE, one.now + 9000))
    sent = one.now
    one.apply("confirm")
    assert one.tenure.valid_until <= sent + timing.validity


def test_promise_counts_for_no_longer_than_the_heartbeat_tells() -> None:
    """R15: a peer that begins anew forgets its promise, and then waits for what stands in the heartbeat alone."""
    one = One()
    one.given(replace(T, peers=PeersMode.FAILSAFE, peers_validity=5000), "host-a")
    lists = (Listing(PEERS, E_S, one.now - 100),)
    file = replace(record(one.now), valid_until=one.now + 1900, stop_by=one.now + 800, lists=lists)
    one.tell(ev.Started(file, NODEOS))
    one.save()
    one.tick(100)
    sent = one.now
    all_promise(one)
    assert one.tenure.valid_until <= sent + E_S


def test_etcd_is_asked_in_time_while_our_lease_is_not_known_to_live() -> None:
    """R17: in `lease` promises count for nothing then, so nobody is named anew, and etcd confirms every R."""
    one = Leading(PeersMode.LEASE)
    one.go(10_000, "bp-b", "bp-c")
    assert one.phase() is Phase.LEADING
    assert one.named == []
    one.tell(ev.LeaseKept(LEASE, one.now + 4000))
    one.go(1500, "bp-b", "bp-c")
    assert one.named == ["bp-b", "bp-c"]
    one.go(10_000, "bp-b", "bp-c")
    assert one.phase() is Phase.LEADING, "the session is behind: etcd confirms in place of promises"


@pytest.mark.parametrize("moment", range(1000, 1200, 25))
def test_next_member_of_etcd_has_its_turn_when_a_peer_is_lost(moment: Ms) -> None:
    """P3, R17: a host may be lost with the member of etcd that we ask: two confirmations fit before V - A."""
    one = both()
    one.etcd = False
    one.go(moment, "bp-b", "bp-c")
    while not one.state.request:
        one.go(50, "bp-b")
    asked = one.request("confirm")
    one.tell(ev.Unknown(asked.request, "no answer"), asked.within)
    one.tick(max(0, (one.state.retry_at or one.now) - one.now))
    assert one.state.request
    one.apply("confirm", after=50)
    one.etcd = True
    one.go(3000, "bp-b")
    assert one.phase() is Phase.LEADING


def test_planned_restart_writes_the_long_validity() -> None:
    """R16: before the next process takes over the heartbeat names nobody; then the agent ends, and holds."""
    one = both()
    one.tell(ev.Restarting())
    one.go(100, "bp-b", "bp-c")
    assert one.named == []
    assert one.last(do.Exit) == do.Exit(holding=True)
    assert one.phase() is Phase.LEADING


# --- a member ---


class Member(One):
    """A standby, bp-b, which sees bp-a lead."""

    def __init__(self, *, named: tuple[Peer, ...] = PEERS, moved: bool = True) -> None:
        super().__init__("bp-b")
        self.given(replace(T, peers=PeersMode.LEASE), "host-b")
        self.standby()
        self.beats(1, named)
        if moved:
            self.beats(2, named)

    def beats(self, seq: int, named: tuple[Peer, ...] = PEERS, *, released: bool = False) -> None:
        """See a heartbeat of bp-a."""
        validity = E_S if named else 6000
        found = Heartbeat(1, "bp-a", "other", seq, validity, released, host_id="host-a", peers=named)
        self.see(leader=LeaderKey("bp-a", 2, 5), heartbeat=HeartbeatKey(found, self.revision + 1))

    def asked(self, number: int, **changes: object) -> list[do.Action]:
        """Hear a beat of bp-a; return the promise, if there is one."""
        beat = replace(Beat(1, "other", number, "bp-a", E_S, "me"), **changes)  # type: ignore[arg-type] # fields of it
        return [each for each in self.tell(ev.BeatReceived(beat, self.now)) if isinstance(each, do.SendPromise)]


def test_promise_binds_before_it_leaves() -> None:
    """R14: whoever promises does not take over E_s * 1.001 from the receipt, though the heartbeat stands still."""
    one = Member()
    one.tick(1500)
    assert one.asked(7) == [do.SendPromise(Promise(1, "other", 7, "bp-b", "host-b"), "bp-a")]
    promised = one.now
    one.tick(standstill(E_S) - 1)
    assert one.phase() is Phase.STANDBY
    one.tick(1)
    assert one.phase() is Phase.CAMPAIGNING
    assert one.now == promised + standstill(E_S)


def test_nobody_led_since_the_last_beat_that_was_heard() -> None:
    """R14, R17: a leader that its peers hold writes seldom: what it cost that it died is not counted from its write."""
    one = Member()
    one.tick(1500)
    assert one.asked(7)
    one.tick(standstill(E_S))
    assert one.tenure.gap == standstill(E_S)


def test_no_promise_before_our_nodeos_is_proven_stopped() -> None:
    """R14, R17: who could neither take over nor free the seat must not be named, or nobody may lead after."""
    one = Member()
    assert one.asked(7)
    one.tell(ev.ProcessSeen(replace(NODEOS, pid=NODEOS.pid + 1)))
    assert not one.state.proven
    assert not one.asked(8)
    one.paused()
    assert one.asked(9)


@pytest.mark.parametrize("named", [True, False])
def test_promise_of_one_whose_nodeos_restarts_while_etcd_is_away(named: bool) -> None:
    """R14, P3: a heartbeat that stands still is held by promises alone, so a member that it names goes on with them."""
    one = Member(named=PEERS if named else ())
    timing, seen = one.state.identity.timing, one.state.seen
    silent = seen.heartbeat_since + timing.renew_seldom + timing.request
    for number in range(silent - one.now - 10):
        if number % 1000 == 0:
            assert one.asked(7 + number)
        one.tick(1)
    one.tell(ev.ProcessSeen(replace(NODEOS, pid=NODEOS.pid + 1)))
    assert not one.state.proven
    assert not one.asked(20_000)
    one.tick(11)
    assert bool(one.asked(20_001)) is named
    one.beats(3, PEERS)  # etcd is back, and nobody has to name one that could not take over
    assert not one.asked(20_002)


def test_no_promise_twice_for_one_number() -> None:
    """R14: a beat that comes twice, late or again binds nobody anew."""
    one = Member()
    assert one.asked(7)
    assert not one.asked(7)
    assert not one.asked(6)
    assert one.asked(8)


def test_no_promise_while_a_take_over_is_under_way_or_unknown() -> None:
    """R14: a try that may yet be applied, ours or of the process before us, forbids every promise."""
    assert not Member(moved=False).asked(1)
    one = Member()
    one.tick(standstill(E_S))
    assert one.phase() is Phase.CAMPAIGNING
    assert not one.asked(1)
    one.tell(ev.Unknown(one.state.request, "no answer"))
    one.tick(1000)
    one.tell(ev.Rejected(one.state.request, lease_gone=True, why="no lease"))
    assert one.phase() is Phase.STANDBY
    assert not one.asked(2)
    one.beats(3)
    assert one.asked(3)


def test_no_promise_to_a_beat_for_another_process() -> None:
    """P2, R14: beats that were recorded before this agent began keep nobody from taking over, however many come."""
    one = Member()
    assert not one.asked(7, to="before")
    assert one.state.pledge.until == 0
    assert one.asked(7)


@pytest.mark.parametrize("changes", [{"epoch": 2}, {"epoch": 0}, {"node": "bp-c"}], ids=["above", "below", "another"])
def test_promise_is_for_the_holder_alone(changes: dict[str, object]) -> None:
    """R14: the heartbeat as it is known says whom to promise to."""
    assert not Member().asked(1, **changes)


def test_words_of_operators_take_promises_away() -> None:
    """R10, R14: who is named by hand, or knows that another is, gives no promise; nor once it is released."""
    one = Member()
    one.see(leader=LeaderKey("bp-c", 90))
    assert not one.asked(1)
    one = Member()
    one.see(override=Override("bp-c"))
    assert not one.asked(1)
    one.see(override=Override("bp-a"))
    assert one.asked(2)
    one.beats(3, released=True)
    assert not one.asked(3)


def test_who_is_not_named_takes_over_from_nobody() -> None:
    """R13: a heartbeat that names others is theirs, until it is released; what cannot be read stays theirs."""
    one = Member(named=PEERS[1:])
    one.tick(60_000)
    assert one.phase() is Phase.STANDBY
    one.see(heartbeat=HeartbeatKey(None, one.revision + 1), leader=None)
    one.tick(60_000)
    assert one.phase() is Phase.STANDBY
    one.see(heartbeat=None, leader=None)
    one.tick(10_000)
    assert one.phase() is Phase.CAMPAIGNING, "`del heartbeat` is the operator's word"


def test_named_node_that_cannot_lead_frees_the_seat() -> None:
    """R17: it takes the heartbeat, releases it at once without a resume, and keeps a nomination."""
    one = Member(named=PEERS[:1])
    one.tell(ev.Eligibility(False, can_produce=False, why="sick"))
    one.see(leader=LeaderKey("bp-c", 95))
    one.tick(standstill(E_S) + 1100)
    one.apply("take")
    assert one.phase() in (Phase.RELEASING, Phase.STOPPING)
    if one.phase() is Phase.STOPPING:
        one.read_head(40)
        one.save()
    one.save()
    put = {each.key: each for each in one.request("release").txn.then}
    assert not [each for each in one.all if isinstance(each, do.ResumeNodeos)]
    assert b'"released"' in put[one.state.identity.keys.heartbeat].value  # type: ignore[union-attr] # a put
    assert put[one.state.identity.keys.leader].value == b"bp-c"  # type: ignore[union-attr] # a put


def test_named_node_that_waits_for_blocks_keeps_the_seat() -> None:
    """R9, R17: whom it frees the seat for may lack the same blocks, and its release would name its own old one."""
    one = Member(named=PEERS[:1])
    one.tell(ev.Eligibility(False, can_produce=True, why="its chain is behind", behind=True))
    one.tick(standstill(E_S) + 2000)
    assert one.phase() is Phase.STANDBY
    one.tell(ev.Eligibility(False, can_produce=False, why="sick"))
    one.tick(10)
    assert one.phase() is not Phase.STANDBY


@pytest.mark.parametrize("named", [None, 990])
@pytest.mark.parametrize("head", [998, 1000])
def test_head_that_the_leader_told_last_is_waited_for_where_no_block_is_named(head: int, named: int | None) -> None:
    """R9: nodeos was gone, so its release names no block: who lacks one that was told would sign its slot again."""
    one = Member()
    assert one.asked(7, sight=Sight(1000, 900, 300, 5_000_000_000, 4_999_999_700))
    last = Block(named, "id", 0, "eosio") if named else None
    found = Heartbeat(1, "bp-a", "other", 2, E_S, True, last, "nodeos is gone")
    one.see(leader=None, heartbeat=HeartbeatKey(found, one.revision + 1))
    one.apply("take")
    begun = one.now
    one.read_head(head)
    assert one.power() is (Production.RESUMING if head >= (named or 1000) else Production.STOPPED)
    while one.power() is Production.STOPPED:
        one.tick(10)
        one.read_head(head)
    assert one.now - begun in (0, T.catch_up)


def test_without_peers_nothing_is_promised() -> None:
    """R14: who has them switched off gives no answer, and is told of by nobody."""
    one = One("bp-b")
    one.standby()
    for seq in (1, 2):
        one.see(leader=LeaderKey("bp-a", 2, 5), heartbeat=HeartbeatKey(held(1, "bp-a", seq), one.revision + 1))
    assert one.tell(ev.BeatReceived(Beat(1, "other", 1, "bp-a", E_S, "me"), one.now)) == []
