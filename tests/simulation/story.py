"""A group of cores in simulated time: each `Host` steps a real `Node`, and the chain is made here, block by block.

It is for stories about the composed step; its surroundings are those of `simulation.World`. What can happen to the
protocol itself is searched elsewhere.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from agent.core.alerts.notice import Notice
from agent.core.health.checks import DiskProbed, ProcessProbed
from agent.core.health.hysteresis import Thresholds
from agent.core.leadership import events as ev
from agent.core.leadership.state import Identity, Phase, State
from agent.core.model.archive import Window, write_window
from agent.core.model.chain import ChainInfo, Header, Peers, Producer, Schedule
from agent.core.model.records import GroupView, Member, read_group, write
from agent.core.model.slots import EPOCH, SLOT, producer_index, slot_of
from agent.core.model.store import Compare, Delete, Put, Snapshot, Txn
from agent.core.node import step as core
from agent.core.node.state import (
    EtcdSeen,
    HookDone,
    LiveSettings,
    LookedBack,
    Node,
    NodeAction,
    NodeEvent,
    Notify,
    Publish,
    RecordChange,
    RecordWindow,
    RefuseWish,
    RunHook,
)
from agent.errors import LeaseGone, NodeosAnswer, StoreError
from agent.runtime import probes
from agent.runtime.effects import EFFECTS, Adapters
from tests.core.parts import CHAIN, CHECKS, KEY, LIMITS, OTHER_KEY, PRODUCER, SCHEDULE, SETUP
from tests.lab.simulated_votes import VoteTracker
from tests.simulation.agenda import LATER, Agenda
from tests.simulation.surroundings import SimFence, SimFile, SimNodeos, SimStore, Surroundings
from tests.support.memory_store import MemoryEtcd, MemoryStore

GATES = {
    name: Thresholds(1, 1) if name in ("process", "chain_id", "can_lead") else Thresholds(2, 3)
    for name in (*CHECKS, "can_lead")
}
"""Those of the configuration's defaults."""
NAMES = SETUP.keys
FOUR = Schedule(1, tuple(Producer(name, (OTHER_KEY,)) for name in ("aaa", "bbb", "ccc")))
FOUR = replace(FOUR, producers=(FOUR.producers[0], Producer(PRODUCER, (KEY,)), *FOUR.producers[1:]))
"""Ours is the second: its window is six seconds of `ROUND`."""
ROUND = 24.0
ALONE = Schedule(1, (Producer(PRODUCER, (KEY,)),))
LONG = 60_000  # ms: how old the blocks are that a node takes while it is behind
BOOT = 100_000  # the hosts have been up for a while when a story begins
SINCE = 1_000_000 * SLOT + EPOCH - BOOT  # wall clock at boot time 0


class StoryClock:
    """The port `Clock`: all hosts of a story have one."""

    def __init__(self, story: Story) -> None:
        self._story = story

    def boot(self) -> int:
        """See the port."""
        return self._story.now

    def wall(self) -> int:
        """See the port."""
        return self._story.wall

    def boot_id(self) -> str:
        """See the port."""
        return "boot"


