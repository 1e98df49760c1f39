"""The rules of the leadership protocol, one after another: events in, actions out, at given times.

One node, `bp-a`, stands against a store and a nodeos that answer what the test says. Times are milliseconds.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.core.leadership import actions as do
from agent.core.leadership import events as ev
from agent.core.leadership import machine
from agent.core.leadership.state import Identity, Phase, Production, State
from agent.core.leadership.timing import Timing, standstill
from agent.core.model import records
from agent.core.model.chain import Block, ProcessId
from agent.core.model.keys import keys as keys_of
from agent.core.model.operator import Override, Switchover
from agent.core.model.records import GroupView, Heartbeat, HeartbeatKey, LeaderKey, RuntimeRecord
from agent.core.model.store import Delete, Ms, Put
from tests.core.parts import member

KEYS = keys_of("/nodeos-failover", "g")
T = Timing()
NODEOS = ProcessId(100, 1)
LEASE = 77


class One:
    """An agent under test. `tell` gives an event at a time and returns the actions; `all` has every action so far."""

    def __init__(self, node: str = "bp-a") -> None:
        self.state = State(Identity(node, "me", KEYS, producer="eosio", boot_id="boot", agent_pid=1))
        self.now: Ms = 1000
        self.all: list[do.Action] = []
        self.revision = 10

    def tell(self, event: ev.Event, after: Ms = 0) -> list[do.Action]:
        """Give `event`, `after` ms later."""
        self.now += after
        self.state, new = machine.step(self.state, event, self.now)
        self.all += new
        return list(new)

    def tick(self, after: Ms) -> list[do.Action]:
        """Let time pass."""
        return self.tell(ev.Tick(), after)

    def last(self, kind: type[do.Action]) -> do.Action:
        """The newest action of a kind."""
        return next(action for action in reversed(self.all) if isinstance(action, kind))

    def phase(self) -> Phase:
        """The phase now; a call, so that no type checker remembers the one before."""
        return self.state.phase

    def power(self) -> Production:
        """What is known of nodeos's production now."""
        return self.state.production

    def request(self, kind: str) -> do.Transact:
        """The transaction under way, which must be of this kind."""
        found = self.last(do.Transact)
        assert isinstance(found, do.Transact)
        assert (found.kind, found.request) == (kind, self.state.request)
        return found

    def save(self) -> list[do.Action]:
        """Acknowledge the run-time file."""
        return self.tell(ev.RuntimeSaved(self.state.saving, ok=True)) if self.state.saving else []

    def apply(self, kind: str, after: Ms = 2) -> list[do.Action]:
        """Let etcd apply the transaction under way."""
        request = self.request(kind)
        self.revision += 1
        return [*self.tell(ev.Applied(request.request, self.revision), after), *self.save()]

    def see(self, after: Ms = 0, **keys: object) -> list[do.Action]:
        """Let the agent see the store at the next revision."""
        self.revision += 1
        seen = self.state.seen
        whole = {"leader": seen.leader, "heartbeat": seen.heartbeat, "override": seen.override} | keys
        whole = {"members": (member("bp-b"), member("bp-c"))} | whole
        return self.tell(ev.StoreSeen(GroupView(self.revision, **whole)), after)  # type: ignore[arg-type] # keys of it

    def paused(self) -> list[do.Action]:
        """Let nodeos answer the pause, and the block in flight be done."""
        pause = self.last(do.PauseNodeos)
        assert isinstance(pause, do.PauseNodeos)
        return [*self.tell(ev.PauseDone(pause.call, ev.Call.OK), 1), *self.tick(T.block)]

    def standby(self, *, fit: bool = True, rank: int = 0) -> None:
        """Start, proven stopped, with a lease, fit to lead; the store was not seen yet."""
        self.tell(ev.Started(None, NODEOS))
        self.paused()
        self.tell(ev.LeaseSeen(LEASE))
        self.tell(ev.Eligibility(fit, can_produce=True, rank=rank, why=""))

    def lead(self) -> None:
        """Come to lead, in epoch 1."""
        self.standby()
        self.see(leader=None, heartbeat=None)
        self.apply("take")
        resume = self.last(do.ResumeNodeos)
        assert isinstance(resume, do.ResumeNodeos)
        self.tell(ev.ResumeDone(resume.call, ev.Call.OK), 1)
        self.save()
        assert self.state.phase is Phase.LEADING

    def read_head(self, num: int | None = None) -> list[do.Action]:
        """Answer the question for the head."""
        return self.tell(ev.HeadRead(self.state.head_call, num, "id", 0, "eosio"))

    def until_released(self) -> do.Transact:
        """Prove the stop and return the release."""
        self.paused()
        self.read_head(41)
        self.save()
        return self.request("release")


