"""The loop over the real core: it steps in time, effects out what the core asks for, and ends loudly or well."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from agent.core.health.checks import ProcessProbed
from agent.core.leadership import actions as do
from agent.core.leadership import events as ev
from agent.core.leadership.state import Phase, State
from agent.core.leadership.timing import Timing
from agent.core.model.records import GroupView, Heartbeat, HeartbeatKey
from agent.core.node import step
from agent.core.node.snapshot import NodeSnapshot
from agent.core.node.state import EtcdSeen, LiveSettings, Node, NodeAction
from agent.errors import RefusedError
from agent.host.clock import SystemClock
from agent.runtime.loop import Fatal, Loop
from tests.core.parts import GOOD, LIMITS, NODEOS, SETUP
from tests.support.children import wait_until
from tests.support.unfelt import Unfelt

TIMING = Timing(validity=1500, renew=100, pause=100, block=50, kill=50, slack=100, request=200, rank_step=1)
BEFORE = Heartbeat(0, "bp-z", "before", 0, 1500, released=True)
"""What the leader before has left, so that nobody waits for a first window (R18)."""
SOON_MS = 250
"""What anything may take on a busy machine that should take no time."""


class PlayedEffects:
    """Answers everything as a healthy outside does, at once; confirmations only while `etcd_answers`."""

    def __init__(self, loop: Loop) -> None:
        self.loop = loop
        self.clock = SystemClock()
        self.done: list[tuple[int, NodeAction]] = []
        self.noted: list[tuple[object, NodeSnapshot]] = []
        self.etcd_answers = True
        self.revision = 1
        self.halted: list[State] = []

    def do(self, action: NodeAction) -> None:
        """Note an action, and answer it."""
        self.done.append((self.clock.boot(), action))
        answer = self._answer(action)
        if answer is not None:
            self.loop.emit(answer)

    def _answer(self, action: NodeAction) -> ev.Event | None:
        match action:
            case do.PauseNodeos(call):
                return ev.PauseDone(call, ev.Call.OK)
            case do.ResumeNodeos(call):
                return ev.ResumeDone(call, ev.Call.OK)
            case do.ReadHead(call):
                return ev.HeadRead(call, None)
            case do.FenceNodeos(call):
                return ev.FenceDone(call, gone=True)
            case do.SaveRuntime(version):
                return ev.RuntimeSaved(version, ok=True)
            case do.Transact(request) if self.etcd_answers:
                self.revision += 1
                return ev.Applied(request, self.revision)
        return None

    def stepped(self, event: object, snapshot: NodeSnapshot) -> None:
        """Note an event."""
        self.noted.append((event, snapshot))

    def halt(self, state: State) -> None:
        """Note that nodeos is to be stopped without the loop, and what was known then."""
        self.halted.append(state)

    def when(self, kind: type) -> list[int]:
        """Return when actions of a kind were handed out."""
        return [at for at, action in self.done if isinstance(action, kind)]


class Bench:
    """A loop on a thread of its own."""

    def __init__(self) -> None:
        self.made: list[PlayedEffects] = []
        begun: Node = step.begin(LiveSettings("lab", LIMITS), State(replace(SETUP, timing=TIMING)))
        self.loop = Loop(begun, SystemClock(), self._effects, Unfelt())
        self.raised: list[BaseException] = []
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _effects(self, loop: Loop) -> Any:
        self.made.append(PlayedEffects(loop))
        return self.made[-1]

    @property
    def effects(self) -> PlayedEffects:
        """What carries out the actions."""
        return self.made[0]

    def _run(self) -> None:
        try:
            self.loop.run()
        except BaseException as error:  # noqa: BLE001 - what the loop raises is what is tested
            self.raised.append(error)

    @property
    def phase(self) -> Phase:
        """The phase as others see it."""
        return self.loop.snapshot.node.leadership.phase

    def start(self) -> None:
        """Begin, with a nodeos that is there."""
        self.loop.emit(ev.Started(None, NODEOS))
        self.thread.start()

    def lead(self) -> None:
        """Become the leader of a group that nobody leads."""
        self.start()
        for probe in GOOD.values():
            self.loop.emit(probe)
        self.loop.emit(ev.LeaseSeen(7))
        self.loop.emit(ev.StoreSeen(GroupView(1, heartbeat=HeartbeatKey(BEFORE, 1))))
        wait_until(lambda: self.phase is Phase.LEADING)

    def drop(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """End it whatever waits in the queue, as a defect does."""
        monkeypatch.setattr("agent.core.node.step.step", _broken)
        self.thread.join(3)
        assert not self.thread.is_alive()

    def end(self) -> None:
        """Ask for the end, and wait for it."""
        self.loop.emit(ev.Shutdown())
        self.thread.join(10)
        assert not self.thread.is_alive()


def _broken(*_: Any) -> Any:
    raise AssertionError("a defect")


@pytest.fixture
def bench() -> Iterator[Bench]:
    """Yield a loop that ends with the test."""
    bench = Bench()
    yield bench
    if bench.thread.is_alive():
        bench.end()


def test_it_leads_and_ends_well(bench: Bench) -> None:
    """The core's actions are handed out and their answers taken in, from the first pause to the release (R5)."""
    bench.lead()
    bench.end()
    assert not bench.raised
    kinds = [action.kind for _, action in bench.effects.done if isinstance(action, do.Transact)]
    assert kinds[0] == "take"
    assert kinds[-1] == "release"
    assert isinstance(bench.effects.done[0][1], do.PauseNodeos)
    assert bench.phase is Phase.STANDBY


