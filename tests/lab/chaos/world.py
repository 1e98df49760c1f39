"""The group under chaos: three etcd, hosts of agent, guard and nodeos, an observer; every link through a proxy."""

from __future__ import annotations

import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TypeVar

from tests.lab import evidence
from tests.lab.agents import Agent
from tests.lab.chain import NAMES, OBSERVER, PAUSED, START
from tests.lab.chaos.datagrams import Recorder
from tests.lab.chaos.history import Change, Note, Span
from tests.lab.chaos.hosts import Host, make_gate, means, reach_etcd
from tests.lab.chaos.kinds import MEMBERS
from tests.lab.chaos.liar import Liar
from tests.lab.chaos.parts import CutChain, CutEtcd, FakeClock, find_faketime
from tests.lab.errors import LabError
from tests.lab.group import of_group
from tests.lab.lab import settings_of
from tests.lab.nodeos import Node
from tests.lab.ports import Ports
from tests.lab.process import Process
from tests.lab.spaces import Spaces, spaces_for
from tests.lab.wait import until

T = TypeVar("T")
SETTLE = 40.0
LAUNCH = 20.0
IN_FLIGHT = 0.6
"""Seconds after a pause in which the block in flight is still signed (up to 0.5 s), and logged."""
ID = slice(8, 24)
"""What a node's log tells of a block's id: 16 characters behind the 8 of the block's number."""