def held(
    epoch: int, node: str = "bp-b", seq: int = 1, *, released: bool = False, block: int | None = None
) -> Heartbeat:
    """A heartbeat of somebody else."""
    last = Block(block, "id", 0, "eosio") if block else None
    return Heartbeat(epoch, node, "other", seq, T.validity, released, last, "")


def test_confirming_writes_only_while_both_keys_are_ours() -> None:
    """R1: each confirmation compares `leader` and `heartbeat` by revision, and puts `heartbeat` with the next seq."""
    one = One()
    one.lead()
    won = one.revision
    one.tick(T.renew)
    txn = one.request("confirm").txn
    assert {(compare.key, compare.mod_revision) for compare in txn.compare} == {
        (KEYS.leader, won),
        (KEYS.heartbeat, won),
    }
    (put,) = txn.then
    assert isinstance(put, Put)
    assert (put.key, records.read_heartbeat(put.value).seq) == (KEYS.heartbeat, 2)


def test_validity_counts_from_before_the_request_left() -> None:
    """R1: a confirmation that was sent at s and answered late gives V = s + E, not more."""
    one = One()
    one.lead()
    one.tick(T.renew)
    sent = one.now
    one.apply("confirm", after=900)
    assert one.state.tenure is not None
    assert one.state.tenure.valid_until == sent + T.validity


def test_unknown_outcome_is_read_back_with_its_own_time() -> None:
    """R2: a write that timed out and was applied counts from when that very write was sent."""
    one = One()
    one.lead()
    one.tick(T.renew)
    sent, won = one.now, one.state.tenure
    assert won is not None
    one.tell(ev.Unknown(one.request("confirm").request, "no answer"), T.request)
    one.tick(one.state.pause)
    again = one.request("confirm")
    mine = Heartbeat(1, "bp-a", "me", 2, T.validity)
    leader = LeaderKey("bp-a", won.leader_revision, LEASE)
    one.tell(ev.Refused(again.request, 50, leader, HeartbeatKey(mine, 49)), 5)
    assert one.state.tenure is not None
    assert one.state.tenure.valid_until == sent + T.validity
    assert one.state.tenure.heartbeat_revision == 49
    assert one.state.phase is Phase.LEADING


def test_unknown_outcome_alone_prolongs_nothing() -> None:
    """R2: what got no answer is no success, and no loss either: the leader goes on until V - A."""
    one = One()
    one.lead()
    before = one.state.tenure
    one.tick(T.renew)
    one.tell(ev.Unknown(one.request("confirm").request, "no answer"), T.request)
    assert before is not None
    assert one.state.tenure is not None
    assert one.state.tenure.valid_until == before.valid_until
    assert one.state.phase is Phase.LEADING


def test_leader_stops_in_time() -> None:
    """R3: at V - A without a confirmation nodeos is paused, and not a millisecond before."""
    one = One()
    one.lead()
    stop_by = one.state.renew_deadline
    assert not [action for action in one.tick(stop_by - 1 - one.now) if isinstance(action, do.PauseNodeos)]
    assert [action for action in one.tick(1) if isinstance(action, do.PauseNodeos)]
    assert one.state.phase is Phase.STOPPING


