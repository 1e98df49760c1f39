"""Calls to the outside and what their outcomes mean: nothing that may have been delivered is told as not delivered."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, get_args

import pytest

from agent.core.alerts.notice import Notice
from agent.core.blocks.follow import BlocksRead, ReadBlocks
from agent.core.leadership import actions as do
from agent.core.leadership import events as ev
from agent.core.leadership.state import State
from agent.core.model import records
from agent.core.model.archive import Window
from agent.core.model.chain import ChainInfo, Header, ProcessId
from agent.core.model.keys import keys
from agent.core.model.records import Heartbeat, HeartbeatKey, LeaderKey
from agent.core.model.runtime_record import RuntimeRecord
from agent.core.model.store import Compare, Delete, Put, Txn
from agent.core.node.state import HookDone, NodeAction, Notify, Publish, RecordChange, RecordWindow, RefuseWish, RunHook
from agent.errors import (
    FailoverError,
    FenceError,
    GateError,
    LeaseGone,
    NodeosAnswer,
    NodeosError,
    NodeosTimeout,
    NodeosUnreachable,
    StoreCompacted,
    StoreError,
    StoreRejected,
    StoreUnavailable,
)
from agent.host.clock import SystemClock
from agent.ports import Closed
from agent.runtime import calls
from agent.runtime.effects import EFFECTS, Adapters, Effects
from agent.runtime.hooks import Hooks
from agent.runtime.lanes import Lane
from tests.core.parts import SETUP
from tests.support.memory_store import Loss, MemoryEtcd, MemoryStore
from tests.support.moved_time import MovedTime
from tests.support.recorder import Recorder
from tests.support.slack import within

NAMES = keys("/nodeos-failover", "g")
INFO = ChainInfo("c" * 64, "v4", 100, "id100", 1_000, "producer", 90, None)
RECORD = RuntimeRecord("boot", 1, "held", 7, "f00d", 3, 12, 11, 99, 60_000, 58_900, False, ProcessId(5, 77))


FAR = 2**52
"""A moment that does not come."""


def subclasses(base: type[Exception]) -> Iterator[type[Exception]]:
    """Yield a class and all below it."""
    yield base
    for each in base.__subclasses__():
        yield from subclasses(each)


def make(kind: type[Exception]) -> Exception:
    """Make an error of a class."""
    arguments: dict[type[Exception], tuple[Any, ...]] = {
        NodeosAnswer: (500, 3_200_006, "why"),
        StoreRejected: ("slug", "why"),
    }
    return kind(*arguments.get(kind, ("why",)))


# --- etcd ------------------------------------------------------------------------------------------------------------


def transaction(*then: Put | Delete, compare: tuple[Compare, ...] = ()) -> do.Transact:
    """Return an action as the core makes it."""
    return do.Transact(4, "confirm", Txn(compare, then, (NAMES.leader, NAMES.heartbeat)), 250)


@pytest.mark.parametrize("kind", list(subclasses(StoreError)))
def test_only_a_definite_no_is_told_as_one(kind: type[Exception]) -> None:
    """A rejection changed nothing; whatever else goes wrong at the store, the write may have been applied (R2)."""
    store = Recorder(make(kind))
    told = calls.transact(store, transaction(Delete("x")), NAMES)
    if issubclass(kind, StoreRejected):
        assert told == ev.Rejected(4, kind is LeaseGone, "why")
    else:
        assert told == ev.Unknown(4, "why")
    assert store.calls == [("txn", (transaction(Delete("x")).txn, 0.25))]


def test_an_applied_transaction_tells_its_revision() -> None:
    """The revision is the mod revision of what was put."""
    etcd = MemoryEtcd(lambda: 0)
    told = calls.transact(MemoryStore(etcd), transaction(Put(NAMES.leader, b"a")), NAMES)
    assert told == ev.Applied(4, etcd.keys[NAMES.leader].mod_revision, etcd.cluster)


def test_a_refusal_brings_what_stands_there() -> None:
    """Both keys come with a refusal as far as they exist, so that the core learns who was first (R8)."""
    etcd = MemoryEtcd(lambda: 0)
    store = MemoryStore(etcd)
    refused = transaction(Delete("x"), compare=(Compare("x", 99),))
    assert calls.transact(store, refused, NAMES) == ev.Refused(4, etcd.revision, None, None, etcd.cluster)
    heartbeat = Heartbeat(7, "b", "f00d", 3, 6000)
    store.txn(Txn((), (Put(NAMES.leader, b"b"), Put(NAMES.heartbeat, records.write(heartbeat)))), 1.0)
    revision = etcd.revision
    assert calls.transact(store, refused, NAMES) == ev.Refused(
        4, revision, LeaderKey("b", revision), HeartbeatKey(heartbeat, revision), etcd.cluster
    )
    store.txn(Txn((), (Put(NAMES.leader, b"\xff"), Put(NAMES.heartbeat, b"{"))), 1.0)
    revision = etcd.revision
    assert calls.transact(store, refused, NAMES) == ev.Refused(
        4, revision, LeaderKey(None, revision), HeartbeatKey(None, revision), etcd.cluster
    )


@pytest.mark.parametrize("loss", list(Loss))
def test_a_lost_transaction_is_unknown(loss: Loss) -> None:
    """Never arrived, applied, or applied later: the caller cannot tell, so it is not told (R2)."""
    store = MemoryStore(MemoryEtcd(lambda: 0))
    store.lose_next(loss)
    assert isinstance(calls.transact(store, transaction(Put("x", b"")), NAMES), ev.Unknown)


# --- nodeos ----------------------------------------------------------------------------------------------------------

MEANING = {NodeosUnreachable: ev.Call.UNREACHABLE, NodeosAnswer: ev.Call.ERROR, NodeosTimeout: ev.Call.TIMEOUT}


@pytest.mark.parametrize("kind", list(subclasses(NodeosError)))
def test_what_may_have_been_delivered_is_told_so(kind: type[Exception]) -> None:
    """Refused connections were not delivered, answers are definite; all else may be acted upon at any later time."""
    means = MEANING.get(kind, ev.Call.TIMEOUT)
    nodeos: Any = Recorder(make(kind))
    assert calls.pause(nodeos, do.PauseNodeos(5, 300), MovedTime(4000)) == ev.PauseDone(5, means, "why")
    assert calls.resume(nodeos, do.ResumeNodeos(6, 1000, 5000), MovedTime(4000)) == ev.ResumeDone(6, means, "why")
    assert calls.read_head(nodeos, do.ReadHead(7, 300)) == ev.HeadRead(7, None)
    assert nodeos.calls == [("pause", (0.3,)), ("resume", (1.0,)), ("info", (0.3,))]


def test_resume_of_a_process_that_was_held_up_is_not_sent() -> None:
    """R3: an agent frozen with a resume in its lane drops it after the thaw; one just in time has what is left."""
    nodeos: Any = Recorder()
    late = calls.resume(nodeos, do.ResumeNodeos(6, 1000, 5000), MovedTime(5000))
    assert (late.call, late.result, nodeos.calls) == (6, ev.Call.UNREACHABLE, [])
    assert calls.resume(nodeos, do.ResumeNodeos(7, 1000, 5000), MovedTime(4900)).result is ev.Call.OK
    assert nodeos.calls == [("resume", (0.1,))]


def test_pause_without_effect_is_no_pause() -> None:
    """R4: a nodeos that answers ok, and yet is not paused, has refused: what follows is the end of its process."""
    nodeos: Any = Recorder(False)
    done = calls.pause(nodeos, do.PauseNodeos(5, 300), MovedTime(4000))
    assert (done.call, done.result) == (5, ev.Call.ERROR)
    assert nodeos.calls == [("pause", (0.3,)), ("paused", (0.3,))]


def test_pause_that_leaves_no_time_to_look_is_not_answered() -> None:
    """R3: pause and look together have P, and no more."""

    class Slow(Recorder):
        def pause(self, _timeout_s: float) -> None:
            clock.now += 300

    clock = MovedTime(4000)
    nodeos: Any = Slow(True)
    assert calls.pause(nodeos, do.PauseNodeos(5, 300), clock).result is ev.Call.TIMEOUT
    assert nodeos.calls == []


@pytest.mark.parametrize("answer", [True, False, make(NodeosTimeout)], ids=str)
def test_how_nodeos_was_before_its_pause(answer: bool | Exception) -> None:
    """One that is asked before has a quarter of the time for that, and is paused whatever it says."""
    nodeos: Any = Recorder(answer)
    done = calls.pause(nodeos, do.PauseNodeos(5, 1000, looks=True), MovedTime(4000))
    assert done.unpaused is (answer is False)
    assert nodeos.calls[:2] == [("paused", (0.25,)), ("pause", (0.75,))]


def test_what_was_answered_is_told() -> None:
    """A pause and a resume that were answered, and a head that was read."""
    assert calls.pause(Recorder(True), do.PauseNodeos(5, 300), MovedTime(4000)) == ev.PauseDone(5, ev.Call.OK)
    assert calls.resume(Recorder(), do.ResumeNodeos(6, 300, 5000), MovedTime(4000)) == ev.ResumeDone(6, ev.Call.OK)
    told = calls.read_head(Recorder(INFO), do.ReadHead(7, 300))
    assert told == ev.HeadRead(7, 100, "id100", 1_000, "producer")


def test_blocks_are_read_one_by_one_within_one_deadline(moved: MovedTime) -> None:
    """Each gets what those before it left; what was read until an error is told with it."""
    headers = [Header(num, f"id{num}", 1_000 * num, "producer", f"id{num - 1}") for num in (7, 8, 9)]
    nodeos: Any = Recorder({"block": list(headers)}, moved, takes_ms=100)
    found = calls.read_blocks(nodeos, ReadBlocks(4, (7, 8, 9), 1000))
    assert found == BlocksRead(4, tuple(headers))
    assert [arguments[0] for _, arguments in nodeos.calls] == [7, 8, 9]
    assert nodeos.spans == [pytest.approx(each) for each in (1.0, 0.9, 0.8)]
    nodeos.says["block"] = [headers[0], NodeosTimeout("slow")]
    assert calls.read_blocks(nodeos, ReadBlocks(5, (7, 8, 9), 1000)) == BlocksRead(5, (headers[0],), "slow")


def test_no_error_is_success() -> None:
    """Without an error a call went well."""
    assert calls.outcome(None) is ev.Call.OK


# --- fence and file --------------------------------------------------------------------------------------------------


def test_only_a_process_seen_gone_is_told_gone() -> None:
    """The fence tells how it went; an error of it is no proof (R4)."""
    action = do.FenceNodeos(8, 1000, 1500)
    ended: Any = Recorder("ended by SIGTERM")
    assert calls.fence(ended, action) == ev.FenceDone(8, gone=True, why="ended by SIGTERM")
    assert ended.calls == [("stop", (1.0, 1.5))]
    failed: Any = Recorder(FenceError("still there"))
    assert calls.fence(failed, action) == ev.FenceDone(8, gone=False, why="still there")


def test_the_file_is_saved_with_what_the_guard_needs() -> None:
    """A record is written with the guard's fields beside it; no record removes the file."""
    file: Any = Recorder()
    assert calls.save(file, do.SaveRuntime(9, RECORD), {"guard": 1}) == ev.RuntimeSaved(9, ok=True)
    assert calls.save(file, do.SaveRuntime(10, None), {}) == ev.RuntimeSaved(10, ok=True)
    assert file.calls == [("save", (RECORD, {"guard": 1})), ("remove", ())]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), FailoverError("why")])
