"""Doing each fault, and ending it: a context manager a kind. The runner enters it, waits its length, and leaves it."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from pathlib import Path

from agent.lab.chaos.history import Span
from agent.lab.chaos.plan import Fault
from agent.lab.chaos.world import Host, World
from agent.lab.errors import LabError
from agent.lab.etcd import EtcdctlError, EtcdMember
from agent.lab.nodeos import ApiError
from agent.lab.process import Process
from agent.lab.relay import Direction
from agent.lab.wait import until

FILL = "x" * 1_000_000
"""A value: etcd takes up to 1.5 MB."""
IN_FLIGHT = 0.6
"""Seconds after a pause in which the block in flight is still signed (up to 0.5 s), and logged."""
SEEN_PAUSED = 10.0
"""Seconds within which a live agent must have paused a nodeos that started unpaused."""


class Skipped(LabError):
    """The machine lacks what this fault needs."""


Act = Callable[[World, Fault], Iterator[None]]
FAULTS: dict[str, Callable[[World, Fault], AbstractContextManager[None]]] = {}


def fault(kind: str) -> Callable[[Act], Act]:
    """Register a generator as the fault of a kind: it does the fault, yields, and ends it."""

    def register(act: Act) -> Act:
        FAULTS[kind] = contextmanager(act)
        return act

    return register


def _member(world: World, doing: Fault) -> EtcdMember:
    return next(member for member in world.etcd.members if member.name == doing.target)


# --- processes ---


@fault("nodeos-killed")
def _nodeos_killed(world: World, doing: Fault) -> Iterator[None]:
    node = world.hosts[doing.target].node
    with world.held(node):
        node.kill()
        yield


@fault("nodeos-frozen")
def _nodeos_frozen(world: World, doing: Fault) -> Iterator[None]:
    yield from _freeze(world.hosts[doing.target].node)


@fault("agent-frozen")
def _agent_frozen(world: World, doing: Fault) -> Iterator[None]:
    yield from _freeze(world.hosts[doing.target].agent)


@fault("etcd-frozen")
def _etcd_frozen(world: World, doing: Fault) -> Iterator[None]:
    yield from _freeze(_member(world, doing))


def _freeze(process: Process) -> Iterator[None]:
    process.freeze()
    try:
        yield
    finally:
        process.thaw()


@fault("nodeos-restarted")
def _nodeos_restarted(world: World, doing: Fault) -> Iterator[None]:
    host = world.hosts[doing.target]
    with world.held(host.node):
        host.node.stop()
        world.launch(host)
    yield


@fault("nodeos-unpaused")
def _nodeos_unpaused(world: World, doing: Fault) -> Iterator[None]:
    """Restart it without --pause-on-startup: the fault in the configuration that the agent has to make good."""
    host = world.hosts[doing.target]
    with world.held(host.node):
        host.node.stop()
        started = time.time()
        try:
            world.launch(host, paused=False)
            until(lambda: host.node.paused, SEEN_PAUSED, f"{host.name} to be paused", retry_on=(ApiError,))
        finally:
            world.ungoverned.append(Span(host.name, started, time.time() + IN_FLIGHT))
    yield


@fault("agent-killed")
def _agent_killed(world: World, doing: Fault) -> Iterator[None]:
    host = world.hosts[doing.target]
    with world.held(host.agent):
        host.agent.kill()
        world.gone(host, "killed")
        yield


@fault("agent-restarted")
def _agent_restarted(world: World, doing: Fault) -> Iterator[None]:
    host = world.hosts[doing.target]
    with world.held(host.agent):
        host.agent.stop(grace=12.0)
        world.gone(host, "asked to end")
        host.agent.start()
    yield


@fault("guard-killed")
def _guard_killed(world: World, doing: Fault) -> Iterator[None]:
    _to_guard(world.hosts[doing.target], signal.SIGKILL)
    yield


@fault("guard-frozen")
def _guard_frozen(world: World, doing: Fault) -> Iterator[None]:
    host = world.hosts[doing.target]
    _to_guard(host, signal.SIGSTOP)
    try:
        yield
    finally:
        host.signal_guards(signal.SIGCONT)


def _to_guard(host: Host, number: signal.Signals) -> None:
    if not host.signal_guards(number):
        raise LabError(f"{host.name} has no guard just now")


@fault("host-stalled")
def _host_stalled(world: World, doing: Fault) -> Iterator[None]:
    """Freeze all of a host, for less time than the margin between two confirmations leaves."""
    host = world.hosts[doing.target]
    host.agent.freeze()
    host.signal_guards(signal.SIGSTOP)
    host.node.freeze()
    try:
        yield
    finally:
        host.node.thaw()
        host.signal_guards(signal.SIGCONT)
        host.agent.thaw()


@fault("host-lost")
def _host_lost(world: World, doing: Fault) -> Iterator[None]:
    """Kill all of a host, nodeos first: else nobody would be left to stop it, if only for a moment."""
    host = world.hosts[doing.target]
    with world.held(host.node, host.agent):
        host.node.signal(signal.SIGKILL)
        host.agent.signal(signal.SIGKILL)
        host.signal_guards(signal.SIGKILL)
        world.gone(host, "host lost")
        host.node.wait(10.0)
        host.agent.wait(10.0)
        yield


@fault("etcd-killed")
def _etcd_killed(world: World, doing: Fault) -> Iterator[None]:
    member = _member(world, doing)
    with world.held(member):
        member.kill()
        yield


@fault("etcd-replaced")
def _etcd_replaced(world: World, doing: Fault) -> Iterator[None]:
    member = _member(world, doing)
    with world.held(member):
        world.etcd.replace(member)
    yield


# --- links ---


def _both_or_one(choice: str, out: Direction, into: Direction) -> list[Direction]:
    return [way for way, name in ((out, "out"), (into, "in")) if choice in ("both", name)]


@fault("etcd-cut")
def _etcd_cut(world: World, doing: Fault) -> Iterator[None]:
    with ExitStack() as healing:
        for link in world.hosts[doing.target].etcd_links:
            healing.callback(link.heal)
            for way in _both_or_one(doing.choice, "to_server", "to_client"):
                link.cut(way)
        yield


@fault("etcd-one-cut")
def _etcd_one_cut(world: World, doing: Fault) -> Iterator[None]:
    link = world.hosts[doing.target].etcd_links[int(doing.choice)]
    link.cut()
    try:
        yield
    finally:
        link.heal()


@fault("etcd-delayed")
def _etcd_delayed(world: World, doing: Fault) -> Iterator[None]:
    with ExitStack() as healing:
        for link in world.hosts[doing.target].etcd_links:
            healing.callback(link.heal)
            link.delay(float(doing.choice))
        yield


@fault("p2p-cut")
def _p2p_cut(world: World, doing: Fault) -> Iterator[None]:
    with ExitStack() as healing:
        for proxy, out, into in world.chain.ways(doing.target):
            healing.callback(proxy.heal)
            for way in _both_or_one(doing.choice, out, into):
                proxy.cut(way)
        yield


@fault("p2p-delayed")
def _p2p_delayed(world: World, doing: Fault) -> Iterator[None]:
    with ExitStack() as healing:
        for proxy, _, _ in world.chain.ways(doing.target):
            healing.callback(proxy.heal)
            proxy.delay(float(doing.choice))
        yield


@fault("etcd-muted")
def _etcd_muted(world: World, doing: Fault) -> Iterator[None]:
    """Cut the way to one member: its peers can not call it, nor read what it streams to them; it still calls them."""
    link = world.etcd.peer_links[doing.target]
    link.cut()
    try:
        yield
    finally:
        link.heal()


@fault("etcd-split")
def _etcd_split(world: World, _doing: Fault) -> Iterator[None]:
    """Cut every member from every other: the leader among them does not know yet, and answers its clients."""
    with ExitStack() as healing:
        for link in world.etcd.peer_links.values():
            healing.callback(link.heal)
            link.cut()
        yield


# --- what is not a process and not a link ---


@fault("clock-jumped")
def _clock_jumped(world: World, doing: Fault) -> Iterator[None]:
    clock = world.hosts[doing.target].clock
    if clock is None:
        raise Skipped("no libfaketime here that leaves CLOCK_BOOTTIME alone")
    clock.jump(doing.choice)
    try:
        yield
    finally:
        clock.jump("+0")


@fault("file-failed")
def _file_failed(world: World, doing: Fault) -> Iterator[None]:
    """Put a directory where the run-time file is written first: every write fails, as on a full disk."""
    agent = world.hosts[doing.target].agent
    places = [path.with_suffix(".new") for path in agent.runtime_dir.glob("*.lock")]
    for place in places:
        until(partial(_block, place), 2.0, f"{place} to be blocked", retry_on=(FileExistsError,))
    try:
        yield
    finally:
        for place in places:
            place.rmdir()


def _block(place: Path) -> bool:
    """Make the directory; FileExistsError in the moment between a write of the file and its rename."""
    place.mkdir()
    return True


@fault("etcd-nospace")
def _etcd_nospace(world: World, _doing: Fault) -> Iterator[None]:
    """Fill etcd to its quota; to end it takes what an operator does: delete, compact, defragment, disarm."""
    try:
        _fill(world)
        yield
    finally:
        world.insist("etcd to have space again", lambda: make_space(world))


def _fill(world: World) -> None:
    for number in range(200):
        try:
            world.etcd.etcdctl("put", f"/lab/fill/{number}", stdin=FILL)
        except EtcdctlError as error:
            if "database space exceeded" in str(error):
                return
            raise
    raise LabError("etcd did not fill up: its quota is larger than 200 MB")


def make_space(world: World) -> None:
    """Give etcd its space back. LabError when a step failed: all of it may be done again."""
    world.etcd.etcdctl("del", "--prefix", "/lab/fill/")
    _compact(world)
    for member in world.etcd.members:
        world.etcd.etcdctl("defrag", "--endpoints", member.url)
    world.etcd.etcdctl("alarm", "disarm")


@fault("etcd-compacted")
def _etcd_compacted(world: World, _doing: Fault) -> Iterator[None]:
    _compact(world)
    yield


def _compact(world: World) -> None:
    found = json.loads(world.etcd.etcdctl("get", "/lab/none", "-w", "json"))
    try:
        world.etcd.etcdctl("compact", str(found["header"]["revision"]))
    except EtcdctlError as error:
        if "has been compacted" not in str(error):
            raise


# --- operators' words ---


@fault("leader-put")
def _leader_put(world: World, doing: Fault) -> Iterator[None]:
    world.etcdctl("put", "@leader", doing.target)
    yield


@fault("leader-put-nobody")
def _leader_put_nobody(world: World, _doing: Fault) -> Iterator[None]:
    world.etcdctl("put", "@leader", "bp-nobody")
    yield


@fault("leader-deleted")
def _leader_deleted(world: World, _doing: Fault) -> Iterator[None]:
    world.etcdctl("del", "@leader")
    yield


@fault("override-named")
def _override_named(world: World, doing: Fault) -> Iterator[None]:
    """Let a lease end it: nobody comes back to take the key away."""
    lease = world.etcdctl("lease", "grant", str(max(1, round(doing.length)))).split()[1]
    world.etcdctl("put", "@override", doing.target, f"--lease={lease}")
    yield


@fault("override-none")
def _override_none(world: World, _doing: Fault) -> Iterator[None]:
    yield from _until_deleted(world, "@override", "none")


@fault("maintenance")
def _maintenance(world: World, _doing: Fault) -> Iterator[None]:
    yield from _until_deleted(world, "@maintenance", "chaos")


def _until_deleted(world: World, key: str, value: str) -> Iterator[None]:
    try:
        world.etcdctl("put", key, value)
        yield
    finally:
        world.insist(f"to delete {key}", lambda: world.etcdctl("del", key))
