"""Scenarios: stories of one node as text, each move beside the lines that it causes. Only reading and playing is here.

A file is a family. A scenario begins with `# ` lines that say what it shows and by which rule; then come moves, one a
line, and below each, indented, what the core did. `pytest tests/core/leadership --rewrite` writes what it does now, to
be read like any other change.

    see leader=bp-b@5 heartbeat=bp-b:3@6     the store from now on: VALUE@REVISION/LEASE, `-` for no key, and words
    wait 500 | wait R-1 | wait until stop-1  let time pass: milliseconds, a span of Timing, or up to a moment
    applied | unknown | rejected             etcd's answer to the transaction under way, and `saved` the file's
    pause ok | resume timeout | fence gone   nodeos's answers; `settled` is the pause's, and B after it
    start claims | process gone              a start beside a nodeos that produces; which process nodeos is now
    restart held 2000 | refused leader=-     a start with a run-time file so old; what stood in the store instead
    gate required | gate on                  a node with a gate, from the begin on, which answers `closed` and `signed`
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from agent.core.leadership import actions as do
from agent.core.leadership import events as ev
from agent.core.leadership.timing import GateMode, Timing, standstill
from agent.core.model import records
from agent.core.model.chain import ProcessId
from agent.core.model.operator import Override, Switchover
from agent.core.model.records import Heartbeat, HeartbeatKey, LeaderKey
from agent.core.model.store import Ms, Put
from tests.core.leadership.one import KEYS, LEASE, NODEOS, One, T, held, record

NAMES = {KEYS.leader: "leader", KEYS.heartbeat: "heartbeat", KEYS.switchover: "switchover"}
TIMINGS = {
    "required": Timing(
        validity=1600, renew=200, slack=100, request=500, election=500, lease_ttl=3, gate=GateMode.REQUIRED
    ),
    "on": Timing(gate=GateMode.ON),
}
SETTING = ("standby", "lead")
"""Moves that only set the scene: what they cause is shown where they are made step by step."""
TAKES_MS = 2
"""What each answer takes, unless a move says otherwise."""


class Stage:
    """One node, and the moves by their names."""

    def __init__(self) -> None:
        self.one = One()
        self._moves: dict[str, Callable[..., object]] = {
            "gate": self._gate,
            "start": lambda *words: self.one.tell(ev.Started(None, _process(words), claims="claims" in words)),
            "restart": self._restart,
            "standby": self._standby,
            "lead": self._lead,
            "wait": self._wait,
            "see": lambda *words: self.one.see(0, **_keys(words)),
            "standing": self._standing,
            "applied": lambda after=TAKES_MS: self._applied(int(after)),
            "unknown": lambda after=T.request: self.one.tell(
                ev.Unknown(self.one.state.request, "no answer"), int(after)
            ),
            "refused": lambda *words: self.one.tell(self._refused(**_keys(words)), TAKES_MS),
            "rejected": lambda *words: self.one.tell(
                ev.Rejected(self.one.state.request, "lease-gone" in words, "its words"), TAKES_MS
            ),
            "saved": self.one.save,
            "lease": lambda word: self.one.tell(ev.LeaseSeen({"gone": None, "there": LEASE, "other": LEASE + 1}[word])),
            "pause": self._pause,
            "settled": self.one.paused,
            "resume": self._resume,
            "closed": lambda: self.one.tell(ev.GateDone(self.one.state.gate_call, closed=True), TAKES_MS),
            "signed": lambda: self.one.tell(ev.GateSigned(self.one.now + 5), 10),
            "ungoverned": lambda span: self.one.tell(ev.Ungoverned(self.one.now + int(span))),
            "end": lambda: self.one.tell(ev.Shutdown()),
            "fence": lambda word: self.one.tell(ev.FenceDone(self.one.state.call, word == "gone", "no permission"), 10),
            "head": lambda num: self.one.read_head(int(num)),
            "process": lambda word: self.one.tell(ev.ProcessSeen(_process([word]))),
            "nodeos": lambda word, asked=0: self.one.tell(
                ev.PausedSeen(self.one.now + int(asked), paused=word == "paused"), 10
            ),
        }

    def move(self, text: str) -> Iterator[str]:
        """Make a move, and yield the lines that it causes."""
        name, *words = text.split()
        before, count = self.one.state, len(self.one.all)
        self._moves[name](*words)
        if name in SETTING:
            return
        state = self.one.state
        yield from (self._line(action) for action in self.one.all[count:])
        if state.production is not before.production:
            yield f"nodeos: {state.production.value}"
        if state.gate is not before.gate:
            yield f"gate: {state.gate.value}"
        if state.proven and not before.proven:
            yield "proven stopped"
        valid = [each.tenure.valid_until if each.tenure else 0 for each in (before, state)]
        if valid[0] != valid[1] and valid[1]:
            yield f"valid for {valid[1] - self.one.now} ms"

    def _standby(self, *words: str) -> None:
        self.one.tell(ev.Started(None, NODEOS))
        if self.one.state.gate_call:
            self.one.tell(ev.GateDone(self.one.state.gate_call, closed=True), TAKES_MS)
        self.one.paused()
        self.one.tell(ev.LeaseSeen(LEASE))
        rank = next((int(word) for word in words if word.isdigit()), 0)
        self.one.tell(ev.Eligibility("unfit" not in words, can_produce=True, rank=rank, why=""))

    def _lead(self) -> None:
        self._standby()
        self.one.see(leader=None, heartbeat=None)
        self.one.apply("take")
        self._resume("ok")
        self.one.save()

    def _pause(self, result: str) -> None:
        call = self.one.last(do.PauseNodeos)
        self.one.tell(ev.PauseDone(call.call, ev.Call(result), "its words"), 1)

    def _gate(self, mode: str) -> None:
        self.one.given(TIMINGS[mode])

    def _wait(self, *words: str) -> None:
        name, _, less = words[-1].partition("-")
        state, timing = self.one.state, self.one.state.identity.timing
        spans = {"R": timing.renew, "P": timing.pause, "B": timing.block, "E": timing.validity}
        spans |= {"nomination": timing.nomination, "rank": timing.rank_step, "close": timing.gate_close}
        moments: dict[str, Ms] = {"stop": state.stop_at, "retry": state.retry_at, "wake": state.wake or 0}
        moments["V"] = state.tenure.valid_until if state.tenure else 0
        moments["free"] = state.seen.heartbeat_since + standstill(timing.validity)
        span = moments[name] - self.one.now if words[0] == "until" else spans.get(name) or int(name)
        self.one.tick(span - int(less or 0))

    def _restart(self, state: str, age: str, *words: str) -> None:
        file = record(self.one.now - int(age), state, resume_open="resume-open" in words)
        if "other-process" in words:
            file = replace(file, process=_process(["other"]))
        if "other-boot" in words:
            file = replace(file, boot_id="another")
        self.one.revision = file.heartbeat_revision
        self.one.tell(ev.Started(file, NODEOS))

    def _refused(self, leader: LeaderKey | None = None, heartbeat: HeartbeatKey | None = None) -> ev.Refused:
        self.one.revision = max([self.one.revision, *(each.revision for each in (leader, heartbeat) if each)]) + 1
        return ev.Refused(self.one.state.request, self.one.revision, leader, heartbeat)

    def _standing(self, word: str, *words: str) -> None:
        more = dict(each.split("=") for each in words)
        self.one.tell(ev.Eligibility(word == "fit", can_produce=True, why="peers", **more))  # type: ignore[arg-type] # words

    def _applied(self, after: Ms) -> None:
        self.one.revision += 1
        self.one.tell(ev.Applied(self.one.state.request, self.one.revision), after)

    def _resume(self, result: str) -> None:
        call = self.one.last(do.ResumeNodeos)
        self.one.tell(ev.ResumeDone(call.call, ev.Call(result), "its words"), 1)

    def _line(self, action: do.Action) -> str:
        match action:
            case do.Announce(_, source, target, reason):
                return f"{source} -> {target}: {reason}"
            case do.Warn(key, text):
                return f"warn {key}: {text}"
            case do.PauseNodeos(within=within) | do.ReadHead(within=within):
                return f"{'pause' if isinstance(action, do.PauseNodeos) else 'read the head'} within {within}"
            case do.ResumeNodeos(within=within):
                return f"resume within {within}"
            case do.FenceNodeos(term=term, within=within):
                return f"end the process within {within}, {f'SIGTERM {term} before' if term else 'by SIGKILL'}"
            case do.OpenGate(epoch, until):
                return f"open the gate for epoch {epoch}, for {until - self.one.now} ms"
            case do.CloseGate(within=within):
                return f"close the gate within {within}"
            case do.SaveRuntime(record=record):
                return f"save {record.state} epoch {record.epoch}" if record else "remove the file"
            case do.Transact(kind=kind, txn=txn):
                known = ", ".join(f"{NAMES[each.key]}@{each.mod_revision}" for each in txn.compare)
                return f"{kind} if {known}: {', '.join(map(_write, txn.then))}"
        return type(action).__name__


def _process(words: Sequence[str]) -> ProcessId | None:
    """Return the process of nodeos: ours, another one, none, or one that is not known to be it."""
    kinds = {"gone": None, "other": ProcessId(101, 2), "unknown": ProcessId(0, 0)}
    return next((kinds[word] for word in words if word in kinds), NODEOS)


def _keys(words: Sequence[str]) -> dict[str, Any]:
    """Read what stands in the store."""
    found: dict[str, Any] = {}
    for name, _, value in (word.partition("=") for word in words):
        text, _, revision = value.partition("@")
        at, _, lease = revision.partition("/")
        if name == "leader":
            found[name] = None if value == "-" else LeaderKey(text, int(at), int(lease or 0))
        elif name == "heartbeat":
            beat = None if text == "garbage" else _heartbeat
            found[name] = None if value == "-" else HeartbeatKey(beat and beat(*text.split(":")), int(at))
        elif name == "override":
            found[name] = Override(None if value == "none" else value)
        else:
            found[name] = Switchover(value) if name == "switchover" else value
    return found


def _heartbeat(node: str, number: str, released: str = "", block: str = "0") -> Heartbeat:
    """Read NODE/INSTANCE:EPOCH.SEQ:released:BLOCK, of which only the node and the epoch have to be there."""
    name, _, instance = node.partition("/")
    epoch, _, seq = number.partition(".")
    found = held(int(epoch), name, int(seq or 1), released=bool(released), block=int(block) or None)
    return replace(found, instance=instance) if instance else found


def _write(write: object) -> str:
    if not isinstance(write, Put):
        return f"delete {NAMES[getattr(write, 'key', '')]}"
    lease = {0: "", LEASE: " with the lease"}.get(write.lease, f" with lease {write.lease}")
    if write.key != KEYS.heartbeat:
        return f"put {NAMES[write.key]} {write.value.decode()}{lease}"
    record = records.read_heartbeat(write.value)
    block = f" block {record.last_block.num}" if record.last_block else ""
    block += f", E {record.validity_ms}" if record.validity_ms != T.validity else ""
    return f"put heartbeat {record.epoch}/{record.seq} {'released' if record.released else 'held'}{block}{lease}"