def test_a_file_that_cannot_be_saved_is_told(error: Exception) -> None:
    """What was not written must not be taken for written (R3)."""
    for record in (RECORD, None):
        told = calls.save(Recorder(error), do.SaveRuntime(9, record), {})
        assert told == ev.RuntimeSaved(9, ok=False, why=str(error))


def test_a_gate_that_is_not_proven_closed_is_told() -> None:
    """R4: an error is no proof; and what comes too late to be begun might close what was opened since."""
    gate: Any = Recorder(GateError("no answer"))
    assert calls.close_gate(gate, do.CloseGate(3, 100, FAR), SystemClock()) == ev.GateDone(
        3, closed=False, why="no answer"
    )
    late = calls.close_gate(gate, do.CloseGate(4, 100, 0), SystemClock())
    assert not late.closed
    assert len(gate.calls) == 1


def test_every_store_error_is_known_here() -> None:
    """A new class of error has to be judged: these are all that there are."""
    assert set(subclasses(StoreError)) == {StoreError, StoreUnavailable, StoreRejected, StoreCompacted, LeaseGone} | {
        each for each in subclasses(StoreRejected) if each.__module__ == "agent.etcd.errors"
    }
    assert set(subclasses(NodeosError)) == {NodeosError, *MEANING}


# --- effects ---