def test_unanswered_pause_ends_the_process_before_v() -> None:
    """R3: no answer within P: SIGKILL, so that everything is over by V, whatever hangs."""
    one = One()
    one.lead()
    valid = one.state.tenure
    one.tick(one.state.renew_deadline - one.now)
    one.tick(T.pause)
    fence = one.last(do.FenceNodeos)
    assert isinstance(fence, do.FenceNodeos)
    assert fence.term == 0
    assert valid is not None
    assert one.now + fence.within <= valid.valid_until


def test_tenure_that_began_to_stop_never_produces_again() -> None:
    """R3: a late success does not bring a stopping leader back."""
    one = One()
    one.lead()
    one.tick(T.renew)
    late = one.request("confirm")
    one.see(leader=LeaderKey("bp-b", 90))
    assert one.state.phase is Phase.STOPPING
    one.tell(ev.Applied(late.request, 95), 1)
    assert one.state.phase is Phase.STOPPING
    one.paused()
    assert one.state.production is Production.STOPPED
    assert sum(isinstance(action, do.ResumeNodeos) for action in one.all) == 1


def test_runtime_file_says_stopping_before_a_release_is_sent() -> None:
    """R3: nothing is released before the run-time file says that the tenure is over."""
    one = One()
    one.lead()
    one.see(leader=None)
    one.paused()
    one.read_head(41)
    assert one.state.phase is Phase.RELEASING
    assert one.state.request == 0, "released before the file was written"
    one.save()
    one.request("release")


def test_pause_is_proven_only_after_the_block_in_flight() -> None:
    """R4: an answered pause is a proof B later, not at once."""
    one = One()
    one.lead()
    one.see(leader=None)
    pause = one.last(do.PauseNodeos)
    assert isinstance(pause, do.PauseNodeos)
    one.tell(ev.PauseDone(pause.call, ev.Call.OK), 1)
    one.tick(T.block - 1)
    assert one.power() is Production.SETTLING
    one.tick(1)
    assert one.power() is Production.STOPPED


def test_gone_process_is_a_proof_at_once() -> None:
    """R4: when the process is gone there is nothing to wait for."""
    one = One()
    one.lead()
    one.tell(ev.ProcessSeen(None))
    assert one.state.phase is Phase.RELEASING


def test_pause_proves_nothing_while_a_resume_is_unanswered() -> None:
    """R4: a resume that may still act late makes the end of the process the only proof."""
    one = One()
    one.standby()
    one.see(leader=None, heartbeat=None)
    one.apply("take")
    resume = one.last(do.ResumeNodeos)
    assert isinstance(resume, do.ResumeNodeos)
    one.tell(ev.ResumeDone(resume.call, ev.Call.TIMEOUT, "no answer"), 1000)
    pause = one.last(do.PauseNodeos)
    assert isinstance(pause, do.PauseNodeos)
    one.tell(ev.PauseDone(pause.call, ev.Call.OK), 1)
    one.tick(T.pause)
    assert one.state.production is Production.FENCING


def test_release_names_the_last_own_block_and_deletes_leader() -> None:
    """R5: one transaction: heartbeat still ours, then released with the last own block; `leader` goes if it is ours."""
    one = One()
    one.lead()
    one.tell(ev.Eligibility(eligible=False, can_produce=True, why="peers", handover="peers: none"))
    txn = one.until_released().txn
    put = next(each for each in txn.then if isinstance(each, Put))
    record = records.read_heartbeat(put.value)
    assert record.released
    assert record.last_block is not None
    assert record.last_block.num == 41
    assert Delete(KEYS.leader) in txn.then
    assert {compare.key for compare in txn.compare} == {KEYS.leader, KEYS.heartbeat}


def test_release_leaves_a_leader_key_alone_that_is_not_ours() -> None:
    """R5, R10: a nomination put by hand survives the release."""
    one = One()
    one.lead()
    one.see(leader=LeaderKey("bp-b", 90))
    txn = one.until_released().txn
    assert all(each.key == KEYS.heartbeat for each in (*txn.then, *txn.compare))


