"""Faults that only a signing gate bears: of itself and its keosd, of whole hosts, and of a nodeos that lies."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import suppress

from tests.lab.chaos.faults import fault, leader
from tests.lab.chaos.hosts import Host
from tests.lab.chaos.liar import Liar
from tests.lab.chaos.links import Skipped
from tests.lab.chaos.plan import Fault
from tests.lab.chaos.world import World
from tests.lab.errors import LabError

GUARD = "guard"


def _gated(host: Host) -> Liar:
    if host.liar is None:
        raise Skipped("nothing signs through a gate here")
    return host.liar


@fault("gate-frozen", parts="gate")
@fault("keosd-frozen", parts="keosd")
@fault("parts-frozen")
def _parts_frozen(world: World, doing: Fault, parts: str = "") -> Iterator[None]:
    yield from _frozen(world.hosts[doing.target], parts or doing.choice)


@fault("signer-frozen")
def _signer_frozen(world: World, doing: Fault) -> Iterator[None]:
    """Freeze whoever leads just now."""
    yield from _frozen(leader(world), doing.choice)


def _frozen(host: Host, parts: str) -> Iterator[None]:
    """Freeze parts of a host, the first one first, and thaw them in that order: nodeos before who could pause it."""
    _gated(host)
    _send(host, parts, signal.SIGSTOP)
    try:
        yield
    finally:
        _send(host, parts, signal.SIGCONT)


@fault("gate-killed", parts="gate")
@fault("keosd-killed", parts="keosd")
@fault("parts-killed")
def _parts_killed(world: World, doing: Fault, parts: str = "") -> Iterator[None]:
    """Kill parts of a host; they stay down as long as the fault lasts."""
    host, parts = world.hosts[doing.target], parts or doing.choice
    _gated(host)
    processes = [process for name, process in host.processes().items() if name in parts.split("+")]
    with world.held(*processes):
        _send(host, parts, signal.SIGKILL)
        if host.agent in processes:
            world.gone(host, "killed")
        for process in processes:
            process.wait(10.0)
        yield


def _send(host: Host, parts: str, number: signal.Signals) -> None:
    processes = host.processes()
    for name in parts.split("+"):
        if name == GUARD:
            host.agent.signal_guards(number)
        else:
            processes[name].signal(number)


@fault("pause-lies")
def _pause_lies(world: World, doing: Fault) -> Iterator[None]:
    """Let nodeos answer every pause and do nothing; its agent, if it leads, is asked to step down meanwhile."""
    host = world.hosts[doing.target]
    liar = _gated(host)
    before = liar.swallowed
    liar.lie(doing.choice)
    try:
        if host.agent.leads:
            with suppress(LabError):  # etcd may be down just now: then the pause comes by itself, later
                world.etcdctl("del", "@leader")
        yield
    finally:
        liar.lie("")
        world.note(host.name, f"the lab's proxy has swallowed {liar.swallowed - before} pauses of its nodeos")