class Failing(Hooks):
    """A hook that is set, and fails as the test says."""

    says: Exception = KeyError()

    def __init__(self) -> None:
        super().__init__({"before_promote": ("/none",)}, "g", "a")

    def run(self, action: RunHook) -> HookDone:
        """Fail."""
        raise self.says


class Bench:
    """Hands with adapters that answer as the test says."""

    def __init__(self) -> None:
        self.store, self.nodeos, self.fence, self.file = Recorder(), Recorder(INFO), Recorder("ended"), Recorder()
        self.session, self.metrics, self.gate = Recorder(), Recorder(), Recorder()
        self.events: queue.SimpleQueue[object] = queue.SimpleQueue()
        self.told: list[object] = []

        clock, gate = SystemClock(), self.gate
        self.hooks = Failing()
        out = Adapters(
            self.store,
            self.nodeos,
            self.fence,
            self.file,
            clock,
            NAMES,
            self.told.append,
            {"guard": "what it needs"},
            hooks=self.hooks,
            gate=gate,
        )
        session: Any = self.session
        metrics: Any = self.metrics
        self.effects = Effects(out, session, metrics, self.events.put)

    def event(self) -> object:
        """Return the next event."""
        return self.events.get(timeout=5)


@pytest.fixture
def bench() -> Iterator[Bench]:
    """Yield effects that end."""
    bench = Bench()
    yield bench
    bench.store.says = None
    bench.effects.close(2.0)


