"""A light agent: the real core as a whole, and what stands for its threads on one event loop. Nothing else lives here.

It does what `agent.runtime.loop`, `agent.runtime.effects`, `agent.runtime.session` and `agent.etcd.follower` do, each
request a task instead of a thread. Its nodeos is SIMULATED, its run-time file a promise, and it has no guard. Beats and
promises are handed from agent to agent as objects: none is encoded, none is lost, and none takes longer than the event
loop does.
"""

from __future__ import annotations

import asyncio
import json
import zlib
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from agent.app import beat, limits, policy
from agent.config.model import Config
from agent.core.blocks.follow import ReadBlocks
from agent.core.health.checks import DiskProbed, ProcessProbed
from agent.core.leadership import actions as do
from agent.core.leadership import events as ev
from agent.core.leadership.state import Identity, Phase, State
from agent.core.model import records
from agent.core.model.keys import keys
from agent.core.model.store import KeyValue, Ms, Put, Snapshot, Txn
from agent.core.node import step as core
from agent.core.node.state import EtcdSeen, LiveSettings, NodeAction, Publish, RecordChange
from agent.errors import LeaseGone, StoreError, StoreUnavailable
from agent.etcd.connection import REQUIRE_LEADER
from agent.etcd.rpc import changes, grpc, watch_request
from agent.host.clock import SystemClock
from agent.host.jitter import spread
from agent.peers import key
from agent.runtime import calls, probes
from agent.runtime.session import RENEWALS
from tests.lab.scale.link import Line, Link, asked_to_end
from tests.lab.scale.nodeos import OURS, PROCESS, LightNodeos, Signers

PROBE_S = 1.0
SLOW_EVERY = 5
"""Every so many probes peers and schedule are asked for, too."""
RETRY_S = 0.5
SILENCE_S = 2.0
WATCH_PAUSE_S = 0.2
ADDRESS = "127.0.0.1:1"
"""Where nobody hears datagrams: a member with none is not named."""
Told = Callable[[str, Ms, Ms], None]
"""Hears of a request: its kind, when it was sent, how long it took (-1: no answer)."""


def configuration(group: str, node: str, peers: str = "lease", **timing: float) -> Config:
    """Return the configuration of an agent; `peers`: their mode."""
    return Config.model_validate(
        {
            "group": group,
            "node": node,
            "producer": OURS,
            "nodeos": {"url": "http://127.0.0.1:1"},
            "etcd": {"endpoints": ["http://127.0.0.1:1"]},
            "peers": {"mode": peers},
            "timing": timing,
        }
    )