class ChainNodeos(SimNodeos):
    """A simulated nodeos that has the story's chain, or one of its own. It is silent when frozen or dead.

    isolated   it goes on alone, with blocks of its own in `private`
    barren     resumed it signs nothing, as with a wrong key
    balks      it pauses itself as soon as it was resumed, as for want of votes
    astray     it follows the chain of an ungoverned nodeos with our key, which signs every slot
    unreached  no block reaches it, though it has peers
    behind     it takes old blocks, as one that was started a while ago
    votes      of Spring, which pauses itself for want of them
    """

    def __init__(self, story: Story, around: Surroundings) -> None:
        self.story = story
        self.isolated = self.barren = self.balks = self.astray = self.unreached = self.behind = False
        self.head = story.head
        self.private: dict[int, Header] = {}
        self.votes: VoteTracker | None = None
        self.used = 0  # ms of processor time
        super().__init__(around, lambda: False)

    def act(self, word: str) -> None:
        """Pause, or resume and forget that votes were missing."""
        super().act(word)
        if word == "resume" and self.votes is not None:
            self.votes.resumed()
            if self.behind:
                self.votes.received(self.story.wall - LONG)

    @property
    def says_paused(self) -> bool:
        """What it answers: paused by somebody, or for want of votes."""
        return self.paused_flag or (self.votes is not None and self.votes.paused(self.story.wall))

    @property
    def producing(self) -> bool:
        """Whether it signs the next slot."""
        return not (self.silent or self.says_paused or self.barren or self.busy or self.story.stalled)

    @property
    def silent(self) -> str:
        """Why it gives no answer."""
        return "" if self.pid and not self.frozen else "no answer in time" if self.frozen else "connection refused"

    def info(self, timeout_s: float) -> ChainInfo:
        """See the port."""
        self._call("info", timeout_s)
        return self.head

    def peers(self, timeout_s: float) -> Peers:
        """See the port."""
        self._call("info", timeout_s)
        return Peers(2, 0 if self.isolated else 2)

    def schedule(self, timeout_s: float) -> Schedule:
        """See the port."""
        self._call("info", timeout_s)
        return self.story.schedule

    def block(self, num: int, timeout_s: float) -> Header:
        """See the port."""
        self._call("info", timeout_s)
        found = None if num > self.head.head_num else self.private.get(num) or self.story.blocks.get(num)
        if found is None:
            raise NodeosAnswer(400, 3100002, "unknown block")
        return found