def test_each_action_reaches_its_adapter(bench: Bench) -> None:
    """What the core asks for is done by the adapter it is meant for, and answered by its event."""
    bench.effects.do(do.PauseNodeos(1, 300))
    assert bench.event() == ev.PauseDone(1, ev.Call.OK)
    bench.effects.do(do.ResumeNodeos(2, 300, FAR))
    assert bench.event() == ev.ResumeDone(2, ev.Call.OK)
    bench.effects.do(do.ReadHead(3, 300))
    assert bench.event() == ev.HeadRead(3, 100, "id100", 1_000, "producer")
    bench.effects.do(do.FenceNodeos(4, 0, 500))
    assert bench.event() == ev.FenceDone(4, gone=True, why="ended")
    bench.effects.do(do.SaveRuntime(5, RECORD))
    assert bench.event() == ev.RuntimeSaved(5, ok=True)
    assert bench.file.calls[0][1][1] == {"guard": "what it needs"}
    bench.gate.says = Closed("the gate said so", 900)
    bench.effects.do(do.CloseGate(6, 300, FAR))
    assert bench.event() == ev.GateDone(6, closed=True, quiet=900), "with its last signature"
    bench.effects.do(do.OpenGate(7, 12_345))
    assert bench.gate.calls[-1] == ("permit", (7, 12_345)), "a store, done when `do` returns"
    bench.store.says = StoreUnavailable("cut")
    bench.effects.do(transaction(Delete("x")))
    assert bench.event() == ev.Unknown(4, "cut")
    assert [name for name, _ in bench.metrics.calls] == ["sent"]


