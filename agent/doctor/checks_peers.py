"""Whether the members can be each other's witnesses: key, addresses, the way between them, etcd's leader, the id."""

from __future__ import annotations

from collections.abc import Iterator

from agent.config.model import Config
from agent.doctor.facts import PeerFacts
from agent.doctor.finding import Finding, ok, skipped, unknown, warn

_PORT = "let UDP to the port of peers.listen (9878) pass between the hosts, both ways; without it E is long, as before"


def peers(facts: PeerFacts, config: Config) -> Iterator[Finding]:
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