def test_leader_that_cannot_prove_its_stop_releases_nothing() -> None:
    """R5: a fence that failed means no release; the others wait out E."""
    one = One()
    one.lead()
    one.see(leader=None)
    one.tick(T.pause)
    fence = one.last(do.FenceNodeos)
    assert isinstance(fence, do.FenceNodeos)
    one.tell(ev.FenceDone(fence.call, gone=False, why="no permission"), 10)
    one.save()
    assert one.state.phase is Phase.STOPPING
    assert one.state.request == 0
    assert any(isinstance(action, do.Warn) and action.key == "fence_failed" for action in one.all)


def test_leader_key_is_bound_to_the_lease() -> None:
    """R6: the take-over puts `leader` with the session's lease, and the heartbeat with none."""
    one = One()
    one.standby()
    one.see(leader=None, heartbeat=None)
    puts = {put.key: put for put in one.request("take").txn.then if isinstance(put, Put)}
    assert puts[KEYS.leader].lease == LEASE
    assert puts[KEYS.heartbeat].lease == 0


def test_lost_lease_is_a_lost_leadership() -> None:
    """R6: when the key `leader` vanishes with its lease, the leader stops."""
    one = One()
    one.lead()
    one.see(leader=None)
    assert one.state.phase is Phase.STOPPING


def test_first_sight_counts() -> None:
    """R7, R8: a heartbeat is free E * 1.001 after this agent first saw its revision, however old it is."""
    one = One()
    one.standby()
    one.see(leader=LeaderKey("bp-b", 5, 9), heartbeat=HeartbeatKey(held(3), 6))
    assert not one.tick(standstill(T.validity) - 1)
    one.tick(1)
    one.request("take")


def test_moving_heartbeat_is_never_taken() -> None:
    """R7: each new revision is a first sight again."""
    one = One()
    one.standby()
    for seq in range(1, 20):
        one.see(T.validity - 100, leader=LeaderKey("bp-b", 5, 9), heartbeat=HeartbeatKey(held(3, seq=seq), 100 + seq))
    assert one.state.phase is Phase.STANDBY


@pytest.mark.parametrize(
    ("heartbeat", "leader"),
    [(None, None), (held(3, released=True), None), (held(3, released=True), LeaderKey("bp-a", 9))],
)
def test_free_seat_is_taken_at_once(heartbeat: Heartbeat | None, leader: LeaderKey | None) -> None:
    """R8: absent or released, and the seat absent or naming us: taken at once, with the next epoch, by revision."""
    one = One()
    one.standby()
    one.see(leader=leader, heartbeat=HeartbeatKey(heartbeat, 12) if heartbeat else None)
    txn = one.request("take").txn
    wanted = {(KEYS.leader, leader.revision if leader else 0), (KEYS.heartbeat, 12 if heartbeat else 0)}
    assert {(compare.key, compare.mod_revision) for compare in txn.compare} == wanted
    put = next(each for each in txn.then if isinstance(each, Put) and each.key == KEYS.heartbeat)
    assert records.read_heartbeat(put.value).epoch == (heartbeat.epoch + 1 if heartbeat else 1)


def test_take_over_tried_again_rests_on_what_the_first_try_saw() -> None:
    """R8: after an unknown outcome the next try does not compare with what another candidate wrote meanwhile."""
    one = One()
    one.standby()
    one.see(leader=None, heartbeat=HeartbeatKey(held(3, released=True), 12))
    one.tell(ev.Unknown(one.request("take").request, "no answer"), T.request)
    one.tick(one.state.pause)
    first = one.request("take").txn.compare
    one.see(leader=LeaderKey("bp-b", 60, 9), heartbeat=HeartbeatKey(held(4), 60))
    one.tell(ev.Unknown(one.request("take").request, "no answer"), T.request)
    one.tick(one.state.pause)
    assert one.request("take").txn.compare == first


def test_resume_waits_for_the_last_own_block() -> None:
    """R9: a new leader resumes when its own head has reached the block that the release named."""
    one = One()
    one.standby()
    one.see(leader=None, heartbeat=HeartbeatKey(held(3, released=True, block=41), 12))
    one.apply("take")
    one.read_head(40)
    assert not any(isinstance(action, do.ResumeNodeos) for action in one.all)
    one.tick(one.state.identity.head_poll)
    one.read_head(41)
    assert any(isinstance(action, do.ResumeNodeos) for action in one.all)


