"""SIMULATED time, and hosts on it: the real loop, effects, session and core of each agent, driven one event at a time.

Of the product everything that decides or translates is real: `agent.core`, `agent.runtime.loop`,
`agent.runtime.effects`, `agent.runtime.calls`, `agent.runtime.session`, `agent.runtime.probes`, and with peers
`agent.runtime.peering` and `agent.peers`: every datagram is written, sealed and read. Threads and sockets are not: a
lane is a queue on simulated time, the loop runs until it would wait. The guard is a model of `agent.guard`: it acts at
the moment that the run-time file names.
"""

from __future__ import annotations

import queue
import random
import socket
import struct
from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from unittest.mock import patch

from agent.config.model import Config
from agent.core.health.checks import DiskProbed
from agent.core.health.hysteresis import Thresholds
from agent.core.leadership.events import LeaseSeen, Restarting, Shutdown, Started, StoreSeen
from agent.core.leadership.state import Identity, State
from agent.core.leadership.timing import Timing
from agent.core.model import records
from agent.core.model.keys import keys
from agent.core.model.runtime_record import RuntimeRecord, read_runtime
from agent.core.model.store import Delete, Ms, Put
from agent.core.node import step as core
from agent.core.node.state import EtcdSeen, LiveSettings, LookedBack, Node
from agent.errors import LeaseGone, RefusedError, StoreError
from agent.host.systemd import Notifier
from agent.peers.address import PORT
from agent.ports import Clock, Emit
from agent.runtime import probes
from agent.runtime.effects import Adapters, Effects
from agent.runtime.lanes import Job
from agent.runtime.loop import Fatal, Loop
from agent.runtime.peering import Peering
from agent.runtime.reload import Reload
from agent.runtime.session import Session
from agent.telemetry.gate_watch import GateWatch
from agent.telemetry.metrics import Metrics
from tests.core.parts import KEY, LIMITS, PRODUCER
from tests.simulation.agenda import Agenda
from tests.simulation.surroundings import SimFence, SimFile, SimGate, SimNodeos, SimStore, Surroundings
from tests.support.memory_store import MemoryEtcd
from tests.support.unfelt import Unfelt

TIMING = Timing()
KEYS = keys("/nodeos-failover", "lab")
RATES = {"bp-a": 1.0005, "bp-b": 0.9995, "bp-c": 1.0}
"""How fast the clocks of the hosts run: 0.1 % apart, as far as is assumed of them."""
COUNTS, COUNTS_AT = struct.Struct(">QQ"), 12
"""Where a datagram has its epoch and its number (`agent.peers.wire`)."""
BEAT: Ms = 250
LOOK: Ms = 1000
HEAR: Ms = 3000


class Broken(AssertionError):
    """An invariant does not hold."""


class Waits(BaseException):
    """The loop would wait now. No Exception: nothing in the product may take it for an error."""


class Events:
    """Stands in for the loop's queue: where the loop would wait it is left, to be entered again later."""

    def __init__(self) -> None:
        self._events: deque[object] = deque()

    def put(self, event: object) -> None:
        """Hand in an event."""
        self._events.append(event)

    def get_nowait(self) -> object:
        """Return an event; queue.Empty when there is none."""
        if not self._events:
            raise queue.Empty
        return self._events.popleft()

    def get(self, timeout: float) -> object:
        """Return an event; leave the loop when there is none."""
        if not self._events:
            raise Waits
        return self._events.popleft()


def configuration(
    name: str, validity: float = 6.0, priority: int = 100, gate: str = "off", peers: str = "off", ttl: int = 10
) -> Config:
    """Return the configuration of a host, as its file has it."""
    settings = {
        "group": "lab",
        "node": name,
        "producer": PRODUCER,
        "nodeos": {"url": "http://127.0.0.1:8888"},
        "etcd": {"endpoints": ["http://127.0.0.1:2379"]},
        "timing": {"validity": validity, "lease_ttl": ttl},
        "peers": {"mode": peers},
        "election": {"priority": priority},
        "gate": {"mode": gate, "public_key": KEY},
    }
    return Config.model_validate(settings)