def test_a_fatal_error_stops_first_and_is_raised_then(bench: Bench) -> None:
    """What makes it impossible to go on does not leave a nodeos behind that produces (R3)."""
    bench.lead()
    bench.loop.emit(Fatal(RefusedError("the name is alive elsewhere")))
    bench.loop.emit(Fatal(RefusedError("a later one")))
    bench.thread.join(10)
    assert [str(error) for error in bench.raised] == ["the name is alive elsewhere"]
    assert len(bench.effects.when(do.PauseNodeos)) >= 2
    assert [action.kind for _, action in bench.effects.done if isinstance(action, do.Transact)][-1] == "release"


DEFECTS = [AssertionError("a defect"), MemoryError(), RuntimeError("can't start new thread"), SystemExit(1)]
STAGES = {
    "the step": ("agent.core.node.step.step", None),
    "the snapshot": ("agent.runtime.loop.NodeSnapshot", None),
    "handing out an action": ("do", "effects"),
    "the pulse": ("_pulse", "loop"),
    "the clock": ("_clock", "loop"),
    "the queue": ("_next", "loop"),
}
"""Where the loop may come upon a defect: the name to break, and in what."""


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda each: type(each).__name__)
@pytest.mark.parametrize("stage", STAGES)
def test_a_defect_in_any_stage_stops_nodeos_before_it_ends(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, stage: str, defect: BaseException
) -> None:
    """R3: whatever ends the loop, nodeos is stopped first, by what was known last; then the error is raised."""
    bench.lead()
    name, where = STAGES[stage]

    def broken(*_: Any, **__: Any) -> Any:
        raise defect

    if where is None:
        monkeypatch.setattr(name, broken)
    else:
        monkeypatch.setattr(bench.effects if where == "effects" else bench.loop, name, broken)
    bench.thread.join(3)
    assert not bench.thread.is_alive()
    assert len(bench.effects.halted) == 1
    assert not bench.effects.halted[0].proven
    assert len(bench.raised) == 1
    assert bench.raised[0] is defect or stage == "the clock"


def test_no_last_act_at_an_orderly_end(bench: Bench) -> None:
    """What ends as the core says has stopped already, and says nothing else to nodeos."""
    bench.lead()
    bench.end()
    assert not bench.effects.halted


