"""What stands in for systemd and an operator during chaos: restarts what died, and rebuilds a node on a fork.

One thread a host, one for etcd; none of them waits for another. What a fault holds down stays down.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from tests.lab.chaos.hosts import Host
from tests.lab.chaos.world import World
from tests.lab.errors import LabError
from tests.lab.nodeos import ApiError, Node
from tests.lab.process import Process

PERIOD = 0.25
BACK = 1.0
"""Seconds until something that died is started again (systemd's RestartSec)."""
COMPARE = 2.0
"""Seconds between two looks for forks; a node is rebuilt when two looks in a row find it on one."""
API = 1.0


class Caretaker:
    """Starts with `start`, ends with `close`. `errors` are defects of the lab, not of what it tests."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._over = threading.Event()
        self.errors: list[str] = []
        hosts = world.hosts.values()
        works: list[tuple[str, float, Callable[[], None]]] = [("etcd", PERIOD, self._etcd)]
        works += [(f"nodeos-{host.name}", PERIOD, Nurse(world, host).look) for host in hosts]
        for host in hosts:
            others = {name: each for name, each in host.processes().items() if each is not host.node}
            works += [(each.name, PERIOD, Starter(world, host.name, name, each).look) for name, each in others.items()]
        works += [("forks", COMPARE, Forks(world).look)]
        self._threads = [
            threading.Thread(target=self._run, args=(period, work), name=f"caretaker-{name}", daemon=True)
            for name, period, work in works
        ]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """End; what is under way is waited for."""
        self._over.set()
        for thread in self._threads:
            thread.join(30.0)

    def _run(self, period: float, work: Callable[[], None]) -> None:
        while not self._over.wait(period):
            try:
                work()
            except LabError as error:  # it is tried again: what it cares for was broken meanwhile
                self.errors.append(f"{threading.current_thread().name}: {str(error).splitlines()[0]}")

    def _etcd(self) -> None:
        for member in self._world.etcd.members:
            if not member.running and not self._world.is_held(member):
                member.start()


class Nurse:
    """Starts a nodeos that ended, some time after."""

    def __init__(self, world: World, host: Host) -> None:
        self._world, self._host = world, host
        self._since = 0.0
        self._failed = 0

    def look(self) -> None:
        """Look once."""
        node = self._host.node
        if node.running or self._world.is_held(node):
            self._since = 0.0
            return
        if not self._since:
            self._since = time.monotonic()
            self._world.note(self._host.name, f"nodeos is gone (exit code {node.exit_code})")
        if time.monotonic() - self._since < BACK:
            return
        try:
            self._world.launch(self._host)
            self._failed = 0
        except LabError:
            self._failed += 1
            if self._failed > 1 and not node.running and not self._world.is_held(node):
                self._world.rebuild(node, self._host)
            raise


class Starter:
    """Starts an agent, a gate or its keosd that ended, some time after."""

    def __init__(self, world: World, host: str, what: str, process: Process) -> None:
        self._world, self._host, self._what, self._process = world, host, what, process
        self._since = 0.0

    def look(self) -> None:
        """Look once."""
        process = self._process
        if process.running or self._world.is_held(process):
            self._since = 0.0
        elif not self._since:
            self._since = time.monotonic()
        elif time.monotonic() - self._since >= BACK:
            self._world.note(self._host, f"the {self._what} is started again (exit code {process.exit_code})")
            process.start()


class Forks:
    """Finds nodes whose irreversible chain is not the leader's: on a chain of one producer they never come back."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._suspects: set[str] = set()

    def look(self) -> None:
        """Compare all nodes with the leader's once."""
        leaders = self._world.leaders()
        found = set()
        if len(leaders) == 1 and leaders[0].node.running:
            truth = leaders[0].node
            found = {node.name for node in self._world.chain.all if node is not truth and _forked(truth, node)}
        again, self._suspects = found & self._suspects, found
        for name in sorted(again):
            host = self._world.hosts.get(name)
            node = host.node if host is not None else self._world.chain.observer
            if host is None or not (host.agent.running and host.agent.leads):
                self._world.rebuild(node, host)


def _forked(truth: Node, node: Node) -> bool:
    try:
        height = min(int(each.info(API)["last_irreversible_block_num"]) for each in (truth, node))
        ids = {each.call("/v1/chain/get_block", {"block_num_or_id": height}, API)["id"] for each in (truth, node)}
    except ApiError:
        return False  # it does not answer now: nothing can be told
    return len(ids) > 1