class World(Agenda):
    """True time, the store, the hosts. After everything that happens `check` looks at the invariants.

    `gate` is the mode of every host's gate. Where it is required nodeos asks for signatures whenever it likes, pauses
    prove nothing, no process can be ended, and no guard stands by.
    """

    def __init__(self, names: tuple[str, ...], gate: str = "off", peers: str = "off", ttl: int = 10) -> None:
        self.gate, self.peers, self.ttl = gate, peers, ttl
        self.links = Links(self)
        super().__init__(now=1000)
        self.story: list[str] = []
        self.etcd = WatchedEtcd(self)
        self.hosts = {name: Host(name, self) for name in names}

    def happens(self, do: Callable[[], None]) -> None:
        """Do what is due now, and look at the invariants."""
        with self.etcd.changed:
            self.etcd.expire()
        do()
        self.check()

    def check(self) -> None:
        """P1, by the truth: no two nodes may sign at one time; and no two agents say that they lead."""
        signing = [host.name for host in self.hosts.values() if host.signs()]
        if len(signing) > 1:
            raise Broken(f"P1: {' and '.join(signing)} may both sign")
        leading = [host.name for host in self.hosts.values() if host.leads]
        if len(leading) > 1:
            raise Broken(f"P1: {' and '.join(leading)} both say that they lead")

    @property
    def signing(self) -> bool:
        """Whether anybody may sign."""
        return any(host.signs() for host in self.hosts.values())

    def tell(self, text: str) -> None:
        """Note a line for the story of a failure."""
        self.story.append(f"{self.now:8d}  {text}")


