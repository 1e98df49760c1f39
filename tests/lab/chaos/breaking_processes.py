"""Faults of processes: killed, frozen, restarted, restarted wrongly, alone or a host at once."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack

from tests.lab.chaos.faults import FAULTS, SEEN_PAUSED, fault
from tests.lab.chaos.hosts import Host
from tests.lab.chaos.plan import Fault
from tests.lab.chaos.world import World
from tests.lab.errors import LabError
from tests.lab.etcd import EtcdMember
from tests.lab.nodeos import ApiError
from tests.lab.process import Process
from tests.lab.wait import until


def _member(world: World, doing: Fault) -> EtcdMember:
    return next(member for member in world.etcd.members if member.name == doing.target)


def _process(world: World, doing: Fault) -> Process:
    """Return what a fault of nodeos, the agent or etcd is about, as the first word of its kind says."""
    what = doing.kind.partition("-")[0]
    return _member(world, doing) if what == "etcd" else world.hosts[doing.target].processes()[what]


@fault("nodeos-killed", "agent-killed", "etcd-killed")
def _killed(world: World, doing: Fault) -> Iterator[None]:
    process = _process(world, doing)
    with world.held(process):
        process.kill()
        if doing.kind == "agent-killed":
            world.gone(world.hosts[doing.target], "killed")
        yield


@fault("nodeos-frozen", "agent-frozen", "etcd-frozen")
def _frozen(world: World, doing: Fault) -> Iterator[None]:
    process = _process(world, doing)
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
            world.not_governed(host, started)
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
        host.agent.signal_guards(signal.SIGCONT)


def _to_guard(host: Host, number: signal.Signals) -> None:
    if not host.agent.signal_guards(number):
        raise LabError(f"{host.name} has no guard just now")


@fault("host-stalled")
def _host_stalled(world: World, doing: Fault) -> Iterator[None]:
    """Freeze all of a host, for less time than the margin between two confirmations leaves."""
    host = world.hosts[doing.target]
    host.agent.freeze()
    host.agent.signal_guards(signal.SIGSTOP)
    host.node.freeze()
    try:
        yield
    finally:
        host.node.thaw()
        host.agent.signal_guards(signal.SIGCONT)
        host.agent.thaw()


@fault("host-lost")
def _host_lost(world: World, doing: Fault) -> Iterator[None]:
    """Kill all of a host, nodeos first: else nobody would be left to stop it, if only for a moment."""
    host = world.hosts[doing.target]
    processes = sorted(host.processes().values(), key=lambda process: process is not host.node)
    with world.held(*processes):
        for process in processes:
            process.signal(signal.SIGKILL)
        host.agent.signal_guards(signal.SIGKILL)
        world.gone(host, "host lost")
        for process in processes:
            process.wait(10.0)
        yield


@fault("etcd-away")
def _etcd_away(world: World, doing: Fault) -> Iterator[None]:
    """Kill or freeze two of the three members: etcd has no quorum."""
    how, _, spared = doing.choice.partition(" ")
    gone = [member for member in world.etcd.members if member.name != spared]
    with world.held(*gone):
        for member in gone:
            if how == "killed":
                member.kill()
            else:
                member.freeze()
        try:
            yield
        finally:
            for member in gone:
                member.thaw()


@fault("etcd-away-host-lost")
def _etcd_away_host_lost(world: World, doing: Fault) -> Iterator[None]:
    """The same, and a host is lost as well: a peer, or the leader."""
    with ExitStack() as ending:
        for name in ("etcd-away", "host-lost"):
            ending.enter_context(FAULTS[name](world, doing))
        yield


@fault("etcd-replaced")
def _etcd_replaced(world: World, doing: Fault) -> Iterator[None]:
    member = _member(world, doing)
    with world.held(member):
        world.etcd.replace(member)
    yield
