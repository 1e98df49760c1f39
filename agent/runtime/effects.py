"""What carries the core's actions out. Nothing is decided here, nothing blocks.

EFFECTS says of each kind of action what is called for it, on which lane, and what a defect in that call means.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from agent.core.alerts.notice import Notice
from agent.core.blocks.follow import BlocksRead, ReadBlocks
from agent.core.leadership import actions as do
from agent.core.leadership import events as ev
from agent.core.leadership.state import State
from agent.core.model.keys import Keys
from agent.core.model.store import Ms
from agent.core.node.snapshot import NodeSnapshot
from agent.core.node.state import HookDone, NodeAction, Notify, Publish, RecordChange, RecordWindow, RefuseWish, RunHook
from agent.errors import GateError
from agent.host.deadline import Deadline
from agent.ports import Clock, Emit, Fence, Nodeos, RuntimeFile, SigningGate, Store
from agent.runtime import calls
from agent.runtime.halt import halt
from agent.runtime.hooks import Hooks
from agent.runtime.lanes import Job, Lane
from agent.runtime.peering import Peering
from agent.runtime.session import Session
from agent.telemetry.metrics import Metrics

log = logging.getLogger(__name__)

SAVE_MS = 1000
"""Total deadline of writing the run-time file: it lies on tmpfs."""


@dataclass(frozen=True, slots=True)
class Adapters:
    """The adapters that actions need. `guard_fields`: what the guard needs beside each record of the run-time file.

    `gate`, `peers` None: there are none, and the core asks for none.
    """

    store: Store
    nodeos: Nodeos
    fence: Fence
    file: RuntimeFile
    clock: Clock
    names: Keys
    tell: Callable[[Notice], None]
    guard_fields: dict[str, object] = field(default_factory=dict)
    hooks: Hooks = field(default_factory=lambda: Hooks({}, "", ""))
    gate: SigningGate | None = None
    peers: Peering | None = None


@dataclass(eq=False)
class Effects:
    """Carries each action out as EFFECTS says. A pause and the kill have lanes of their own.

    The head is read on the lane of the resume: before one, or once one is over or cannot matter any more, and by then
    the core goes on without (R5, R9).

    `observes`: nothing is carried out that does anything to nodeos, etcd, the gate or people.
    """

    out: Adapters
    session: Session
    metrics: Metrics
    emit: Emit
    observes: bool = False

    def __post_init__(self) -> None:
        self.halted = False
        names = dict.fromkeys((*(each.lane for each in EFFECTS.values() if each.lane), *self.out.hooks.names))
        if self.out.gate is None:
            names.pop("gate")
        self._lanes = {name: Lane(name, self.emit, self.out.clock) for name in names}

    def do(self, action: NodeAction) -> None:
        """Carry out one action; never blocks."""
        effect = EFFECTS[type(action)]
        if self.observes and not effect.harmless:
            return
        if effect.at_once is not None:
            effect.at_once(self, action)
        if effect.call is not None:
            lane = effect.lane or action.hook  # type: ignore[union-attr] # each hook has a lane of its own
            self._lanes[lane].submit(effect.job(self, action))

    def halt(self, state: State) -> None:
        """Stop nodeos at once, on the caller's thread; no resume is sent any more."""
        self.halted = True
        if self.observes:
            return
        out = self.out
        halt(state, out.nodeos, out.fence, out.gate, out.clock)

    def stepped(self, event: object, snapshot: NodeSnapshot) -> None:
        """See that no lane hangs, and count one event."""
        for lane in self._lanes.values():
            lane.look()
        self.metrics.stepped(event, snapshot.at)

    def close(self, wait_s: float) -> None:
        """Finish what was asked for, the last word in the run-time file above all; end within `wait_s` seconds."""
        deadline = Deadline(wait_s)
        for lane in self._lanes.values():
            lane.close()
        late = [name for name, lane in self._lanes.items() if not lane.join(deadline.remaining())]
        self.out.hooks.close()
        if late:
            log.warning("at the end these calls were still under way: %s", ", ".join(late))
        if "transactions" not in late:
            self.out.store.close()


@dataclass(frozen=True, slots=True)
class Effect:
    """How one kind of action is carried out.

    at_once  what is done on the loop's own thread: it must not block
    lane     where `call` is run, empty: on the lane of the hook that the action names
    call     the call to the outside; it returns the event that tells how it went
    failed   the event for a defect in it, or for a call that does not return
    within   its total deadline in ms; None: that of the action
    harmless  it only looks, or counts: an agent that observes does it
    """

    at_once: Callable[[Effects, Any], object] | None = None
    lane: str = ""
    call: Callable[[Effects, Any], object] | None = None
    failed: Callable[[Any, str], object] | None = None
    within: Ms | None = None
    harmless: bool = False

    def job(self, effects: Effects, action: Any) -> Job:
        """Return the call for a lane."""
        call, failed = self.call, self.failed
        assert call is not None
        assert failed is not None
        within: Ms = self.within if self.within is not None else action.within
        return Job(lambda: call(effects, action), lambda why: failed(action, why), within)