class Links:
    """The network between the members: datagrams that may be lost, come twice, or be sent again by a stranger.

    cuts   (from, to) between which nothing comes
    loss   the share that is lost, and `twice` the share that comes a second time, later
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self.chance = random.Random(1)
        self.cuts: set[tuple[str, str]] = set()
        self.loss = self.twice = 0.0
        self.delay: Ms = 1
        self.recorded: deque[tuple[str, str, bytes]] = deque(maxlen=200)

    def send(self, source: str, to: str, raw: bytes) -> None:
        """Let a datagram go its way."""
        self.recorded.append((source, to, raw))
        if (source, to) in self.cuts or self.chance.random() < self.loss:
            return
        self.hand(source, to, raw, self.delay)
        if self.chance.random() < self.twice:
            self.hand(source, to, raw, self.chance.choice((1, 300, 2500)))

    def heal(self) -> None:
        """Let everything come, once and at once."""
        self.cuts, self.loss, self.twice, self.delay = set(), 0.0, 0.0, 1

    def replay(self) -> None:
        """Send again what was recorded, each to whom it was for."""
        for source, to, raw in tuple(self.recorded):
            self.hand(source, to, raw, self.delay)

    def forge(self) -> None:
        """Send what was recorded to everybody, epoch and number newer: one without the key can no more."""
        for source, _, raw in tuple(self.recorded):
            forged = bytearray(raw)
            epoch, number = COUNTS.unpack_from(raw, COUNTS_AT)
            COUNTS.pack_into(forged, COUNTS_AT, epoch + self.chance.randrange(2), number + self.chance.randrange(1, 9))
            for to in self._world.hosts:
                self.hand(source, to, bytes(forged), self.delay)

    def hand(self, source: str, to: str, raw: bytes, delay: Ms) -> None:
        """Let a datagram come to its host after a while; to an agent that is frozen, once it thaws."""
        host = self._world.hosts[to]

        def comes() -> None:
            if host.agent is not None and host.agent.peering is not None:
                host.agent.peering.lane.take(raw, (address_of(source), PORT), host.clock.boot())
                host.agent.drive()

        host.after(delay, comes)


class SimSocket:
    """Stands in for the socket of `agent.peers.lane.PeerLane`: sends by way of `Links`. Nobody waits on it."""

    family = socket.AF_INET

    def __init__(self, host: Host) -> None:
        self._host = host

    def setsockopt(self, *_: object) -> None:
        """There is no kernel to filter."""

    def sendto(self, raw: bytes, _flags: int, where: tuple[str, int]) -> None:
        """Send to the host that has the address."""
        for name in self._host.world.hosts:
            if where == (address_of(name), PORT):
                self._host.world.links.send(self._host.name, name, raw)


def address_of(name: str) -> str:
    """Return the address of a host."""
    return f"10.0.0.{list(RATES).index(name) + 1}"


class WatchedEtcd(MemoryEtcd):
    """The store; whoever listens hears of changes, and every heartbeat is judged at the moment that it is written."""

    def __init__(self, world: World) -> None:
        super().__init__(lambda: world.now)
        self._world = world
        self.puts: Counter[str] = Counter()  # by key
        self.epoch = 0
        self.taken = (0, "")

    def _write(self, writes: tuple[Put | Delete, ...]) -> None:
        before = self.revision
        super()._write(writes)
        if self.revision == before:
            return
        self.puts.update(each.key for each in writes if isinstance(each, Put))
        for write in writes:
            if isinstance(write, Put) and write.key == KEYS.heartbeat:
                self._judge(records.read_heartbeat(write.value), any(each.key == KEYS.leader for each in writes))
        for host in self._world.hosts.values():
            host.hears()

    def _judge(self, beat: records.Heartbeat, with_leader: bool) -> None:
        world = self._world
        if beat.released:
            if world.hosts[beat.node].signs():
                raise Broken(f"R5: {beat.node} released epoch {beat.epoch}, and its nodeos may still sign")
        elif with_leader and (beat.epoch, beat.instance) != self.taken:  # else it puts its own name back
            self.taken = (beat.epoch, beat.instance)
            if beat.epoch <= self.epoch:
                raise Broken(f"R8: {beat.node} takes epoch {beat.epoch} after {self.epoch}")
            world.tell(f"{beat.node} takes epoch {beat.epoch}")
        elif beat.epoch < self.epoch:
            raise Broken(f"R1: {beat.node} confirms epoch {beat.epoch} after {self.epoch}")
        self.epoch = max(self.epoch, beat.epoch)


class HostClock:
    """The port `Clock`: runs at a rate of its own, from a start of its own."""

    def __init__(self, host: Host, rate: float) -> None:
        self.host, self._rate = host, rate

    def boot(self) -> Ms:
        """See the port."""
        return 50_000 + int(self.host.world.now * self._rate)

    def span(self, span: Ms) -> Ms:
        """Return the true time after which this clock has gone on by `span`."""
        return max(0, int(span / self._rate) + 1)

    def wall(self) -> Ms:
        """See the port."""
        return 946_684_800_000 + self.host.world.now

    def boot_id(self) -> str:
        """See the port."""
        return "boot"


class Host:
    """One host: surroundings, a guard, and an agent while one runs (`agent`)."""

    def __init__(self, name: str, world: World) -> None:
        self.name, self.world = name, world
        self.around = Surroundings(lambda: world.now, world.after)
        self.clock = HostClock(self, RATES[name])
        self.nodeos = SimNodeos(self.around, lambda: world.signing)
        self.bare = world.gate == "required"
        self.fence = SimFence(self.around, self.nodeos, helpless=self.bare)
        self.gate = SimGate(self.around, self.clock.boot) if world.gate != "off" else None
        self.file = SimFile(self.around, self._guard_reads)
        self.frozen = False
        self.late: list[Callable[[], None]] = []  # what comes to a frozen agent
        self.lane_delay: dict[str, Ms] = {}
        self.agent: Agent | None = None
        self.lives = 0
        self.config = configuration(name, gate=world.gate, peers=world.peers, ttl=world.ttl)

    def signs(self) -> bool:
        """Whether a block may be signed here: the truth that P1 is about."""
        able = self.nodeos.signs(self.world.now)
        if self.gate is None:
            return able
        return (able or (self.bare and self.nodeos.pid != 0)) and self.gate.may_sign()

    # --- time ---

    def after(self, span: Ms, do: Callable[[], None]) -> None:
        """Do something inside the agent's process after a span of true time: never when it is dead, late if frozen."""
        life = self.lives

        def act() -> None:
            if self.agent is None or life != self.lives:
                return
            if self.frozen:
                self.late.append(act)
            else:
                do()

        self.world.after(span, act)

    @property
    def leads(self) -> bool:
        """Whether the agent says now that it leads."""
        return self.agent is not None and not self.frozen and self.agent.loop.snapshot.leads(self.clock.boot())

    # --- faults ---

    def start(self) -> None:
        """Start the agent, with the run-time file that the one before left."""
        assert self.agent is None
        self.lives += 1
        self.frozen = False
        self.world.tell(f"{self.name}: agent {self.lives} starts")
        if self.gate is not None:
            self.gate.begins()
        self.agent = Agent(self)
        self.agent.begin()

    def kill(self) -> None:
        """SIGKILL."""
        self.agent = None
        self.late = []
        self.frozen = False

    def thaw(self) -> None:
        """SIGCONT: all that came meanwhile is there at once."""
        self.frozen = False
        late, self.late = self.late, []
        for act in late:
            self.world.after(0, act)

    def see_process(self) -> None:
        """Let the agent see now that the process of nodeos is another."""

        def look() -> None:
            if self.agent is not None:
                self.agent.look("process")

        self.after(1, look)

    def hears(self) -> None:
        """Let the agent hear of the store as it is now, if it reaches it."""
        if not self.around.cut_in and not self.around.cut_out and self.agent is not None:
            self.agent.hear()

    def _guard_reads(self) -> None:
        """See when the guard is due by the run-time file, and let it act then, if the file says the same."""
        content = self.file.content
        record = read_runtime(content) if content else None
        if record is None or record.state not in ("held", "stopping"):
            return

        def act() -> None:
            if self.file.content == content and record.process is not None:
                self._guard_acts(record)

        self.world.after(self.clock.span(record.stop_by - self.clock.boot()), act)

    def _guard_acts(self, record: RuntimeRecord) -> None:
        """Pause nodeos, or end it when that proves nothing."""
        nodeos = self.nodeos
        if self.bare:
            return
        if not record.resume_open and not nodeos.frozen and nodeos.slow < TIMING.pause and not nodeos.refuses:
            if nodeos.pid:
                nodeos.act("pause")
                self.world.tell(f"{self.name}: the guard pauses nodeos")
        elif nodeos.process == record.process:
            nodeos.kill()
            self.world.tell(f"{self.name}: the guard ends nodeos")
            self.see_process()


