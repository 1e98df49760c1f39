"""Parts that the tests of the core are made from: a setup, blocks, members. Nothing is tested here."""

from __future__ import annotations

from dataclasses import replace

from agent.core.health.checks import (
    DiskProbed,
    InfoProbed,
    Limits,
    PausedProbed,
    PeersProbed,
    Probe,
    ProcessProbed,
    ScheduleProbed,
)
from agent.core.health.hysteresis import Thresholds
from agent.core.leadership.state import Identity
from agent.core.leadership.timing import Timing
from agent.core.model.chain import ChainInfo, Peers, ProcessId, Producer, Schedule
from agent.core.model.keys import keys
from agent.core.model.records import Member
from agent.core.model.slots import EPOCH, SLOT

CHAIN, OTHER_CHAIN = "a" * 64, "b" * 64
KEY, OTHER_KEY = "EOS6MRyAjQq8ud7hVNYcfnVPJqcVpscN5So8BhtHuGYqET5GDW5CV", "EOS1111"
PRODUCER = "myproducer11"
SETUP = Identity("bp-a", "f00d", keys("/nodeos-failover", "lab"), PRODUCER, Timing())
NODEOS = ProcessId(70, 700)
CHECKS = (
    *("process", "main_thread", "producing", "head_age", "lib_progress", "chain_id", "peers", "schedule"),
    *("disk_space", "clock_offset"),
)
LIMITS = Limits({name: Thresholds(1, 1) for name in CHECKS}, PRODUCER, KEY, CHAIN, disk_bytes=100, disk_percent=10.0)
MEMBER = Member("bp-b", "beef", "standby", True, True, (), 1000, 900, 0, 100, False, "0.1.0", "v4.1.0")


def info(head: int = 1000, lib: int = 900, producer: str = "someoneelse1", chain: str = CHAIN) -> ChainInfo:
    """Return what get_info says of a chain without gaps."""
    return ChainInfo(chain, "v4.1.0", head, f"{head:08x}", EPOCH + head * SLOT, producer, lib, None)


def on_time(head: int = 1000, lib: int = 900, age: int = 0, **more: str) -> InfoProbed:
    """Return the probe of a head that is `age` ms old."""
    found = info(head, lib, **more)
    return InfoProbed(found, found.head_time + age)


SCHEDULE = Schedule(3, (Producer("someoneelse1", (OTHER_KEY,)), Producer(PRODUCER, (KEY,))))
GOOD: dict[str, Probe] = {
    "process": ProcessProbed(NODEOS),
    "paused": PausedProbed(0, True),
    "info": on_time(999),
    "info again": on_time(1000),
    "peers": PeersProbed(Peers(3, 3)),
    "schedule": ScheduleProbed(SCHEDULE),
    "disk": DiskProbed(500, 1000),
}
"""One good answer to every probe; after all of them a node is healthy."""


def member(node: str = "bp-b", **changes: object) -> Member:
    """Return a healthy member."""
    return replace(MEMBER, node=node, **changes)  # type: ignore[arg-type] # the fields are the caller's
