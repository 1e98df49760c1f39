"""Trying what the peers rest on: the key of the group, the way to each member, where etcd's leader runs."""

from __future__ import annotations

from agent.config.model import Config
from agent.core.model.keys import keys
from agent.core.model.records import read_group
from agent.doctor.facts import PeerFacts
from agent.doctor.gather_etcd import options
from agent.errors import StoreError
from agent.etcd.leader import EtcdLeadership
from agent.host.deadline import Deadline
from agent.peers import key
from agent.peers.address import parse
from agent.peers.host_id import read_id
from agent.peers.probe import probe

PROBE_S = 0.9
"""For one member: three tries."""


def gather(config: Config, within_s: float) -> PeerFacts:
    """Try all of it within `within_s` seconds; nothing is written."""
    if not config.peers.on:
        return PeerFacts()
    deadline, names = Deadline(within_s), keys(config.etcd.prefix, config.group)
    store = EtcdLeadership(options(config))
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
    beside = tuple(node for node, at in members.items() if leader and at and parse_host(at) in leader.hosts)
    return PeerFacts(there, found is not None, members, reached, beside, _no_host_id(config))


def parse_host(address: str) -> str:
    """Return the host of an address, empty when it is none."""
    try:
        return parse(address).host
    except ValueError:
        return ""


def _no_host_id(config: Config) -> str:
    try:
        read_id(config.peers.state_dir)
    except FileNotFoundError:
        return f"{config.peers.state_dir} has none yet"
    except (OSError, ValueError) as error:
        return str(error)
    return ""
