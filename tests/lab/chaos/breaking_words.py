"""What operators say, to etcd and to nodeos, with sense and without: nothing of it may make two producers."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import suppress

from tests.lab.chaos.faults import SEEN_PAUSED, fault
from tests.lab.chaos.links import Skipped
from tests.lab.chaos.plan import Fault
from tests.lab.chaos.world import World
from tests.lab.nodeos import ApiError
from tests.lab.wait import until


@fault("leader-put")
def _leader_put(world: World, doing: Fault) -> Iterator[None]:
    world.etcdctl("put", "@leader", doing.target)
    yield


@fault("leader-put-nobody")
def _leader_put_nobody(world: World, _doing: Fault) -> Iterator[None]:
    world.etcdctl("put", "@leader", "bp-nobody")
    yield


@fault("leader-garbled")
def _leader_garbled(world: World, _doing: Fault) -> Iterator[None]:
    """Put what is no name."""
    world.etcdctl("put", "@leader", "{ no name")
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


@fault("lease-revoked")
def _lease_revoked(world: World, _doing: Fault) -> Iterator[None]:
    """Take the leader's lease away: the key `leader` vanishes with it."""
    found = json.loads(world.etcdctl("get", "@leader", "-w", "json")).get("kvs", [])
    lease = found[0].get("lease", 0) if found else 0
    if not lease:
        raise Skipped("nobody holds `leader` by a lease just now")
    world.etcdctl("lease", "revoke", format(lease, "x"))
    yield


@fault("heartbeat-garbled")
def _heartbeat_garbled(world: World, _doing: Fault) -> Iterator[None]:
    """Overwrite the heartbeat with what cannot be read: the leader stops, and nobody follows before E is over."""
    world.etcdctl("put", "@heartbeat", "{ no heartbeat")
    yield


@fault("drain")
def _drain(world: World, doing: Fault) -> Iterator[None]:
    yield from _until_deleted(world, f"@drain/{doing.target}", "chaos")


@fault("override-garbled")
def _override_garbled(world: World, _doing: Fault) -> Iterator[None]:
    """Put what cannot be read: it is ignored."""
    yield from _until_deleted(world, "@override", '{"leader": ')


@fault("override-reasoned")
def _override_reasoned(world: World, doing: Fault) -> Iterator[None]:
    """Put the long form of an override."""
    yield from _until_deleted(world, "@override", json.dumps({"leader": doing.target, "reason": "chaos", "by": "lab"}))


@fault("switchover")
def _switchover(world: World, doing: Fault) -> Iterator[None]:
    """Put a wish as the command does: the leader that hears it hands over, or refuses."""
    world.etcdctl("put", "@switchover", json.dumps({"to": doing.target, "when": doing.choice, "by": "chaos"}))
    yield


@fault("nodeos-resumed")
def _nodeos_resumed(world: World, doing: Fault) -> Iterator[None]:
    """Resume nodeos by hand, as nobody should: until the agent has paused it again, its blocks are the operator's.

    A resume that nobody waits for any more acts late, but before what nodeos is asked after it.
    """
    host = world.hosts[doing.target]
    if host.agent.leads:
        raise Skipped("it leads: then a resume is nothing new")
    started = time.time()
    try:
        with suppress(ApiError):
            host.node.call("/v1/producer/resume", limit=3.0)
        until(lambda: host.node.paused or host.agent.leads, 2 * SEEN_PAUSED, f"{host.name} paused", (ApiError,))
    finally:
        world.not_governed(host, started)
    yield


@fault("nodeos-paused")
def _nodeos_paused(world: World, doing: Fault) -> Iterator[None]:
    """Pause nodeos by hand: a leader that does not produce has to notice."""
    world.hosts[doing.target].node.call("/v1/producer/pause", limit=1.0)
    yield


@fault("maintenance")
def _maintenance(world: World, _doing: Fault) -> Iterator[None]:
    yield from _until_deleted(world, "@maintenance", "chaos")


def _until_deleted(world: World, key: str, value: str) -> Iterator[None]:
    try:
        world.etcdctl("put", key, value)
        yield
    finally:
        world.insist(f"to delete {key}", lambda: world.etcdctl("del", key))