@pytest.mark.parametrize(
    ("action", "told"),
    [
        (do.PauseNodeos(1, 300), ev.PauseDone(1, ev.Call.TIMEOUT, "KeyError: 'x'")),
        (do.ResumeNodeos(1, 300, FAR), ev.ResumeDone(1, ev.Call.TIMEOUT, "KeyError: 'x'")),
        (do.ReadHead(1, 300), ev.HeadRead(1, None)),
        (do.FenceNodeos(1, 0, 300), ev.FenceDone(1, gone=False, why="KeyError: 'x'")),
        (do.SaveRuntime(1, RECORD), ev.RuntimeSaved(1, ok=False, why="KeyError: 'x'")),
        (do.CloseGate(1, 300, FAR), ev.GateDone(1, closed=False, why="KeyError: 'x'")),
        (replace(transaction(Delete("x")), request=1), ev.Unknown(1, "KeyError: 'x'")),
        (ReadBlocks(1, (7,), 300), BlocksRead(1, (), "KeyError: 'x'")),
        (
            RunHook("before_promote", 7, "why", "a", "b", 400),
            HookDone("before_promote", 7, "error", 400, "KeyError: 'x'"),
        ),
    ],
)
def test_a_defect_in_an_adapter_proves_nothing(bench: Bench, action: Any, told: object) -> None:
    """An exception that no adapter may raise is told as the worst that it can mean."""
    adapters: list[Any] = [bench.store, bench.nodeos, bench.fence, bench.file, bench.gate, bench.hooks]
    for adapter in adapters:
        adapter.says = KeyError("x")
    bench.effects.do(action)
    assert bench.event() == told


def test_a_gate_that_cannot_be_opened_is_told(bench: Bench) -> None:
    """R3: a page that takes no permit any more ends the tenure: nothing would be signed for it."""
    bench.gate.says = GateError("epoch 7 was closed")
    bench.effects.do(do.OpenGate(7, 12_345))
    assert bench.event() == ev.GateRefused(7, "epoch 7 was closed")


def test_the_kill_does_not_queue_behind_a_pause(bench: Bench) -> None:
    """While a pause hangs, a resume, a fence and the run-time file have their turn."""
    go_on = threading.Event()

    class Hanging(Recorder):
        def pause(self, _timeout_s: float) -> None:
            go_on.wait(10)

    bench.nodeos.__class__ = Hanging
    bench.nodeos.says = True
    bench.effects.do(do.PauseNodeos(1, 300))
    bench.effects.do(do.FenceNodeos(2, 0, 500))
    bench.effects.do(do.SaveRuntime(3, None))
    assert {type(bench.event()), type(bench.event())} == {ev.FenceDone, ev.RuntimeSaved}
    go_on.set()
    assert bench.event() == ev.PauseDone(1, ev.Call.OK)


def test_the_end_waits_for_what_was_asked_for(bench: Bench) -> None:
    """The last word in the run-time file is written before the agent ends, and the store is closed."""

    class Slow(Recorder):
        def remove(self) -> None:
            time.sleep(0.2)
            self.calls.append(("remove", ()))

    bench.file.__class__ = Slow
    bench.effects.do(do.SaveRuntime(1, None))
    bench.effects.close(5.0)
    assert ("remove", ()) in bench.file.calls
    assert ("close", ()) in bench.store.calls