class SimLane:
    """Stands in for agent.runtime.lanes.Lane.

    Jobs one after another, each taking the time that its call says it took.
    """

    def __init__(self, name: str, emit: Emit, clock: Clock) -> None:
        assert isinstance(clock, HostClock)
        self.name = name
        self._emit, self._host = emit, clock.host
        self._jobs: deque[Job] = deque()
        self._busy = False

    def submit(self, job: Job) -> None:
        """Run a job after those before it."""
        self._jobs.append(job)
        self._begin()

    def _begin(self) -> None:
        if not self._busy and self._jobs:
            self._busy = True
            self._host.after(self._host.lane_delay.get(self.name, 0), self._run)

    def _run(self) -> None:
        around = self._host.around
        around.took = around.quick
        job = self._jobs.popleft()
        event = job.run()
        self._host.after(around.took, lambda: self._done(event))

    def _done(self, event: object | None) -> None:
        self._busy = False
        if event is not None:
            self._emit(event)
        self._begin()
        agent = self._host.agent
        if agent is not None:
            agent.drive()

    def look(self) -> None:
        """Nothing to see: no simulated call outlives its deadline."""

    def close(self) -> None:
        """End: what was asked for is done at once."""
        while self._jobs:
            self._jobs.popleft().run()

    def join(self, timeout_s: float) -> bool:
        """All is done."""
        return True