class Host:
    """One agent and its nodeos. `said` are all actions with their time, `told` the notices among them."""

    def __init__(self, story: Story, name: str, **profile: object) -> None:
        self.story = story
        self.name = name
        self.around = Surroundings(lambda: story.now, story.after, quick=LATER)
        self.store = SimStore(story.etcd, self.around)
        self.nodeos = ChainNodeos(story, self.around)
        self.file = SimFile(self.around, lambda: None)
        fence = SimFence(self.around, self.nodeos, helpless=False)
        out = Adapters(self.store, self.nodeos, fence, self.file, StoryClock(story), NAMES, lambda _: None)
        self._effects: Any = SimpleNamespace(out=out, halted=False)  # what the calls in EFFECTS ask for
        self.disk_free = 500
        self.key_ok = True
        self.unread = ""  # why it may not read the group, though it may write
        self.deaf = False  # its reader hangs
        self.hook_takes: dict[str, int] = {}  # ms that a hook takes; one that is not in here hangs
        self.said: list[tuple[int, NodeAction]] = []
        self.lease: int | None = None
        self.starts = 0
        self.setup: Identity = replace(SETUP, node=name, instance=f"i-{name}")
        known = {"version": "0.1.0", "alert_level": "warning", **profile}
        self.profile = LiveSettings("lab", replace(LIMITS, thresholds=GATES), **known)  # type: ignore[arg-type] # the caller's
        self.node: Node = core.begin(self.profile, State(self.setup))

    # --- what it is and says ---

    @property
    def phase(self) -> Phase:
        """The phase of its leadership."""
        return self.node.leadership.phase

    @property
    def leads(self) -> bool:
        """Whether it leads."""
        return self.phase is Phase.LEADING

    @property
    def told(self) -> list[Notice]:
        """What it told people."""
        return [action.notice for _, action in self.said if isinstance(action, Notify)]

    def events_told(self) -> list[str]:
        """The same in short: `event` for one that begins, `-event` for one that is resolved."""
        return [("-" if notice.resolved else "") + notice.event for notice in self.told]

    def changes(self) -> list[tuple[int, dict[str, object]]]:
        """What it wrote into the history: (epoch, fields)."""
        return [(each.epoch, dict(each.fields)) for _, each in self.said if isinstance(each, RecordChange)]

    def hooks(self) -> list[tuple[int, RunHook]]:
        """What hooks it asked for, with the time."""
        return [(at, each) for at, each in self.said if isinstance(each, RunHook)]

    def windows(self) -> list[Window]:
        """What it wrote into the ledger."""
        return [each.window for _, each in self.said if isinstance(each, RecordWindow)]

    def published(self) -> list[tuple[int, Member]]:
        """What it published of itself, with the time."""
        return [(at, action.member) for at, action in self.said if isinstance(action, Publish)]

    # --- living ---

    def start(self, past: LookedBack | None = None) -> None:
        """Start the agent and everything that probes; it has looked back before, at the whole chain if not told."""
        signed = [block.time for block in self.story.blocks.values() if block.producer == PRODUCER]
        self.step(past or LookedBack(self.story.wall - 600_000, max(signed, default=0)))
        self.step(ev.Started(None, self.nodeos.process))
        self.story.every(500, self._paused)
        self.story.every(500, self._info)
        self.story.every(1000, self._process)
        self.story.every(2000, self._slow)
        self.story.every(5000, self._schedule)
        self.story.every(200, self._session)

    def restart(self) -> None:
        """Let the agent be killed and come back at once, with its run-time file and its lease."""
        self.starts += 1
        told = tuple(self.node.alerts.notices.values())
        self.node = core.begin(self.profile, State(replace(self.setup, instance=f"i-{self.name}-{self.starts}")), told)
        self.step(ev.Started(self.file.load(), self.nodeos.process))
        self.step(ev.LeaseSeen(self.lease))

    def step(self, event: NodeEvent) -> None:
        """Take one event, and carry out what follows."""
        before = self.node
        self.node, found = core.step(self.node, event, self.story.now)
        self.story.watch(self, before, found)
        for action in found:
            self.said.append((self.story.now, action))
            self._do(action)
        self.story.after(max(1, self.node.wake - self.story.now), self._tick)

    def _tick(self) -> None:
        if self.story.now >= self.node.wake:
            self.step(ev.Tick())

    def _paused(self) -> None:
        self.step(probes.paused(self.nodeos, StoryClock(self.story), 1.0))

    def _process(self) -> None:
        self.nodeos.used += 900 if self.nodeos.busy else 10
        self.step(ProcessProbed(self.nodeos.process, cpu=self.nodeos.used))

    def _info(self) -> None:
        self.step(probes.info(self.nodeos, StoryClock(self.story), 1.0))

    def _slow(self) -> None:
        self.step(probes.peers(self.nodeos, 1.0))
        self.step(DiskProbed(self.disk_free, 1000))
        self.step(probes.runtime_file(self.file))

    def _schedule(self) -> None:
        found = probes.schedule(self.nodeos, 1.0)
        self.step(found if self.key_ok else replace(found, schedule=replace(SCHEDULE, producers=())))

    def _session(self) -> None:
        """Keep the lease, as the session's thread does."""
        try:
            if self.lease is None:
                self.lease = self.store.grant(10, 1.0).id
                self.step(ev.LeaseSeen(self.lease))
            self.store.keepalive(self.lease, 1.0)
        except LeaseGone:
            self.lease = None
            self.step(ev.LeaseSeen(None))
        except StoreError as error:
            self.step(EtcdSeen(str(error)))
            self._reads(str(error))
        else:
            self.step(EtcdSeen())
            self._reads(self.unread)

    def _reads(self, error: str) -> None:
        """Tell how the reader of the group fares: it reads every two seconds, or tries five times a second."""
        if error:
            self.step(EtcdSeen(error, reader=True))
        elif not self.deaf and (self.node.etcd_faults.get("reader") or self.story.now % 2000 < 200):
            self.step(EtcdSeen(reader=True))

    def see_store(self) -> None:
        """Hear of a change in etcd."""
        if self.node.leadership.started and not (self.store.cut or self.unread or self.deaf):
            self.step(ev.StoreSeen(self.story.read(self.store.range(NAMES.root, 1.0))))

    def _do(self, action: NodeAction) -> None:
        """Carry an action out by its call in EFFECTS; what the session's thread does with reports is done at once."""
        match action:
            case Publish(member) if self.lease is not None and not self.store.cut:
                self.store.txn(Txn((), (Put(NAMES.member(self.name), write(member), self.lease),)), 1.0)
            case RefuseWish(revision):
                wish = NAMES.switchover
                self.store.txn(Txn((Compare(wish, revision),), (Delete(wish), Put(NAMES.answer, b"{}"))), 1.0)
            case RecordWindow(window) if not self.store.cut:
                key = NAMES.ledger(window.slot)
                self.store.txn(Txn((Compare(key, 0),), (Put(key, write_window(window)),)), 1.0)
            case RunHook(name, epoch, within=within):
                took = self.hook_takes.get(name, within)
                done = HookDone(name, epoch, "ok" if took < within else "timeout", took)
                self.story.after(took, lambda: self.step(done))
            case _ if call := EFFECTS[type(action)].call:
                self.around.took = LATER
                answer: Any = call(self._effects, action)
                self.story.after(max(LATER, self.around.took), lambda: self.step(answer))