def test_the_end_does_not_wait_for_ever(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """A call that hangs is named, and does not hold up the end."""
    go_on = threading.Event()

    class Hanging(Recorder):
        def txn(self, *_: Any) -> None:
            go_on.wait(10)

    bench.store.__class__ = Hanging
    bench.effects.do(transaction(Delete("x")))
    with within(0.3):
        bench.effects.close(0.3)
    assert "transactions" in caplog.text
    assert ("close", ()) not in bench.store.calls, "a store is for one thread"
    go_on.set()


def test_at_the_end_all_lanes_share_one_time(bench: Bench, moved: MovedTime, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three calls hang: each gets what the one before has left of the time, so that the end takes it once."""
    given: list[float] = []

    def join(lane: Lane, timeout_s: float) -> bool:
        if lane.name not in {"pause", "resume", "fence"}:
            return True
        given.append(timeout_s)
        moved.sleep(min(timeout_s, 0.8))
        return False

    monkeypatch.setattr(Lane, "join", join)
    bench.effects.close(2.0)
    assert given == [pytest.approx(each) for each in (2.0, 1.2, 0.4)]
    assert moved.passed_s == pytest.approx(2.0)


def test_no_resume_leaves_once_nodeos_was_stopped_for_good(bench: Bench) -> None:
    """R3: after the last act a resume that waits in its lane is not sent."""
    bench.effects.halt(State(SETUP))
    paused = len(bench.nodeos.calls)
    assert paused
    bench.effects.do(do.ResumeNodeos(2, 300, FAR))
    assert bench.event() == ev.ResumeDone(2, ev.Call.UNREACHABLE, "not sent: the loop has ended")
    assert len(bench.nodeos.calls) == paused


def test_everything_else_reaches_who_it_is_for(bench: Bench) -> None:
    """What is neither a call nor an answer goes to the session, the metrics or the alerts at once, with all it says."""
    member: Any = object()
    window, notice = Window(1200, 12, 12, 0), Notice("k", "test", "info", "x", False, {})
    announced = do.Announce("leads", "elected", "leading", "because", 3)
    for action in (
        Publish(member),
        RecordChange(7, {"node": "a"}),
        RefuseWish(9, {"refused": "why"}),
        RecordWindow(window),
        Notify(notice),
        announced,
    ):
        bench.effects.do(action)
    assert bench.session.calls == [
        ("publish", (member,)),
        ("record", (7, {"node": "a"})),
        ("refuse", (9, {"refused": "why"})),
        ("count", (window,)),
    ]
    assert bench.told == [notice]
    assert bench.metrics.calls == [("changed", ({"node": "a"},)), ("announced", (announced,))]


def test_every_step_looks_at_every_lane_and_is_counted(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that hangs is found though nobody effects anything in."""
    looked: list[str] = []
    monkeypatch.setattr(Lane, "look", lambda lane: looked.append(lane.name))
    snapshot: Any = SimpleNamespace(at=4711)
    bench.effects.stepped("event", snapshot)
    assert sorted(looked) == sorted(
        ["transactions", "pause", "resume", "fence", "file", "blocks", "before_promote", "gate"]
    )
    assert bench.metrics.calls == [("stepped", ("event", 4711))]


def test_each_kind_of_action_is_described_once() -> None:
    """Whatever the core may ask for has its one entry: what it calls, on which lane, and what a defect in it means."""
    assert set(EFFECTS) == set(get_args(NodeAction))
    for effect in EFFECTS.values():
        assert (effect.call is None) == (effect.failed is None)
        assert effect.call is not None or effect.at_once is not None


def test_an_agent_that_observes_carries_nothing_out(bench: Bench) -> None:
    """P1: whatever is asked for, nodeos, etcd, gate, file, hooks and people are left alone; blocks are read."""
    bench.effects.observes = True
    for action in (
        *(do.PauseNodeos(1, 300), do.ResumeNodeos(2, 300, FAR), do.FenceNodeos(3, 0, 500), do.SaveRuntime(4, RECORD)),
        *(do.OpenGate(7, 12_345), do.CloseGate(5, 300, FAR), transaction(Delete("x"))),
        *(RecordChange(1, {}), RunHook("before_promote", 7, "why", "a", "b", 400)),
    ):
        bench.effects.do(action)
    bench.effects.halt(State(SETUP))
    bench.effects.do(ReadBlocks(6, (), 300))
    assert bench.event() == BlocksRead(6)
    adapters: list[Any] = [bench.store, bench.nodeos, bench.fence, bench.file, bench.gate, bench.session]
    assert [adapter.calls for adapter in adapters] == [[], [], [], [], [], []]
    assert bench.told == []
    assert {kind for kind, effect in EFFECTS.items() if effect.harmless} == {
        *(do.Announce, do.Warn, do.Exit, ReadBlocks),
    }
