"""Whether the members can be each other's witnesses: key, addresses, the way between them, etcd's leader, the id."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from agent.config.model import Config
from agent.core.model.keys import keys
from agent.core.model.records import read_group
from agent.doctor.finding import Finding, ok, skipped, unknown, warn
from agent.doctor.gather_etcd import options
from agent.errors import StoreError
from agent.etcd.store import EtcdStore
from agent.host.deadline import Deadline
from agent.peers import key, wire
from agent.peers.address import PeerAddress, host_of, parse
from agent.peers.host_id import read_id
from agent.peers.wire import DatagramError, Probe

_PORT = "let UDP to the port of peers.listen (9878) pass between the hosts, both ways; without it E is long, as before"
PROBE_S = 0.9
"""For one member: all its tries."""
TRIES = 3
"""A datagram may be lost by chance."""


@dataclass(frozen=True, slots=True)
class PeerFacts:
    """What the peers rest on.

    key_there, key_good  whether the group has a key, and whether it is one
    members     each member's address for datagrams, empty where it tells none
    reached     whether a probe came back from each that was tried
    beside      members on the host of etcd's leader
    no_host_id  why this host has no id that it keeps; empty: it has one
    """

    key_there: bool = False
    key_good: bool = False
    members: Mapping[str, str] = field(default_factory=dict)
    reached: Mapping[str, bool] = field(default_factory=dict)
    beside: tuple[str, ...] = ()
    no_host_id: str = ""
    error: str = ""


def gather(config: Config, within_s: float) -> PeerFacts:
    """Try all of it within `within_s` seconds; nothing is written."""
    if not config.peers.on:
        return PeerFacts()
    deadline, names = Deadline(within_s), keys(config.etcd.prefix, config.group)
    store = EtcdStore(options(config))
    try:
        snapshot = store.range(names.root, min(4.0, within_s))
        there, found = key.find(names, snapshot)
        leader = store.leader(min(4.0, deadline.left()))
    except (StoreError, TimeoutError) as error:
        return PeerFacts(error=str(error))
    finally:
        store.close()
    members = {each.node: each.peer_address for each in read_group(names, snapshot).members}
    reached = {}
    for node, address in members.items():
        if node != config.node and found is not None and address and deadline.remaining() > PROBE_S:
            try:
                reached[node] = probe(parse(address), found, names.root, config.node, PROBE_S) == node
            except ValueError:
                reached[node] = False
    beside = tuple(node for node, at in members.items() if leader and at and host_of(at) in leader.hosts)
    return PeerFacts(there, found is not None, members, reached, beside, _no_host_id(config))


def probe(address: PeerAddress, group_key: bytes, root: str, node: str, within_s: float) -> str | None:
    """Return the name of the member that answers at an address, None when none does within `within_s` seconds."""
    group, instance = wire.tag(root, group_key), secrets.token_hex(8)
    family = socket.AF_INET6 if address.six else socket.AF_INET
    with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.connect(tuple(address))
        for number in range(TRIES):
            deadline = Deadline(within_s / TRIES)
            sock.send(wire.encode(Probe(instance, number, node), group, group_key))
            while (left := deadline.remaining()) > 0:
                sock.settimeout(left)
                with suppress(DatagramError, TimeoutError):
                    said = wire.decode(sock.recv(wire.LONGEST + 1), group, group_key)
                    if isinstance(said, Probe) and said.echo and said.instance == instance:
                        return said.node
    return None


def _no_host_id(config: Config) -> str:
    try:
        read_id(config.peers.state_dir)
    except FileNotFoundError:
        return f"{config.peers.state_dir} has none yet"
    except (OSError, ValueError) as error:
        return str(error)
    return ""


def check(facts: PeerFacts, config: Config) -> Iterator[Finding]:
    """Judge all of it. None is a fault: without peers the group is as safe, and slower."""
    if not config.peers.on:
        yield skipped("peers", "peers.mode is off")
        return
    if facts.error:
        yield unknown("peers", facts.error, "see the checks of etcd")
        return
    if facts.no_host_id:
        remedy = "start the agent once, or make peers.state_dir writable for it (on disk, one for each host)"
        yield warn("peers_host_id", f"this host has no id that it keeps: {facts.no_host_id}", remedy)
    else:
        yield ok("peers_host_id", "this host keeps an id")
    if facts.key_there and not facts.key_good:
        yield warn("peers_key", "peers-key holds no key", "delete it: an agent makes a new one")
        return
    if not facts.key_there:
        yield unknown("peers_key", "the group has no key yet", "start an agent; deploy/etcd/access.sh grants the right")
        return
    yield ok("peers_key", "the key of the group can be read")
    yield _path(facts)
    yield _beside(facts, config)


def _path(facts: PeerFacts) -> Finding:
    mute = sorted(node for node, address in facts.members.items() if not address)
    lost = sorted(node for node, reached in facts.reached.items() if not reached)
    if lost:
        told = ", ".join(f"{node} ({facts.members[node]})" for node in lost)
        return warn("peers_path", f"no datagram comes back from {told}", _PORT)
    if mute:
        remedy = "see their logs for peers.listen, or set peers.mode there"
        return warn("peers_path", f"{', '.join(mute)} told no address for datagrams", remedy)
    others = sorted(facts.reached)
    if not others:
        return unknown("peers_path", "no other member is there", "start the other agents, and run doctor on each host")
    return ok("peers_path", f"datagrams reach {', '.join(others)} and come back; try it on each host")


def _beside(facts: PeerFacts, config: Config) -> Finding:
    beside = sorted(set(facts.beside) - {config.node})
    if not beside:
        return ok("peers_etcd_leader", "etcd's leader runs on no other member's host, as far as addresses tell")
    remedy = "set peers.move_etcd_leader, or give etcd hosts of its own: such a member is not named, and E is long"
    return warn("peers_etcd_leader", f"etcd's leader runs beside {', '.join(beside)}", remedy)