class Story(Agenda):
    """The world: time, etcd, one chain. Slots signed twice end the story.

    Without `turns` our producer is alone in the schedule; with it the others sign their slots. `missed` counts slots
    of ours that nobody signed, `lost` blocks that whoever signs did not have: a split on a chain of one producer.
    """

    def __init__(self, *names: str, turns: Schedule | None = None, **profiles: dict[str, object]) -> None:
        super().__init__(now=BOOT)
        self.turns = turns
        self.schedule = turns or replace(SCHEDULE, producers=ALONE.producers)
        self.missed = 0
        self.lost = 0
        self.etcd = MemoryEtcd(lambda: self.now)
        self.etcdctl = MemoryStore(self.etcd)
        self.watch: Callable[[Host, Node, Sequence[NodeAction]], None] = lambda *_: None
        self.stalled = False  # nobody can sign
        self.lib: int | None = None  # what is irreversible; None: all but the last two blocks
        self.foreign = False  # somebody else signs every slot
        self.rogue = False  # an ungoverned nodeos with our key signs whenever none of ours does
        self.blocks: dict[int, Header] = {}
        self.head = self._block(1000, "someoneelse1")  # nobody has signed for our producer lately (R18)
        self._keep(self.head, self.blocks)
        self.hosts = [Host(self, name, **profiles.get(name.replace("-", "_"), {})) for name in names]
        self._known = 0
        self._snapshot, self._view = Snapshot(0, ()), GroupView(0)
        self.every(SLOT, self._slot)
        self.every(4 * LATER, self._watch)

    @property
    def wall(self) -> int:
        """The time of day on every host."""
        return SINCE + self.now

    def _block(self, num: int, producer: str) -> ChainInfo:
        time = SINCE + self.now // SLOT * SLOT
        slot = (time - EPOCH) // SLOT
        return ChainInfo(
            CHAIN,
            "v4.1.0",
            num,
            f"{num:08x}{slot:08x}",
            time,
            producer,
            num - 2 if self.lib is None else self.lib,
            None,
        )

    def _keep(self, head: ChainInfo, blocks: dict[int, Header]) -> None:
        before = blocks.get(head.head_num - 1) or self.blocks.get(head.head_num - 1)
        previous = before.id if before else ""
        blocks[head.head_num] = Header(head.head_num, head.head_id, head.head_time, head.head_producer, previous)

    def _slot(self) -> None:
        producing = [host for host in self.hosts if host.nodeos.producing]
        together = [host for host in producing if not host.nodeos.isolated]
        assert len(producing) < 2, "a slot is signed twice (P1)"
        self.lost += max((self.head.head_num - each.nodeos.head.head_num for each in together), default=0)
        theirs = (self.turns is not None and not self._our_turn()) and not self.stalled
        if theirs:
            self.head = self._block(self.head.head_num + 1, "someoneelse1")
        elif together or self.foreign or self.rogue:
            ours = bool(together) or self.rogue
            self.head = self._block(self.head.head_num + 1, PRODUCER if ours else "someoneelse1")
        self.missed += not theirs and not together
        for host in self.hosts:
            host.nodeos.paused_flag |= host.nodeos.balks
        self._keep(self.head, self.blocks)
        for host in self.hosts:
            nodeos = host.nodeos
            if nodeos.astray:
                head = self._block(nodeos.head.head_num + 1, PRODUCER)
                nodeos.head = replace(head, head_id=head.head_id + "stray")
                self._keep(nodeos.head, nodeos.private)
            elif nodeos.isolated and nodeos.producing:
                nodeos.head = self._block(nodeos.head.head_num + 1, PRODUCER)
                self._keep(nodeos.head, nodeos.private)
            elif not (nodeos.isolated or nodeos.silent or nodeos.unreached):
                nodeos.head = self.head
                nodeos.private.clear()

    def _our_turn(self) -> bool:
        names = [each.name for each in self.schedule.producers]
        return producer_index(slot_of(self.wall), len(names)) == names.index(PRODUCER)

    def until_window(self, inside: float = 2.0) -> None:
        """Let time pass until our window is on for some seconds."""
        while self._our_turn():
            self.go(0.1)
        while not self._our_turn():
            self.go(0.1)
        self.go(inside)

    def _watch(self) -> None:
        with self.etcd.changed:
            self.etcd.expire()
        if self.etcd.revision != self._known:
            self._known = self.etcd.revision
            for host in self.hosts:
                host.see_store()

    def read(self, snapshot: Snapshot) -> GroupView:
        """Return what a snapshot of the group says; read once, though each host asks."""
        if snapshot != self._snapshot:
            self._snapshot, self._view = snapshot, read_group(NAMES, snapshot)
        return self._view

    def go(self, seconds: float) -> None:
        """Let time pass."""
        self.run(round(seconds * 1000))

    def until(self, what: Callable[[], bool], limit: float = 60.0) -> float:
        """Let time pass until something is so; return the seconds it took. AssertionError after `limit` seconds."""
        start = self.now
        while not what():
            assert self.now - start < limit * 1000, "it does not happen"
            self.go(0.05)
        return (self.now - start) / 1000

    def put(self, key: str, value: bytes) -> None:
        """Put a key, as an operator."""
        self.etcdctl.txn(Txn((), (Put(NAMES.root + key, value),)), 1.0)

    def delete(self, key: str) -> None:
        """Delete a key, as an operator."""
        self.etcdctl.txn(Txn((), (Delete(NAMES.root + key),)), 1.0)

    @property
    def leader(self) -> Host | None:
        """Who leads."""
        return next((host for host in self.hosts if host.leads), None)