def test_what_nobody_counts_does_not_end_it(
    bench: Bench, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A defect in counting is logged; it is no reason to stop production."""
    bench.lead()

    def broken(_event: object, _snapshot: NodeSnapshot) -> None:
        raise ValueError("Incorrect label count")

    monkeypatch.setattr(bench.effects, "stepped", broken)
    wait_until(lambda: "Incorrect label count" in caplog.text)
    time.sleep(0.2)
    assert bench.phase is Phase.LEADING


def test_the_stop_comes_in_time_without_any_event(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """When confirmations end and nothing else happens the stop is begun at V - A, not with the next event (R3)."""
    bench.lead()
    bench.effects.etcd_answers = False
    tenure = bench.loop.snapshot.node.leadership.tenure
    assert tenure is not None
    wait_until(lambda: bench.phase is not Phase.LEADING, 5)
    state = bench.loop.snapshot.node.leadership
    assert state.tenure is not None
    late = bench.effects.when(do.PauseNodeos)[-1] - state.renew_deadline
    assert 0 <= late < SOON_MS
    bench.drop(monkeypatch)


def test_a_burst_of_events_does_not_delay_the_stop(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """With ten thousand events in the queue the stop is decided right after its time, not behind them (R3)."""
    bench.lead()
    bench.effects.etcd_answers = False
    wait_until(lambda: bench.loop.snapshot.node.leadership.request)
    stop_by = bench.loop.snapshot.node.leadership.renew_deadline
    time.sleep(max(0.0, (stop_by - 100 - SystemClock().boot()) / 1000))
    burst = [ProcessProbed(NODEOS) for _ in range(10_000)]
    for event in burst:
        bench.loop.emit(event)
    wait_until(lambda: bench.phase is not Phase.LEADING, 5)
    wait_until(lambda: any(snapshot.at >= stop_by for _, snapshot in bench.effects.noted))  # noted after it is shown
    after = [(event, snapshot) for event, snapshot in bench.effects.noted if snapshot.at >= stop_by]
    assert Phase.STOPPING in [snapshot.node.leadership.phase for _, snapshot in after[:2]]
    assert not any(event is burst[-1] for event, _ in after[:2]), "the burst was over before its time"
    bench.drop(monkeypatch)


def test_it_waits_as_the_core_says(bench: Bench) -> None:
    """Without events it steps when the core wants to look again, and neither spins nor oversleeps."""
    bench.start()
    wait_until(lambda: bench.phase is Phase.STANDBY)
    before = len(bench.effects.noted)
    time.sleep(2.2)
    steps = [snapshot for _, snapshot in bench.effects.noted[before:]]
    assert 2 <= len(steps) <= 8, len(steps)
    for earlier, later in pairwise(steps):
        assert later.at <= earlier.node.wake + SOON_MS
    assert isinstance(bench.effects.noted[-1][0], ev.Tick)


def test_everything_that_happens_is_seen(bench: Bench) -> None:
    """Each event is told to the effects, with the snapshot after it; what others hold does not change under them."""
    bench.start()
    wait_until(lambda: bench.phase is Phase.STANDBY)
    held = bench.loop.snapshot
    event = ev.LeaseSeen(99)
    bench.loop.emit(event)
    wait_until(lambda: any(noted is event for noted, _ in bench.effects.noted))
    after = next(snapshot for noted, snapshot in bench.effects.noted if noted is event)
    assert after.node.leadership.lease == 99
    assert held.node.leadership.lease is None


def test_transitions_and_warnings_are_logged(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """Each transition is one line with its fields, and so is each warning; renewals are none."""
    caplog.set_level(logging.INFO, "agent.runtime.loop")
    bench.lead()
    wait_until(lambda: sum(hasattr(record, "transition") for record in caplog.records) >= 4)  # told after they are so
    transitions = [record for record in caplog.records if hasattr(record, "transition")]
    assert [vars(record)["to"] for record in transitions] == ["standby", "campaigning", "elected", "leading"]
    assert vars(transitions[-1])["epoch"] == 1
    lines = len(transitions)
    wait_until(lambda: len(bench.effects.when(do.Transact)) > 5)
    assert len([record for record in caplog.records if hasattr(record, "transition")]) == lines
    for _ in range(3):
        bench.loop.emit(EtcdSeen("cut off"))
    wait_until(lambda: [vars(record).get("warning") for record in caplog.records].count("etcd_down"))


def test_emit_never_waits(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the loop is busy anybody can hand in events."""
    bench.start()
    wait_until(lambda: bench.phase is Phase.STANDBY)
    go_on = threading.Event()
    stepped = bench.effects.stepped
    monkeypatch.setattr(bench.effects, "stepped", lambda *_: go_on.wait(5))
    begin = time.monotonic()
    for _ in range(1000):
        bench.loop.emit(ev.Tick())
    assert time.monotonic() - begin < 2.5
    monkeypatch.setattr(bench.effects, "stepped", stepped)
    go_on.set()
