"""The kinds of fault that there are, as data: those of every run, and those of runs with signing gates. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from agent.core.leadership.timing import Timing

VALIDITY = Timing().validity / 1000
"""E in seconds; faults last for up to 3 E."""
LONG = 3 * VALIDITY
AWAY = (1.0, 180.0)
"""Seconds for which etcd has no quorum."""
JOINT_STALL = 1.5
"""Seconds for which agent, guard and nodeos of a host may be frozen together.

Between two confirmations lie R + one request, 1.5 s; after a stall of 1.5 s more still 1.9 s are left before the stop
is due, E - A = 4.9 s after the confirmation.
"""
MEMBERS = ("etcd-1", "etcd-2", "etcd-3")
TOGETHER = (
    "agent+guard",
    "agent+guard+gate",
    "agent+gate",
    "gate+keosd",
    "nodeos+gate",
    "nodeos+keosd",
    "nodeos+agent+guard",
    "nodeos+agent+guard+gate+keosd",
)
"""Parts of a host that stop at once, where gates sign: nothing rests on who is left then."""
SIGNERS = ("nodeos", "nodeos", "nodeos+agent+guard", "nodeos+gate", "nodeos+agent+guard+gate+keosd")
"""The same of whichever host signs, for long enough to lose the lead: what it does when it thaws is the question."""


@dataclass(frozen=True)
class Kind:
    """A kind of fault. `{t}` in `parts` is the target: a host, an etcd member, or nothing.

    lengths  seconds, shortest and longest, drawn so that each order of magnitude is alike; (0, 0): over at once
    parts    what it occupies: two faults that need one part never overlap; `x:*` is every `x`
    tail     seconds for which its parts stay occupied after its end, because they recover
    choices  of which one is drawn
    costs    whose slots it may cost: "nobody", the "leader" when it is its host, the whole "group", or that
             beside another fault (a "pair")
    """

    name: str
    scope: str
    lengths: tuple[float, float]
    parts: tuple[str, ...]
    costs: str
    weight: float = 1.0
    tail: float = 3.0
    choices: tuple[str, ...] = ("",)


_AGENT = ("agent:{t}", "guard:{t}")  # a fault of either occupies both: they are never down together
_AGENTS = ("agent:*", "guard:*")
_HOST = (*_AGENT, "nodeos:{t}")
_WHOLE = (*_HOST, "gate:{t}", "keosd:{t}")
_ALL = tuple(part.format(t="*") for part in _WHOLE)
_CALM = (*_HOST, "etcd:*", "etcd-link:{t}", "file:{t}")
_SHIFTS = ("+0.4", "-0.4", "+1.5", "-1.5", "+5", "-5")
_WAYS = ("both", "in", "out")
_SPARED = tuple(f"{how} {member}" for how in ("killed", "frozen") for member in MEMBERS)


def _kinds() -> Iterator[Kind]:
    yield Kind("nodeos-killed", "host", (0.1, 8), ("nodeos:{t}",), "leader", 1.5)
    yield Kind("nodeos-frozen", "host", (0.1, LONG), ("nodeos:{t}",), "leader", 1.5)
    yield Kind("nodeos-restarted", "host", (0, 0), ("nodeos:{t}",), "leader")
    yield Kind("nodeos-unpaused", "host", (0, 0), _HOST, "leader", 0.7)
    yield Kind("agent-killed", "host", (0.1, LONG), _AGENT, "leader", 1.5)
    yield Kind("agent-frozen", "host", (0.1, LONG), _AGENT, "leader", 1.5)
    yield Kind("agent-restarted", "host", (0, 0), _AGENT, "leader")
    yield Kind("guard-killed", "host", (0, 0), _AGENT, "nobody")
    yield Kind("guard-frozen", "host", (0.1, LONG), _AGENT, "nobody")
    yield Kind("host-stalled", "host", (0.1, JOINT_STALL), _CALM, "leader", tail=2.0)
    yield Kind("host-lost", "host", (1, 12), _WHOLE, "leader")
    yield Kind("etcd-cut", "host", (0.1, LONG), ("etcd-link:{t}",), "leader", 1.5, choices=_WAYS)
    one = tuple(f"{number} {way}" for number in (1, 2, 3) for way in _WAYS)
    yield Kind("etcd-one-cut", "host", (0.1, LONG), ("etcd-link:{t}",), "leader", choices=one)
    yield Kind("host-cut", "host", (0.1, 12), ("etcd-link:{t}", "p2p:*"), "leader", choices=_WAYS)
    yield Kind("host-flapping", "host", (5, 25), ("etcd-link:{t}", "p2p:*"), "leader")
    yield Kind("host-narrow", "host", (1, 15), ("etcd-link:{t}", "p2p:*"), "leader")
    yield Kind("etcd-lossy", "host", (1, 15), ("etcd-link:{t}",), "leader", choices=("0.05", "0.2", "0.4"))
    yield Kind("etcd-delayed", "host", (1, 15), ("etcd-link:{t}",), "leader", choices=("0.05", "0.2", "0.4", "0.8"))
    yield Kind("p2p-cut", "host", (0.5, 12), ("p2p:*",), "leader", choices=_WAYS)
    yield Kind("p2p-delayed", "host", (1, 15), ("p2p:*",), "leader", choices=("0.05", "0.3", "1"))
    yield Kind("p2p-one-cut", "host", (0.5, 12), ("p2p:*",), "leader", choices=one)
    yield Kind("p2p-lossy", "host", (1, 15), ("p2p:*",), "leader", choices=("0.05", "0.2", "0.4"))
    yield Kind("udp-cut", "host", (0.5, LONG), ("p2p:*",), "pair", 2.0, choices=one)
    yield Kind("udp-lossy", "group", (1, 30), ("p2p:*",), "pair", 2.0, choices=("0.3", "0.3", "0.7"))
    yield Kind("udp-late", "group", (1, 15), ("p2p:*",), "pair", choices=("0.2", "1", "3"))
    yield Kind("udp-shuffled", "group", (1, 15), ("p2p:*",), "pair", choices=("0.3", "1.5"))
    yield Kind("udp-doubled", "group", (1, 30), ("p2p:*",), "pair")
    yield Kind("udp-replayed", "group", (2, 30), ("p2p:*",), "pair", 2.0)
    yield Kind("udp-forged", "group", (1, 20), ("p2p:*",), "pair", 1.5)
    yield Kind("promiser-frozen", "group", (0.1, LONG), ("p2p:*", *_AGENTS), "pair", 1.5)
    yield Kind("promiser-frozen-cut", "group", (1, LONG), ("p2p:*", "etcd-link:*", *_AGENTS), "group", 1.5)
    yield Kind("node-clock-jumped", "host", (1, 8), _HOST, "group", 0.7, tail=5.0, choices=_SHIFTS)
    jumps = ("+3600", "-3600", "+7", "-7", "+86400")
    yield Kind("clock-jumped", "host", (1, 15), ("clock:{t}",), "nobody", tail=2.0, choices=jumps)
    yield Kind("file-failed", "host", (0.5, 10), ("file:{t}",), "leader")
    yield Kind("etcd-killed", "etcd", (0.1, LONG), ("etcd:{t}",), "pair", 1.5)
    yield Kind("etcd-frozen", "etcd", (0.1, LONG), ("etcd:{t}",), "pair", 1.5)
    yield Kind("etcd-muted", "etcd", (0.1, LONG), ("etcd:{t}",), "pair")
    yield Kind("etcd-pair-cut", "etcd", (0.1, LONG), ("etcd:*",), "pair", choices=one)
    yield Kind("etcd-peers-delayed", "etcd", (1, 12), ("etcd:{t}",), "pair", choices=("0.02", "0.1", "0.4"))
    yield Kind("etcd-disk-slow", "etcd", (1, 12), ("etcd:{t}",), "pair", choices=("0.05", "0.3", "1", "3"))
    yield Kind("etcd-replaced", "etcd", (0, 0), ("etcd:*",), "pair", 0.5, tail=5.0)
    yield Kind("etcd-away", "group", AWAY, ("etcd:*",), "pair", 3.0, tail=5.0, choices=_SPARED)
    yield Kind("etcd-away-host-lost", "host", AWAY, ("etcd:*", *_WHOLE), "group", 2.0, tail=5.0, choices=_SPARED)
    yield Kind("etcd-split", "group", (0.5, 10), ("etcd:*",), "group", 0.7)
    yield Kind("etcd-nospace", "group", (1, 8), ("etcd:*",), "group", 0.7, tail=5.0)
    yield Kind("etcd-compacted", "group", (0, 0), ("compaction",), "nobody", 0.7, tail=0.0)
    yield Kind("leader-put", "host", (0, 0), ("words",), "group", 1.5)
    yield Kind("leader-put-nobody", "group", (0, 0), ("words",), "group", 0.5)
    yield Kind("leader-garbled", "group", (0, 0), ("words",), "group", 0.5)
    yield Kind("leader-deleted", "group", (0, 0), ("words",), "group")
    yield Kind("override-named", "host", (2, 10), ("words",), "group")
    yield Kind("override-none", "group", (2, 6), ("words",), "group", 0.7)
    yield Kind("lease-revoked", "group", (0, 0), ("words",), "group", 0.7)
    yield Kind("heartbeat-garbled", "group", (0, 0), ("words",), "group", 0.5)
    yield Kind("drain", "host", (2, 10), ("words",), "group", 0.7)
    yield Kind("override-garbled", "group", (1, 6), ("words",), "nobody", 0.4)
    yield Kind("override-reasoned", "host", (2, 8), ("words",), "group", 0.7)
    yield Kind("switchover", "host", (0, 0), ("words",), "group", choices=("now", "gap"))
    yield Kind("nodeos-resumed", "host", (0, 0), _HOST, "leader", 0.7)
    yield Kind("nodeos-paused", "host", (0, 0), _HOST, "leader", 0.7, tail=8.0)
    yield Kind("maintenance", "group", (1, 10), ("words",), "group", 0.7)


def _gate_kinds() -> Iterator[Kind]:
    yield Kind("gate-frozen", "host", (0.1, LONG), ("gate:{t}",), "leader", 2.5)
    yield Kind("gate-killed", "host", (0.1, LONG), ("gate:{t}",), "leader", 2.5)
    yield Kind("keosd-frozen", "host", (0.1, LONG), ("keosd:{t}",), "leader", 2.0)
    yield Kind("keosd-killed", "host", (0.1, LONG), ("keosd:{t}",), "leader", 2.0)
    yield Kind("parts-frozen", "host", (0.1, LONG), _WHOLE, "leader", 5.0, choices=TOGETHER)
    yield Kind("parts-killed", "host", (0.1, LONG), _WHOLE, "leader", 4.0, choices=TOGETHER)
    yield Kind("signer-frozen", "group", (4, LONG), _ALL, "group", 16.0, choices=SIGNERS)
    yield Kind("pause-lies", "host", (1, LONG), (*_WHOLE, "words"), "group", 4.0, choices=("unpaused", "paused"))


_MORE = {"nodeos-frozen": 5.0, "nodeos-resumed": 5.0, "nodeos-killed": 2.0, "agent-killed": 2.5, "agent-frozen": 2.5}
"""Weights of kinds that a gate is there for."""
PLAIN = {kind.name: kind for kind in _kinds()}
GATED = {name: replace(kind, weight=_MORE.get(name, kind.weight)) for name, kind in PLAIN.items()} | {
    kind.name: kind for kind in _gate_kinds()
}
KINDS = GATED | PLAIN
"""All of them; what a kind costs and occupies does not depend on gates."""