@pytest.mark.parametrize(
    ("timing", "within"),
    [
        (T, 1500),
        (replace(T, validity=3000, renew=400, request=600, election=500), 1500),
        (replace(T, validity=2000, renew=100, request=300, election=200), 2000 - T.margin - 2),
    ],
    ids=["default", "fast", "short"],
)
def test_a_resume_has_its_own_time_and_ends_before_the_stop(timing: Timing, within: Ms) -> None:
    """R9, R3: nodeos's first resume takes 0.7 s, which is no hang, whatever etcd is given; but none outlasts V - A."""
    one = One()
    one.state = replace(one.state, identity=replace(one.state.identity, timing=timing))
    one.standby()
    one.see(leader=None, heartbeat=None)
    one.apply("take")
    resume = one.last(do.ResumeNodeos)
    assert isinstance(resume, do.ResumeNodeos)
    assert resume.within == within
    assert one.now + resume.within <= one.state.stop_at


def test_resume_is_sent_once() -> None:
    """R9: `paused` staying true is no reason to resume again: it would defeat nodeos's own safety."""
    one = One()
    one.lead()
    for _ in range(20):
        one.tell(ev.PausedSeen(one.now, paused=True), 100)
    assert sum(isinstance(action, do.ResumeNodeos) for action in one.all) == 1


def test_named_node_goes_first_and_others_wait() -> None:
    """R10: a seat that names somebody is his for the nomination time; then any candidate may."""
    one = One()
    one.standby()
    one.see(leader=LeaderKey("bp-b", 20), heartbeat=HeartbeatKey(held(3, "bp-c", released=True), 12))
    assert not one.tick(T.nomination - 1)
    one.tick(1)
    one.request("take")


def test_each_rank_waits_a_little_longer() -> None:
    """R11: rank n campaigns n steps after the seat is free."""
    one = One()
    one.standby(rank=2)
    one.see(leader=None, heartbeat=HeartbeatKey(held(3, released=True), 12))
    assert not one.tick(2 * T.rank_step - 1)
    one.tick(1)
    one.request("take")


def test_leader_that_was_asked_to_stop_leaves_others_a_chance() -> None:
    """R12: after `del leader` the old leader does not campaign until the fair chance is over."""
    one = One()
    one.lead()
    one.see(leader=None)
    stopped = one.now
    one.until_released()
    one.apply("release")
    assert one.state.phase is Phase.STANDBY
    one.tick(stopped + T.fair_chance - 1 - one.now)
    assert one.state.phase is Phase.STANDBY
    one.tick(1)
    one.request("take")


def test_override_stops_and_keeps_others_out() -> None:
    """R3 and the override: who is not named stops; and does not campaign while the key is there."""
    one = One()
    one.lead()
    one.see(override=Override("bp-b"))
    one.until_released()
    one.apply("release")
    one.tick(10 * T.fair_chance)
    assert one.state.phase is Phase.STANDBY
    assert one.state.request == 0


def test_switchover_hands_the_seat_over_by_name() -> None:
    """R3, R10: a switchover is consumed by the release, which names whom it is for."""
    one = One()
    one.lead()
    one.see(switchover=Switchover("bp-b"))
    assert one.phase() is Phase.LEADING, "when it is due, the standing says so"
    one.tell(ev.Eligibility(eligible=True, can_produce=True, handover="asked for by me", cause="switchover", to="bp-b"))
    txn = one.until_released().txn
    assert Put(KEYS.leader, b"bp-b") in txn.then
    assert Delete(KEYS.switchover) in txn.then