class LightAgent:
    """One agent. `begin` starts it on the running event loop; `kill` ends it without a word.

    mates: the agents of its group, by node.
    in_step: it confirms R after the last confirmation, and has no beat of its own: to see what that is good for.
    """

    def __init__(self, config: Config, link: Link, signers: Signers, told: Told, *, in_step: bool = False) -> None:
        self.config, self.link, self._told = config, link, told
        self.clock = SystemClock()
        self.names = keys(config.etcd.prefix, config.group)
        self.nodeos = LightNodeos(config.node, signers, self.clock)
        timing = config.spans
        name = f"{config.group}/{config.node}"
        instance = f"{zlib.crc32(name.encode()):08x}"
        identity = Identity(config.node, instance, self.names, OURS, timing, "boot", 1, host_id=instance)
        if not in_step:
            identity = replace(identity, renew_phase=beat(config))
        profile = LiveSettings(config.group, limits(config), config.election.priority, policy=policy(config))
        self.node = core.begin(profile, State(identity))
        self.mates: dict[str, LightAgent] = {}
        self.stops: list[str] = []  # why a tenure ended, by the key of its transition
        self.watched = 0  # changes that its watch brought
        self._waiting: deque[Any] = deque()
        self._busy = self.over = False
        self._alarm: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._member: records.Member | None = None
        self._history: dict[int, Mapping[str, str | int]] = {}
        self._work = asyncio.Event()
        self._probed = 0

    @property
    def leads(self) -> bool:
        """Whether it leads, and is confirmed."""
        state = self.node.leadership
        return not self.over and state.phase is Phase.LEADING and self.clock.boot() < state.renew_deadline

    @property
    def named(self) -> bool:
        """Whether its heartbeat names a peer."""
        return bool(self.node.leadership.support.named)

    def begin(self) -> None:
        """Start."""
        self.take(ev.Started(None, PROCESS))
        self.take(DiskProbed(500, 1000))
        for each in (self._probe(), self._session(), self._follow()):
            self._spawn(each)

    def kill(self) -> None:
        """End at once, as SIGKILL does; its lease stays until it expires."""
        self.over = True
        for each in self._tasks:
            each.cancel()
        if self._alarm is not None:
            self._alarm.cancel()

    def take(self, event: Any) -> None:
        """Step the core, and do what it asks for."""
        self._waiting.append(event)
        if self._busy:
            return
        self._busy = True
        while self._waiting and not self.over:
            self.node, actions = core.step(self.node, self._waiting.popleft(), self.clock.boot())
            for action in actions:
                self._do(action)
        self._busy = False
        if self._alarm is not None:
            self._alarm.cancel()
        if not self.over:
            wait = max(0, self.node.wake - self.clock.boot() + 1) / 1000
            self._alarm = asyncio.get_running_loop().call_later(wait, self.take, ev.Tick())

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _do(self, action: NodeAction) -> None:
        match action:
            case do.Transact():
                self._spawn(self._transact(action))
            case do.SaveRuntime(version):
                self._waiting.append(ev.RuntimeSaved(version, ok=True))
            case do.PauseNodeos():
                self._waiting.append(calls.pause(self.nodeos, action, self.clock))
            case do.ResumeNodeos():
                self._waiting.append(calls.resume(self.nodeos, action, self.clock))
            case do.ReadHead():
                self._waiting.append(calls.read_head(self.nodeos, action))
            case ReadBlocks():
                self._waiting.append(calls.read_blocks(self.nodeos, action))
            case do.FenceNodeos(call):
                self.nodeos.pause(0.0)
                self._waiting.append(ev.FenceDone(call, gone=True, why="ended"))
            case do.SendBeat(beat, nodes):
                for each in nodes:
                    to = self.mates[each]
                    self._hand(to, ev.BeatReceived(replace(beat, to=to.instance), self.clock.boot()))
            case do.SendPromise(promise, to_node):
                self._hand(self.mates[to_node], ev.PromiseReceived(promise, self.clock.boot()))
            case do.Announce(target="stopping"):
                self.stops.append(action.key)
            case do.Exit():
                self.over = True
            case Publish(member):
                self._member = member
                self._work.set()
            case RecordChange(epoch, fields):
                self._history[epoch] = {"when_ms": self.clock.wall(), **fields}
                self._work.set()

    @property
    def instance(self) -> str:
        """Which process it is."""
        return self.node.leadership.identity.instance

    def _hand(self, to: LightAgent, event: Any) -> None:
        """Hand over a datagram that arrives at its next turn."""
        asyncio.get_running_loop().call_soon(to.take, event)

    # --- what threads do in a real agent ---

    async def _transact(self, action: do.Transact) -> None:
        sent = self.clock.boot()
        try:
            answer = await self.link.txn(action.txn, action.within / 1000)
        except StoreError as error:
            self._told(action.kind, sent, -1)
            self.take(calls.refused(action, error))
            return
        self._told(action.kind, sent, self.clock.boot() - sent)
        self.take(calls.answered(action, answer, self.names))

    async def _probe(self) -> None:
        await asyncio.sleep(spread(PROBE_S) - PROBE_S / 2)
        while not self.over:
            self.take(ProcessProbed(PROCESS))
            self.take(probes.paused(self.nodeos, self.clock, 1.0))
            self.take(probes.info(self.nodeos, self.clock, 1.0))
            if self._probed % SLOW_EVERY == 0:
                self.take(probes.peers(self.nodeos, 1.0))
                self.take(probes.schedule(self.nodeos, 1.0))
            self._probed += 1
            await asyncio.sleep(PROBE_S)

    async def _session(self) -> None:
        """Have a lease, keep it, write what was handed in (`agent.runtime.session`)."""
        ttl, within = self.config.spans.lease_ttl, self.config.spans.request / 1000
        lease = 0
        while not self.over:
            try:
                if not lease:
                    sent = self.clock.boot()
                    lease = await self.link.grant(ttl, within)
                    self.take(ev.LeaseKept(lease, sent + 1000 * ttl))
                    self.take(ev.LeaseSeen(lease))
                    if self.config.peers.on:
                        await self.link.txn(key.make(self.names), within)
                await self._keep(lease, ttl / RENEWALS, within)
            except LeaseGone:
                lease = 0
                self.take(ev.LeaseSeen(None))
            except StoreError as error:
                self.take(EtcdSeen(str(error)))
                await asyncio.sleep(spread(RETRY_S))

    async def _keep(self, lease: int, every: float, within: float) -> None:
        now = asyncio.get_running_loop().time
        due = now() + spread(every)
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._work.wait(), max(0.0, due - now()))
            self._work.clear()
            if now() >= due:
                sent = self.clock.boot()
                await self.link.keepalive(lease, within)
                self.take(ev.LeaseKept(lease, sent + 1000 * self.config.spans.lease_ttl))
                self._told("keepalive", sent, self.clock.boot() - sent)
                due = now() + spread(every)
            member, self._member = self._member, None
            history, self._history = self._history, {}
            puts = [Put(self.names.history(epoch), json.dumps(fields).encode()) for epoch, fields in history.items()]
            if member is not None:
                member = replace(member, peer_address=ADDRESS)
                puts.append(Put(self.names.member(self.config.node), records.write(member), lease))
            for put in puts:
                sent = self.clock.boot()
                await self.link.txn(Txn((), (put,)), within)
                self._told("report", sent, self.clock.boot() - sent)

    async def _follow(self) -> None:
        """Read, watch, and read again after a failure or a silence (`agent.etcd.follower`)."""
        within = self.config.spans.request / 1000
        while not self.over:
            try:
                line = await self.link.line(within)
                first = await self.link.range(self.names.root, within)
                self._see(first.revision, {item.key: item for item in first.items})
                await self._watch(line, first)
            except StoreError as error:
                self.take(EtcdSeen(str(error)))
                await asyncio.sleep(spread(WATCH_PAUSE_S))

    async def _watch(self, line: Line, first: Snapshot) -> None:
        items = {item.key: item for item in first.items}
        call = line.watch.Watch(metadata=REQUIRE_LEADER)
        try:
            await call.write(watch_request(self.names.root, first.revision + 1))
            while True:
                response = await asyncio.wait_for(call.read(), SILENCE_S)
                if response is grpc.aio.EOF or response.canceled:
                    raise StoreUnavailable("the watch ended")
                for change in changes(response):
                    self.watched += len(change.items)
                    items = _apply(items, change)
                    self._see(change.revision, items)
        except TimeoutError:
            return  # silence: read again
        except grpc.RpcError as error:
            self.link.broken(line)
            raise StoreUnavailable(f"the watch broke: {error.code()}") from error
        except asyncio.CancelledError as error:
            if asked_to_end():
                raise
            raise StoreUnavailable("the watch was dropped") from error
        finally:
            call.cancel()

    def _see(self, revision: int, items: dict[str, KeyValue]) -> None:
        view = records.read_group(self.names, Snapshot(revision, tuple(items[name] for name in sorted(items))))
        self.take(ev.StoreSeen(view))


def _apply(items: dict[str, KeyValue], change: Snapshot) -> dict[str, KeyValue]:
    """Return the keys after a change."""
    found = dict(items)
    for item in change.items:
        if item.mod_revision:
            found[item.key] = item
        else:
            found.pop(item.key, None)
    return found