class World:
    """Starts all parts; `close` ends them. What it notes (changes, notes, spans) is for the history."""

    def __init__(
        self, root: Path, hosts: int = 2, *, namespaces: bool = True, gate: bool = False, failsafe: bool = False
    ) -> None:
        self.root = root
        self._peers = {"mode": "failsafe"} if failsafe else {}
        self.recorder = Recorder(random.Random(1))
        self.spaces: Spaces | None = None
        self.lacks: list[str] = []
        self.changes: list[Change] = []
        self.notes: list[Note] = []
        self.ungoverned: list[Span] = []
        self.misdated: list[Span] = []
        self._signed: set[evidence.Signature] = set()
        self._held: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._closing = ExitStack()
        try:
            ports = Ports()
            self._closing.callback(ports.close)
            lacks = "as asked"
            if namespaces:
                everybody = [*NAMES[:hosts], OBSERVER, *MEMBERS]
                self.spaces, lacks = spaces_for(root / "spaces", everybody, self._closing)
            self.lacks = [lacks] if lacks else []
            self.etcd = CutEtcd(root / "etcd", ports, self._closing, self.spaces)
            self._closing.callback(self.etcd.close)
            self.etcd.start()
            library = find_faketime()
            node_clocks = {name: self._clock(f"clock-{name}", library) for name in NAMES[:hosts]}
            env = {name: clock.library_env for name, clock in node_clocks.items() if clock}
            names = NAMES[:hosts] if gate else ()
            self.gates = {name: make_gate(root / f"agent-{name}", name, ports, self.spaces) for name in names}
            for each in self.gates.values():
                self._closing.callback(each.close)
            self.chain = CutChain(root / "chain", ports, hosts, self.spaces, env, self.gates)
            self._closing.callback(self.chain.close)
            self.chain.start()
            self.hosts = {name: self._host(name, ports, library, clock) for name, clock in node_clocks.items()}
        except BaseException:
            self._closing.close()
            raise

    def _clock(self, name: str, library: Path | None) -> FakeClock | None:
        clock = FakeClock(library, self.root / name / "faketime") if library else None
        return clock if clock is not None and clock.works() else None

    def _host(self, name: str, ports: Ports, library: Path | None, node_clock: FakeClock | None) -> Host:
        urls, links = reach_etcd(name, self.etcd, self.spaces, ports, self._closing)
        node = self.chain.nodes[name]
        clock = self._clock(f"agent-{name}", library)
        more = {"log": {"level": "info", "format": "json"}, "peers": self._peers}
        settings = settings_of(node, self.chain.producer, urls) | more
        gate, liar = self.gates.get(name), None
        if gate is not None:
            liar = Liar(node, ports.take())
            self._closing.callback(liar.close)
            settings["gate"] = dict(gate.settings)
            settings["nodeos"]["producer_url"] = liar.url
        agent = Agent(settings, self.root / f"agent-{name}", ports.take(), clock.env if clock else None, node.place)
        host = Host(name, node, agent, links, clock, node_clock, gate, liar)
        self._closing.callback(agent.signal_guards, signal.SIGKILL)
        self._closing.callback(agent.close)
        return host

    def means(self) -> dict[str, str]:
        """Tell by what faults are made here, and what is left out for want of something."""
        return means(list(self.hosts.values()), self.etcd, self.lacks)

    def start(self) -> None:
        """Start the agents, and return when one leads, the others stand by, and blocks come."""
        for host in self.hosts.values():
            if host.gate is not None:
                host.gate.shut()  # it was open for the boot; from here on only agents open it
            host.agent.start()
        until(self.settled, SETTLE, "a settled group")
        self.chain.observer.wait_blocks(2)

    def settled(self) -> bool:
        """Whether one leads and the others are standbys."""
        phases = sorted(host.agent.phase for host in self.hosts.values())
        return phases == ["leading", *["standby"] * (len(phases) - 1)]

    def close(self) -> None:
        """End everything."""
        self._closing.close()

    # --- what is meant to be down, and what the lab notes ---

    @contextmanager
    def held(self, *processes: Process) -> Iterator[None]:
        """Keep the caretaker from starting these again."""
        names = [process.name for process in processes]
        with self._lock:
            self._held.update(names)
        try:
            yield
        finally:
            with self._lock:
                self._held.subtract(names)

    def is_held(self, process: Process) -> bool:
        """Whether a fault keeps this process down."""
        with self._lock:
            return self._held[process.name] > 0

    def note(self, who: str, text: str) -> None:
        """Note a line for the story."""
        self.notes.append(Note(time.time(), who, text))

    def not_governed(self, host: Host, started: float) -> None:
        """Note that its agent could not keep a nodeos from signing from then to now."""
        self.ungoverned.append(Span(host.name, started, time.time() + IN_FLIGHT))

    def gone(self, host: Host, why: str) -> None:
        """Note that an agent is gone: its own log cannot tell."""
        self.changes.append(Change(host.name, time.time(), "gone", "", 0, why))

    # --- acts that several faults and the caretaker share ---

    def launch(self, host: Host, *, paused: bool = True) -> None:
        """Start a nodeos that does not run. Without `paused` it is not governed until it was seen to be paused.

        It is told that a standing chain may go on (START): on a chain of one producer nobody else would revive it.
        """
        with host.launching:
            node = host.node
            if node.running:
                return
            replay = ["--replay-blockchain"] if node.exit_code != 0 else []
            self._collect(node)
            pause = [PAUSED] if paused else []
            self.note(host.name, f"nodeos starts {'paused' if paused else 'UNPAUSED'}{', with a replay' * len(replay)}")
            node.launch(START, *pause, *replay, limit=LAUNCH)

    def rebuild(self, node: Node, host: Host | None) -> None:
        """Throw a node's chain away and let it copy its peers': what an operator does after a fork."""
        self.note(node.name, "nodeos is on a fork of its own: it copies the chain anew")
        lock = host.launching if host is not None else threading.Lock()
        with lock:
            node.stop(grace=3.0)
            self._collect(node)
            node.begin_anew(*([START, PAUSED] if host is not None else []), limit=LAUNCH)

    def etcdctl(self, *arguments: str) -> str:
        """Run the real etcdctl, with the group's prefix for `@`."""
        return self.etcd.etcdctl(*of_group(arguments))

    def insist(self, what: str, act: Callable[[], T], limit: float = 30.0) -> T:
        """Do what has to be undone, again and again until it works."""
        result: list[T] = []

        def once() -> bool:
            result[:] = [act()]
            return True

        until(once, limit, what, retry_on=(LabError,), interval=0.3)
        return result[0]

    def _collect(self, node: Node) -> None:
        """Take down what a node signed: at every second start of a node with long logs the oldest one is lost."""
        found = evidence.read_log(node.name, node.log)
        with self._lock:
            self._signed.update(found)

    def signed(self) -> list[evidence.Signature]:
        """Return what all nodes signed, in the order of time."""
        for node in self.chain.all:
            self._collect(node)
        with self._lock:
            return sorted(self._signed, key=lambda each: each.wall)

    def signed_after(self, wall: float) -> float | None:
        """Return when the first block after a moment was signed, by anybody."""
        return next((each.wall for each in self.signed() if each.wall > wall), None)

    def unsigned(self) -> list[int]:
        """Return the blocks of the observer's chain whose signature is not known: evidence that was lost.

        Blocks of the boot are among those that are known; the first one of all nobody signs.
        """
        observer = self.chain.observer
        headers = evidence.headers(observer, 2, observer.head)
        known = {each.id for each in self.signed()}
        return [header.num for header in headers if header.id[ID] not in known]

    def leaders(self) -> Sequence[Host]:
        """Return the hosts whose agents say that they lead."""
        return [host for host in self.hosts.values() if host.agent.running and host.agent.leads]
