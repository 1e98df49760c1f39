"""One node, `bp-a`, against a store and a nodeos that answer what a test says. Times are milliseconds."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

from agent.core.leadership import actions as do
from agent.core.leadership import events as ev
from agent.core.leadership import machine
from agent.core.leadership.state import Identity, Phase, Production, State, Tenure
from agent.core.leadership.timing import Timing
from agent.core.model.chain import Block, ProcessId
from agent.core.model.keys import keys as keys_of
from agent.core.model.records import GroupView, Heartbeat
from agent.core.model.runtime_record import RuntimeRecord
from agent.core.model.store import Ms
from tests.core.parts import member

KEYS = keys_of("/nodeos-failover", "g")
T = Timing()
NODEOS = ProcessId(100, 1)
LEASE = 77


A = TypeVar("A", bound=do.Action)


class One:
    """An agent under test. `tell` gives an event at a time and returns the actions; `all` has every action so far."""

    def __init__(self, node: str = "bp-a") -> None:
        self.state = State(Identity(node, "me", KEYS, producer="eosio", boot_id="boot", agent_pid=1))
        self.now: Ms = 1000
        self.all: list[do.Action] = []
        self.revision = 10

    def given(self, timing: Timing, host_id: str = "") -> None:
        """Give the agent spans of its own, and a host id, before it starts."""
        self.state = replace(self.state, identity=replace(self.state.identity, timing=timing, host_id=host_id))

    def tell(self, event: ev.Event, after: Ms = 0) -> list[do.Action]:
        """Give `event`, `after` ms later."""
        self.now += after
        self.state, new = machine.step(self.state, event, self.now)
        self.all += new
        return list(new)

    def tick(self, after: Ms) -> list[do.Action]:
        """Let time pass."""
        return self.tell(ev.Tick(), after)

    def last(self, kind: type[A]) -> A:
        """The newest action of a kind."""
        return next(action for action in reversed(self.all) if isinstance(action, kind))

    def phase(self) -> Phase:
        """The phase now; a call, so that no type checker remembers the one before."""
        return self.state.phase

    @property
    def tenure(self) -> Tenure:
        """The tenure that there is now."""
        assert self.state.tenure is not None
        return self.state.tenure

    def power(self) -> Production:
        """What is known of nodeos's production now."""
        return self.state.production

    def request(self, kind: str) -> do.Transact:
        """The transaction under way, which must be of this kind."""
        found = self.last(do.Transact)
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

    def see(self, after: Ms = 0, *, newer: bool = False, **keys: object) -> list[do.Action]:
        """Let the agent see the store at the next revision; its chain bears a release out unless `newer` (R20)."""
        self.revision += 1
        seen = self.state.seen
        whole = {"leader": seen.leader, "heartbeat": seen.heartbeat, "override": seen.override} | keys
        whole = {"members": (member("bp-b"), member("bp-c"))} | whole
        view = GroupView(self.revision, **whole)  # type: ignore[arg-type] # keys of it
        return [*self.tell(ev.StoreSeen(view), after), *self.tell(ev.Ungoverned(self.state.clear_at, newer))]

    def paused(self) -> list[do.Action]:
        """Let nodeos answer the pause, and the block in flight be done."""
        pause = self.last(do.PauseNodeos)
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


def record(now: Ms, state: str = "held", *, resume_open: bool = False, process: ProcessId = NODEOS) -> RuntimeRecord:
    """The run-time file of a leader."""
    until = now + T.validity
    return RuntimeRecord("boot", 9, state, 4, "old", 7, 30, 20, LEASE, until, until - T.margin, resume_open, process)