class Agent:
    """One life of an agent, wired as `agent.app` wires it."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.record = host.file.load()
        self.over = False
        self._alarm: Ms | None = None  # when the loop is entered again though nothing happens
        instance = f"{host.name}-{host.lives}"
        self.config = host.config
        self.peering: Peering | None = None
        identity = Identity(
            host.name, instance, KEYS, PRODUCER, self.config.spans, "boot", host.lives, host_id=f"{host.name}-id"
        )
        gates = {**LIMITS.thresholds, "gate": Thresholds(1, 2)} if host.bare else LIMITS.thresholds
        profile = LiveSettings("lab", replace(LIMITS, thresholds=gates), self.config.election.priority)
        begun: Node = core.begin(profile, State(identity))
        self.loop = Loop(begun, host.clock, self._effects, Unfelt())
        self.loop._events = Events()  # type: ignore[assignment] # stands in for the queue
        self._watch = probes.ProcessWatch(host.fence, lambda _: None)
        self._store = SimStore(host.world.etcd, host.around)

    def _effects(self, loop: Loop) -> Effects:
        host = self.host
        instances = {loop.snapshot.node.leadership.identity.instance}
        if self.record is not None:
            instances.add(self.record.instance)
        self.session = Session(
            SimStore(host.world.etcd, host.around),
            KEYS,
            host.name,
            frozenset(instances),
            self.config.timing.lease_ttl,
            self.config.timing.request,
            loop.emit,
            lambda error: loop.emit(Fatal(error)),
            host.clock.wall,
            lambda: f"{address_of(host.name)}:{PORT}" if self.peering is not None else "",
        )
        self.session._pause = lambda seconds: None  # type: ignore[method-assign] # its thread does not run: nothing waits
        store = SimStore(host.world.etcd, host.around)
        out = Adapters(store, host.nodeos, host.fence, host.file, host.clock, KEYS, lambda _: None, gate=host.gate)
        if self.config.peers.on:
            self.peering = Peering(self.config, KEYS, host.clock.boot, loop.emit)
            self.peering.lane._sock = SimSocket(host)  # type: ignore[assignment] # its thread does not run
            out = replace(out, peers=self.peering)
        metrics = Metrics("lab", host.name, host.clock, lambda: loop.snapshot)
        with patch("agent.runtime.effects.Lane", SimLane):
            self.effects = Effects(out, self.session, metrics, loop.emit)
        return self.effects

    def begin(self) -> None:
        """Start, as `agent.app` does."""
        self.loop.emit(LookedBack(since=0))  # nobody produces before the group begins
        self.loop.emit(Started(self.record, self.host.nodeos.process))
        self.session._lease = (self.record.lease or None) if self.record else None
        self.loop.emit(DiskProbed(500, 1000))
        for name, every in (
            ("process", LOOK),
            ("paused", LOOK),
            ("info", 2 * LOOK),
            ("peers", HEAR),
            ("schedule", HEAR),
            *((("gate", LOOK),) if self.host.gate is not None else ()),
        ):
            self._again(name, every)
        self._beat()
        self._listen()
        self.drive()

    def _again(self, name: str, every: Ms) -> None:
        self.look(name)
        self.host.after(every, lambda: self._again(name, every))

    def look(self, name: str) -> None:
        """Make one probe; its answer comes as late as nodeos is."""
        host = self.host
        host.around.took = host.around.quick
        looks: dict[str, Callable[[], object]] = {
            "process": self._watch.look,
            "paused": lambda: probes.paused(host.nodeos, host.clock, 1.0),
            "info": lambda: probes.info(host.nodeos, host.clock, 1.0),
            "peers": lambda: probes.peers(host.nodeos, 1.0),
            "schedule": lambda: probes.schedule(host.nodeos, 1.0),
            "gate": lambda: GateWatch(host.gate, host.clock, probes.gate).look() if host.gate is not None else None,
        }
        event = looks[name]()
        host.after(host.around.took, lambda: self.take(event))

    def take(self, event: object) -> None:
        """Hand an event to the loop."""
        if not self.over:
            self.loop.emit(event)
            self.drive()

    def hear(self) -> None:
        """Hear of the group's keys as they are now, after the way from etcd."""
        snapshot = replace(self.host.world.etcd.range(KEYS.root), asked=self.host.clock.boot())
        view = records.read_group(KEYS, snapshot)

        def heard() -> None:
            self.take(StoreSeen(view))
            if self.peering is not None:
                self.peering.learn(view, snapshot)
                if (txn := self.peering.missing()) is not None:
                    self.session.once(txn)

        self.host.after(self.host.around.delay, heard)

    def _listen(self) -> None:
        """Read again though no watch says so: a watch is only a hint."""
        self.host.hears()
        self.host.after(HEAR, self._listen)

    def _beat(self) -> None:
        """Do one round of the session: what its thread does between two waits."""
        mine = self.session
        try:
            with patch("agent.runtime.session.boot_ms", self.host.clock.boot):
                if mine._lease is None:
                    mine._claim()
                mine._emit(LeaseSeen(mine._lease))
                if mine._lease is not None:
                    mine._keep_alive(mine._lease)
            once, mine._once = mine._once, None
            if once is not None:
                mine._make(once)
            if mine._member is not None:
                mine._report(mine._member, ())
            for epoch, fields in dict(mine._history).items():
                mine._write_change(epoch, fields)
        except RefusedError as error:
            mine._refuse(error)
        except LeaseGone:
            mine._lease = None
            self.loop.emit(LeaseSeen(None))
        except StoreError as error:
            self.loop.emit(EtcdSeen(str(error)))
        self.drive()
        self.host.after(4 * BEAT, self._beat)

    def reload(self) -> None:
        """SIGHUP: read the host's configuration again. `agent.runtime.reload` is real, its thread is not."""
        before = self.loop.snapshot
        Reload(self.config, lambda: self.host.config, Notifier({}), lambda _old, _new: None, lambda _usable: None).run()
        assert self.loop.snapshot is before
        self.drive()

    def replaced(self) -> None:
        """SIGUSR2: the next process shall keep the lead."""
        self.take(Restarting())

    def shut_down(self) -> None:
        """SIGTERM."""
        self.take(Shutdown())

    def drive(self) -> None:
        """Let the loop go on until it would wait."""
        if self.over or self.host.frozen or self.host.agent is not self:
            return
        with suppress(Waits):
            self.loop._go_on()  # not `run`, which takes it for a defect to be left where it would wait
            self._ended()
            return
        at = self.host.world.now + self.host.clock.span(self.loop.snapshot.node.wake - self.host.clock.boot())
        if self._alarm is None or at < self._alarm:
            self._alarm = at
            self.host.after(at - self.host.world.now, lambda: self._wake(at))

    def _wake(self, at: Ms) -> None:
        if at == self._alarm:  # else an earlier one came in between
            self._alarm = None
            self.drive()

    def _ended(self) -> None:
        """Close, as `agent.app` does; and see that nodeos is stopped."""
        host = self.host
        self.over = True
        host.world.tell(f"{host.name}: the agent has ended")
        if self.loop.holding:
            host.agent = None
            return
        self.effects.close(2.0)
        self.session._end()
        host.agent = None
        if host.signs():
            raise Broken(f"R3: the agent of {host.name} has ended, and its nodeos may still sign")