def test_maintenance_stops_elections_and_not_safety() -> None:
    """Maintenance: no take-over, no handover for health; but V - A is V - A (R3)."""
    one = One()
    one.lead()
    one.see(maintenance="a new disk")
    one.tell(ev.Eligibility(eligible=False, can_produce=True, why="peers", handover="peers: none"))
    assert one.phase() is Phase.LEADING
    one.tick(one.state.renew_deadline - one.now)
    assert one.phase() is Phase.STOPPING
    other = One()
    other.standby()
    other.see(leader=None, heartbeat=None, maintenance="a new disk")
    other.tick(10 * T.validity)
    assert other.state.phase is Phase.STANDBY


def test_first_act_is_an_explicit_pause_that_is_proven() -> None:
    """Start: nothing is decided before nodeos is proven stopped (R4)."""
    one = One()
    (pause,) = one.tell(ev.Started(None, NODEOS))
    assert isinstance(pause, do.PauseNodeos)
    one.tell(ev.LeaseSeen(LEASE))
    one.tell(ev.Eligibility(eligible=True, can_produce=True))
    one.see(leader=None, heartbeat=None)
    assert one.state.phase is Phase.STARTING
    one.paused()
    one.request("take")


def record(now: Ms, state: str = "held", *, resume_open: bool = False, process: ProcessId = NODEOS) -> RuntimeRecord:
    """The run-time file of a leader."""
    until = now + T.validity
    return RuntimeRecord("boot", 9, state, 4, "old", 7, 30, 20, LEASE, until, until - T.margin, resume_open, process)


def test_restart_goes_on_with_the_old_validity_only() -> None:
    """Restart: a fresh file lets the agent go on, confirming at once; V stays what it was until that succeeds (R1)."""
    one = One()
    one.tell(ev.Started(record(one.now - 2000), NODEOS))
    assert one.state.phase is Phase.LEADING
    assert one.state.tenure is not None
    assert one.state.tenure.valid_until == one.now - 2000 + T.validity
    sent = one.now
    one.apply("confirm")
    assert one.state.tenure.valid_until == sent + T.validity


@pytest.mark.parametrize(
    "file",
    [
        record(1000, "stopping"),
        record(1000, resume_open=True),
        record(1000, process=ProcessId(5, 5)),
        record(1000 - T.validity + T.margin),
    ],
    ids=["stopping", "resume unanswered", "another nodeos", "too old"],
)
def test_restart_that_may_not_go_on_pauses(file: RuntimeRecord) -> None:
    """Restart: a tenure that began to stop, or of another nodeos, or past V - A, is over: it is stopped (R3)."""
    one = One()
    one.tell(ev.Started(file, NODEOS))
    assert one.state.phase is Phase.STOPPING
    assert any(isinstance(action, do.PauseNodeos) for action in one.all)


def test_file_of_another_boot_means_nothing() -> None:
    """Restart: times of another boot are no times; the agent begins anew with a pause."""
    one = One()
    one.tell(ev.Started(record(1000), NODEOS))
    other = One()
    other.state = replace(other.state, identity=Identity("bp-a", "me", KEYS, boot_id="another"))
    other.tell(ev.Started(record(1000), NODEOS))
    assert one.state.phase is Phase.LEADING
    assert other.state.phase is Phase.STARTING


def test_standby_found_unpaused_is_paused_again_and_told() -> None:
    """Whoever does not lead and finds nodeos not paused pauses it again, and says so loudly."""
    one = One()
    one.standby(fit=False)
    new = one.tell(ev.PausedSeen(one.now + 5, paused=False), 10)
    assert [type(action) for action in new] == [do.Warn, do.PauseNodeos]


def test_answer_from_before_the_pause_is_no_alarm() -> None:
    """A probe that was asked before the pause tells nothing about after it."""
    one = One()
    one.standby(fit=False)
    assert not one.tell(ev.PausedSeen(one.state.production_since - 1, paused=False), 10)


def test_every_step_is_pure() -> None:
    """The same state, event and time give the same state and the same actions."""
    one = One()
    one.lead()
    before = one.state
    first = machine.step(before, ev.ProcessSeen(None), one.now)
    assert first == machine.step(before, ev.ProcessSeen(None), one.now)
    assert one.state is before
