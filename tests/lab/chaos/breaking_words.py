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
@fault("leader-put-nobody", value="bp-nobody")
@fault("leader-garbled", value="{ no name")
def _leader_put(world: World, doing: Fault, value: str = "") -> Iterator[None]:
    """Put the target's name, one that no node has, or what is no name."""
    world.etcdctl("put", "@leader", value or doing.target)
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


@fault("maintenance", key="@maintenance", value="chaos")
@fault("drain", key="@drain/TARGET", value="chaos")
@fault("override-none", key="@override", value="none")
@fault("override-reasoned", key="@override", value='{"leader": "TARGET", "reason": "chaos", "by": "lab"}')
@fault("override-garbled", key="@override", value='{"leader": ')
def _word(world: World, doing: Fault, key: str, value: str) -> Iterator[None]:
    """Put a word of operators, about the target or all, and delete it in the end. What cannot be read is ignored."""
    key, value = (each.replace("TARGET", doing.target) for each in (key, value))
    try:
        world.etcdctl("put", key, value)
        yield
    finally:
        world.insist(f"to delete {key}", lambda: world.etcdctl("del", key))