def settled(*names: str, turns: Schedule | None = None, **profiles: dict[str, object]) -> Story:
    """Return a group (bp-a, bp-b if none are named) whose first node leads, with everybody healthy."""
    story = Story(*(names or ("bp-a", "bp-b")), turns=turns, **profiles)
    for host in story.hosts:
        host.start()
        story.until(lambda: story.leader is not None)
    story.go(12)
    return story


def two(story: Story) -> tuple[Host, Host]:
    """Return the leader and the first of the others."""
    leader = story.leader
    assert leader is not None
    return leader, next(host for host in story.hosts if host is not leader)


def pair(*names: str, turns: Schedule | None = None, **profiles: dict[str, object]) -> tuple[Story, Host, Host]:
    """Return a settled group, its leader and the first of the others."""
    story = settled(*names, turns=turns, **profiles)
    return story, *two(story)


def group(*names: str, **profiles: dict[str, object]) -> tuple[Story, Host, Host]:
    """Return a settled group on the chain of four, its leader and the first of the others."""
    story, leader, other = pair(*names, turns=FOUR, **profiles)
    story.missed = 0
    return story, leader, other


def ask(story: Story, to: str, when: str = "gap", **more: object) -> None:
    """Ask for a switchover, as the CLI does."""
    story.put("switchover", json.dumps({"to": to, "when": when, "by": "me", "reason": "a test", **more}).encode())
