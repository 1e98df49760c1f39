"""Faults of what is neither a process nor a link: clocks, disks, etcd's space."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from tests.lab.chaos.faults import fault
from tests.lab.chaos.history import Span
from tests.lab.chaos.links import Skipped
from tests.lab.chaos.plan import Fault
from tests.lab.chaos.world import World
from tests.lab.errors import LabError
from tests.lab.etcd import EtcdctlError
from tests.lab.wait import until

CLOCK_CACHE = 2.5
"""Seconds: libfaketime reads its file once a second; then the block in flight is signed, and logged."""
FILL = "x" * 1_000_000
"""A value: etcd takes up to 1.5 MB."""


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


@fault("node-clock-jumped")
def _node_clock_jumped(world: World, doing: Fault) -> Iterator[None]:
    """Let the wall clock of nodeos jump; that of its agent stays, so that the clock check may see it.

    What it signs meanwhile is dated wrongly: slots are compared by their dates, so they prove nothing for or against.
    """
    host = world.hosts[doing.target]
    clock = host.node_clock
    if clock is None:
        raise Skipped("no libfaketime here that leaves CLOCK_BOOTTIME alone")
    clock.jump(doing.choice)
    started = time.time()
    try:
        yield
    finally:
        clock.jump("+0")
        world.misdated.append(Span(host.name, started, time.time() + CLOCK_CACHE))


@fault("etcd-disk-slow")
def _etcd_disk_slow(world: World, doing: Fault) -> Iterator[None]:
    """Let every fsync of a member take longer."""
    disk = world.etcd.disks.get(doing.target)
    if disk is None:
        raise Skipped("this kernel does not let us hold up an fsync")
    disk.slow(float(doing.choice))
    try:
        yield
    finally:
        disk.heal()


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