def _open(effects: Effects, action: do.OpenGate) -> None:
    """Open the gate: a memory store, so that it comes before the resume."""
    assert effects.out.gate is not None
    try:
        effects.out.gate.permit(action.epoch, action.until)
    except GateError as error:
        effects.emit(ev.GateRefused(action.epoch, str(error)))


def _close(effects: Effects, action: do.CloseGate) -> ev.GateDone:
    assert effects.out.gate is not None
    return calls.close_gate(effects.out.gate, action, effects.out.clock)


def _resume(effects: Effects, action: do.ResumeNodeos) -> ev.ResumeDone:
    if effects.halted:
        return ev.ResumeDone(action.call, ev.Call.UNREACHABLE, "not sent: the loop has ended")
    return calls.resume(effects.out.nodeos, action, effects.out.clock)


def _sent(effects: Effects, action: do.SendBeat | do.SendPromise) -> None:
    if effects.out.peers is not None:
        effects.out.peers.do(action)
        if isinstance(action, do.SendPromise):
            effects.metrics.promised()


def _changed(effects: Effects, action: RecordChange) -> None:
    effects.metrics.changed(action.fields)
    effects.session.record(action.epoch, action.fields)


def _told(_effects: Effects, _action: NodeAction) -> None:
    """Nothing is left to do: the loop logs each action, and ends at `Exit`."""


EFFECTS: dict[type, Effect] = {
    do.Transact: Effect(
        at_once=lambda on, txn: on.metrics.sent(txn, on.out.clock.boot()),
        lane="transactions",
        call=lambda on, txn: calls.transact(on.out.store, txn, on.out.names),
        failed=lambda txn, why: ev.Unknown(txn.request, why),
    ),
    do.PauseNodeos: Effect(
        lane="pause",
        call=lambda on, pause: calls.pause(on.out.nodeos, pause, on.out.clock),
        failed=lambda pause, why: ev.PauseDone(pause.call, ev.Call.TIMEOUT, why),
    ),
    do.ResumeNodeos: Effect(
        lane="resume",
        call=_resume,
        failed=lambda resume, why: ev.ResumeDone(resume.call, ev.Call.TIMEOUT, why),
    ),
    do.ReadHead: Effect(
        lane="resume",
        call=lambda on, read: calls.read_head(on.out.nodeos, read),
        failed=lambda read, _why: ev.HeadRead(read.call, None),
    ),
    do.FenceNodeos: Effect(
        lane="fence",
        call=lambda on, fence: calls.fence(on.out.fence, fence),
        failed=lambda fence, why: ev.FenceDone(fence.call, gone=False, why=why),
    ),
    do.OpenGate: Effect(at_once=_open),
    do.CloseGate: Effect(
        lane="gate",
        call=_close,
        failed=lambda close, why: ev.GateDone(close.call, closed=False, why=why),
    ),
    do.SaveRuntime: Effect(
        lane="file",
        call=lambda on, save: calls.save(on.out.file, save, on.out.guard_fields),
        failed=lambda save, why: ev.RuntimeSaved(save.version, ok=False, why=why),
        within=SAVE_MS,
    ),
    ReadBlocks: Effect(
        lane="blocks",
        call=lambda on, read: calls.read_blocks(on.out.nodeos, read),
        failed=lambda read, why: BlocksRead(read.call, (), why),
        harmless=True,
    ),
    RunHook: Effect(
        call=lambda on, run: on.out.hooks.run(run),
        failed=lambda run, why: HookDone(run.hook, run.epoch, "error", run.within, why),
    ),
    do.SendBeat: Effect(at_once=_sent),
    do.SendPromise: Effect(at_once=_sent),
    do.Announce: Effect(at_once=lambda on, said: on.metrics.announced(said), harmless=True),
    Publish: Effect(at_once=lambda on, report: on.session.publish(report.member)),
    RecordChange: Effect(at_once=_changed),
    RefuseWish: Effect(at_once=lambda on, wish: on.session.refuse(wish.revision, wish.fields)),
    RecordWindow: Effect(at_once=lambda on, counted: on.session.count(counted.window)),
    Notify: Effect(at_once=lambda on, news: on.out.tell(news.notice)),
    do.Warn: Effect(at_once=_told, harmless=True),
    do.Exit: Effect(at_once=_told, harmless=True),
}
