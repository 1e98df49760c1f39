"""What carries the core's actions out: each kind of action has its lane. Nothing is decided here, nothing blocks."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from agent.core.alerts.notice import Notice
from agent.core.blocks.follow import BlocksRead, ReadBlocks
from agent.core.leadership import actions as do
from agent.core.leadership import events as ev
from agent.core.leadership.state import State
from agent.core.model.keys import Keys
from agent.core.model.records import RuntimeRecord
from agent.core.model.store import Ms
from agent.core.node.hook_log import HookDone, RunHook
from agent.core.node.snapshot import NodeSnapshot
from agent.core.node.state import NodeAction, Notify, Publish, RecordChange, RecordWindow, RefuseWish
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
_LANES = {
    do.PauseNodeos: "pause",
    do.ResumeNodeos: "resume",
    do.ReadHead: "head",
    do.FenceNodeos: "fence",
    do.CloseGate: "gate",
    do.SaveRuntime: "file",
    ReadBlocks: "blocks",
}


@dataclass(frozen=True, slots=True)
class Adapters:
    """The adapters that actions need. `guard_fields`: what the guard needs beside a record of the run-time file.

    `gate`, `peers` None: there are none, and the core asks for none.
    """

    store: Store
    nodeos: Nodeos
    fence: Fence
    file: RuntimeFile
    clock: Clock
    names: Keys
    tell: Callable[[Notice], None]
    guard_fields: Callable[[RuntimeRecord | None], dict[str, object]] = field(default=lambda _record: {})
    hooks: Hooks = field(default_factory=lambda: Hooks({}, "", ""))
    gate: SigningGate | None = None
    peers: Peering | None = None


def _unsent(call: int) -> ev.ResumeDone:
    return ev.ResumeDone(call, ev.Call.UNREACHABLE, "not sent: the loop has ended")


class Effects:
    """Hands each action to its lane. A pause and a resume have lanes of their own, and so has the kill."""

    def __init__(self, adapters: Adapters, session: Session, metrics: Metrics, emit: Emit) -> None:
        self._out = adapters
        self._session = session
        self._metrics = metrics
        self._emit = emit
        names = ("transactions", "pause", "resume", "head", "fence", "file", "blocks", *adapters.hooks.names)
        names += ("gate",) if adapters.gate is not None else ()
        self._lanes = {name: Lane(name, emit, adapters.clock) for name in names}
        self._halted = False

    def do(self, action: NodeAction) -> None:
        """Carry out one action; never blocks."""
        match action:
            case do.Announce():
                self._metrics.announced(action)
            case Publish() | RecordChange() | RefuseWish() | RecordWindow():
                self._write(action)
            case RunHook():
                self._lanes[action.hook].submit(self._job(action))
            case Notify():
                self._out.tell(action.notice)
            case do.Transact():
                self._metrics.sent(action, self._out.clock.boot())
                self._lanes["transactions"].submit(self._job(action))
            case do.SendBeat() | do.SendPromise() if self._out.peers is not None:
                self._out.peers.do(action)
            case do.OpenGate(epoch, until):
                self._open(epoch, until)
            case _ if type(action) in _LANES:
                self._lanes[_LANES[type(action)]].submit(self._job(action))

    def _write(self, action: Publish | RecordChange | RefuseWish | RecordWindow) -> None:
        """Have the session write something into etcd."""
        match action:
            case Publish():
                self._session.publish(action.member)
            case RecordChange():
                self._metrics.changed(action.fields)
                self._session.record(action.epoch, action.fields)
            case RefuseWish():
                self._session.refuse(action.revision, action.fields)
            case RecordWindow():
                self._session.count(action.window)

    def _open(self, epoch: int, until: Ms) -> None:
        """Open the gate: a memory store, so that it comes before the resume."""
        assert self._out.gate is not None
        try:
            self._out.gate.permit(epoch, until)
        except GateError as error:
            self._emit(ev.GateRefused(epoch, str(error)))

    def _job(self, action: NodeAction) -> Job:
        """Return the call that an action asks for, and the event that stands for a defect in it."""
        out = self._out
        match action:
            case do.Transact(request, within=within):
                return Job(
                    lambda: calls.transact(out.store, action, out.names),
                    lambda why: ev.Unknown(request, why),
                    within,
                )
            case do.PauseNodeos(call, within):
                return Job(
                    lambda: calls.pause(out.nodeos, action, out.clock),
                    lambda why: ev.PauseDone(call, ev.Call.TIMEOUT, why),
                    within,
                )
            case do.ResumeNodeos(call, within):
                return Job(
                    lambda: calls.resume(out.nodeos, action, out.clock) if not self._halted else _unsent(call),
                    lambda why: ev.ResumeDone(call, ev.Call.TIMEOUT, why),
                    within,
                )
            case do.ReadHead(call, within):
                return Job(lambda: calls.read_head(out.nodeos, action), lambda _why: ev.HeadRead(call, None), within)
            case RunHook(hook, epoch, within=within):
                return Job(
                    lambda: out.hooks.run(action), lambda why: HookDone(hook, epoch, "error", within, why), within
                )
            case ReadBlocks(call, _, within):
                return Job(lambda: calls.read_blocks(out.nodeos, action), lambda why: BlocksRead(call, (), why), within)
            case do.FenceNodeos(call, within=within):
                return Job(
                    lambda: calls.fence(out.fence, action),
                    lambda why: ev.FenceDone(call, gone=False, why=why),
                    within,
                )
            case do.CloseGate(call, within) if out.gate is not None:
                gate = out.gate
                return Job(
                    lambda: calls.close_gate(gate, action, out.clock), lambda why: ev.GateFailed(call, why), within
                )
            case do.SaveRuntime(version, record):
                more = out.guard_fields(record)
                return Job(
                    lambda: calls.save(out.file, action, more),
                    lambda why: ev.RuntimeSaved(version, ok=False, why=why),
                    SAVE_MS,
                )
        raise AssertionError(f"no call for {action}")

    def halt(self, state: State) -> None:
        """Stop nodeos at once, on the caller's thread; no resume is sent any more."""
        self._halted = True
        out = self._out
        halt(state, out.nodeos, out.fence, out.gate, out.clock)

    def seen(self, event: object, snapshot: NodeSnapshot) -> None:
        """See that no lane hangs, and count one event."""
        for lane in self._lanes.values():
            lane.look()
        self._metrics.seen(event, snapshot.at)

    def close(self, wait_s: float) -> None:
        """Finish what was asked for, the last word in the run-time file above all; end within `wait_s` seconds."""
        deadline = Deadline(wait_s)
        for lane in self._lanes.values():
            lane.close()
        late = [name for name, lane in self._lanes.items() if not lane.join(deadline.remaining())]
        self._out.hooks.close()
        if late:
            log.warning("at the end these calls were still under way: %s", ", ".join(late))
        if "transactions" not in late:
            self._out.store.close()
