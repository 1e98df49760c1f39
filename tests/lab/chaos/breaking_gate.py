"""Faults that only a signing gate bears: of itself and its keosd, of whole hosts, and of a nodeos that lies."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import suppress

from tests.lab.chaos.faults import fault
from tests.lab.chaos.hosts import Host
from tests.lab.chaos.liar import Liar
from tests.lab.chaos.links import Skipped
from tests.lab.chaos.plan import Fault
from tests.lab.chaos.world import World
from tests.lab.errors import LabError

GUARD = "guard"


def _gated(world: World, doing: Fault) -> tuple[Host, Liar]:
    host = world.hosts[doing.target]
    if host.liar is None:
        raise Skipped("nothing signs through a gate here")
    return host, host.liar


@fault("gate-frozen")
def _gate_frozen(world: World, doing: Fault) -> Iterator[None]:
    yield from _freeze(world, doing, ["gate"])


@fault("keosd-frozen")
def _keosd_frozen(world: World, doing: Fault) -> Iterator[None]:
    yield from _freeze(world, doing, ["keosd"])


@fault("parts-frozen")
def _parts_frozen(world: World, doing: Fault) -> Iterator[None]:
    yield from _freeze(world, doing, doing.choice.split("+"))


@fault("signer-frozen")
def _signer_frozen(world: World, doing: Fault) -> Iterator[None]:
    """Freeze whoever leads just now."""
    leaders = world.leaders()
    if len(leaders) != 1 or leaders[0].gate is None:
        raise Skipped("nobody leads just now, or without a gate")
    names = doing.choice.split("+")
    _send(leaders[0], names, signal.SIGSTOP)
    try:
        yield
    finally:
        _send(leaders[0], names, signal.SIGCONT)


@fault("gate-killed")
def _gate_killed(world: World, doing: Fault) -> Iterator[None]:
    yield from _kill(world, doing, ["gate"])


@fault("keosd-killed")
def _keosd_killed(world: World, doing: Fault) -> Iterator[None]:
    yield from _kill(world, doing, ["keosd"])


@fault("parts-killed")
def _parts_killed(world: World, doing: Fault) -> Iterator[None]:
    yield from _kill(world, doing, doing.choice.split("+"))


def _freeze(world: World, doing: Fault, names: list[str]) -> Iterator[None]:
    """Freeze parts of a host, the first one first, and thaw them in that order: nodeos before who could pause it."""
    host, _ = _gated(world, doing)
    _send(host, names, signal.SIGSTOP)
    try:
        yield
    finally:
        _send(host, names, signal.SIGCONT)


def _kill(world: World, doing: Fault, names: list[str]) -> Iterator[None]:
    """Kill parts of a host; they stay down as long as the fault lasts."""
    host, _ = _gated(world, doing)
    processes = [process for name, process in host.processes().items() if name in names]
    with world.held(*processes):
        _send(host, names, signal.SIGKILL)
        if "agent" in names:
            world.gone(host, "killed")
        for process in processes:
            process.wait(10.0)
        yield


def _send(host: Host, names: list[str], number: signal.Signals) -> None:
    processes = host.processes()
    for name in names:
        if name == GUARD:
            host.signal_guards(number)
        else:
            processes[name].signal(number)


@fault("pause-lies")
def _pause_lies(world: World, doing: Fault) -> Iterator[None]:
    """Let nodeos answer every pause and do nothing; its agent, if it leads, is asked to step down meanwhile."""
    host, liar = _gated(world, doing)
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
