"""The core's actions as calls to the adapters, and their outcomes as events: translation, one function a call.

What an error means for the protocol stands here and nowhere else: what was certainly not delivered, what may still
act later, what was a definite no.
"""

from __future__ import annotations

from contextlib import suppress

from agent.core.blocks import follow
from agent.core.leadership import actions as do
from agent.core.leadership import events as ev
from agent.core.model import records
from agent.core.model.keys import Keys
from agent.core.model.store import TxnAnswer
from agent.errors import (
    FailoverError,
    FenceError,
    GateError,
    LeaseGone,
    NodeosAnswer,
    NodeosError,
    NodeosUnreachable,
    StoreError,
    StoreRejected,
)
from agent.host.deadline import Deadline
from agent.ports import Clock, Fence, Nodeos, RuntimeFile, SigningGate, Store


def transact(store: Store, action: do.Transact, names: Keys) -> ev.Event:
    """Run one transaction (R1, R2, R5, R8)."""
    try:
        answer = store.txn(action.txn, action.within / 1000)
    except StoreError as error:
        return refused(action, error)
    return answered(action, answer, names)


def refused(action: do.Transact, error: StoreError) -> ev.Event:
    """Return the event for a transaction that failed: a definite no, or no answer (R2)."""
    if isinstance(error, StoreRejected):
        return ev.Rejected(action.request, isinstance(error, LeaseGone), str(error))
    return ev.Unknown(action.request, str(error))


def answered(action: do.Transact, answer: TxnAnswer, names: Keys) -> ev.Event:
    """Return the event for a definite answer to a transaction."""
    if answer.applied:
        return ev.Applied(action.request, answer.revision, answer.cluster)
    found = {item.key: item for item in answer.found}
    leader, heartbeat = found.get(names.leader), found.get(names.heartbeat)
    return ev.Refused(
        action.request,
        answer.revision,
        records.leader_key(leader) if leader else None,
        records.heartbeat_key(heartbeat) if heartbeat else None,
        answer.cluster,
    )


def outcome(error: NodeosError | None) -> ev.Call:
    """Return what an error of nodeos means for the protocol."""
    if error is None:
        return ev.Call.OK
    if isinstance(error, NodeosUnreachable):
        return ev.Call.UNREACHABLE
    if isinstance(error, NodeosAnswer):
        return ev.Call.ERROR
    return ev.Call.TIMEOUT


def pause(nodeos: Nodeos, action: do.PauseNodeos, clock: Clock) -> ev.PauseDone:
    """Pause nodeos, and see that it is: the answer alone would be believed of one that goes on (R4)."""
    by, within, unpaused = clock.boot() + action.within, action.within, False
    if action.looks:
        with suppress(NodeosError):
            unpaused = not nodeos.paused(within / 4000)
        within -= within // 4
    try:
        nodeos.pause(within / 1000)
        left = by - clock.boot()
        if left <= 0:
            return ev.PauseDone(action.call, ev.Call.TIMEOUT, "no time was left to see it paused", unpaused)
        if not nodeos.paused(left / 1000):
            why = "nodeos answered ok, and yet it is not paused"
            return ev.PauseDone(action.call, ev.Call.ERROR, why, unpaused)
    except NodeosError as error:
        return ev.PauseDone(action.call, outcome(error), str(error), unpaused)
    return ev.PauseDone(action.call, ev.Call.OK, unpaused=unpaused)


def resume(nodeos: Nodeos, action: do.ResumeNodeos, clock: Clock) -> ev.ResumeDone:
    """Resume nodeos. An unanswered resume may act at any later time; one that comes too late is not sent (R3)."""
    left = min(action.within, action.by - clock.boot())
    if left <= 0:
        return ev.ResumeDone(action.call, ev.Call.UNREACHABLE, "not sent: this process was held up for too long")
    try:
        nodeos.resume(left / 1000)
    except NodeosError as error:
        return ev.ResumeDone(action.call, outcome(error), str(error))
    return ev.ResumeDone(action.call, ev.Call.OK)


def read_head(nodeos: Nodeos, action: do.ReadHead) -> ev.HeadRead:
    """Read nodeos's head."""
    try:
        info = nodeos.info(action.within / 1000)
    except NodeosError:
        return ev.HeadRead(action.call, None)  # the core goes on without: the block is not named then
    return ev.HeadRead(action.call, info.head_num, info.head_id, info.head_time, info.head_producer)


def read_blocks(nodeos: Nodeos, action: follow.ReadBlocks) -> follow.BlocksRead:
    """Read headers of our own chain, all within one deadline; the first that fails ends it."""
    deadline = Deadline(action.within / 1000)
    found = []
    try:
        for num in action.nums:
            found.append(nodeos.block(num, deadline.remaining()))  # noqa: PERF401 - what was read before an error counts
    except NodeosError as error:
        return follow.BlocksRead(action.call, tuple(found), str(error))
    return follow.BlocksRead(action.call, tuple(found))


def fence(fencing: Fence, action: do.FenceNodeos) -> ev.FenceDone:
    """End the nodeos process and see it gone."""
    try:
        how = fencing.stop(action.term / 1000, action.within / 1000)
    except FenceError as error:
        return ev.FenceDone(action.call, gone=False, why=str(error))
    return ev.FenceDone(action.call, gone=True, why=how)


def close_gate(gate: SigningGate, action: do.CloseGate, clock: Clock) -> ev.GateDone:
    """Close the signing gate and see it proven (R4)."""
    left = min(action.within, action.by - clock.boot())
    if left <= 0:
        return ev.GateDone(action.call, closed=False, why="not begun: this process was held up for too long")
    try:
        closed = gate.close(left / 1000)
    except GateError as error:
        return ev.GateDone(action.call, closed=False, why=str(error))
    return ev.GateDone(action.call, closed=True, quiet=closed.quiet_since)


def save(file: RuntimeFile, action: do.SaveRuntime, more: dict[str, object]) -> ev.RuntimeSaved:
    """Write or remove the run-time file; `more` is what the guard needs beside the record."""
    try:
        if action.record is None:
            file.remove()
        else:
            file.save(action.record, more)
    except (OSError, FailoverError) as error:
        return ev.RuntimeSaved(action.version, ok=False, why=str(error))
    return ev.RuntimeSaved(action.version, ok=True)
