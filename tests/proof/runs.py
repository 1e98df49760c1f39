"""The searches by name: which worlds, which faults, how many. Nothing is searched here."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from agent.core.leadership.timing import GateMode, PeersMode, Timing
from tests.proof.engine import Engine
from tests.proof.gate import SignGate
from tests.proof.host import FOREVER, Rules
from tests.proof.liveness import Afterwards, adopted, bound, same_leader
from tests.proof.parts import Budget, Compact
from tests.proof.search import Found, search


class Ticks(Timing):
    """Spans in ticks."""

    __slots__ = ()

    @property
    def lease(self) -> int:
        """How long a lease may live after a keepalive."""
        return self.lease_ttl


TICKS = Ticks(
    validity=10,
    renew=1,
    pause=1,
    block=1,
    kill=1,
    slack=1,
    request=2,
    resume=2,
    nomination=5,
    rank_step=1,
    fair_chance=3,
    catch_up=1,
    election=1,
    lease_ttl=11,
)
"""The spans in ticks: E 10, A 3, R 1, so that a leader has seven ticks to confirm. With a gate A is 2."""
PEERED = {"peers": PeersMode.FAILSAFE, "validity": 8, "peers_validity": 5, "beat": 1}
"""What differs with peers: E 8, E_s 5. Promises count for as long as etcd is away: `lease` allows less."""
GATES = {
    "required": (GateMode.REQUIRED, SignGate()),
    "on": (GateMode.ON, SignGate(honest=True)),
    "key": (GateMode.ON, SignGate(honest=True, keyed=True)),
}
"""Worlds with a gate. `required`: pauses prove nothing, nothing can be killed, no guard stands by, agents freeze for
any time. `on`: all of that holds as without a gate. `key`: the same, but nodeos has the key itself, the gate no say."""


def engine(
    budget: Budget,
    *,
    names: tuple[str, ...] = ("a", "b"),
    guard: bool = True,
    eager: bool = True,
    timing: dict[str, int] | None = None,
    gate: str = "",
    live: int = 0,
    peers: bool = False,
    lasting: bool = False,
    off: str = "",
) -> Engine:
    """Return an engine over nodes that rank alike; `gate` names one of `GATES`, empty: there is none."""
    more: dict[str, Any] = {**(PEERED if peers else {}), **(timing or {})}
    ranks = dict.fromkeys(names, 0)
    if not gate:
        rules = Rules(replace(TICKS, **more), ranks, guard=guard, eager=eager, live=live, lasting=lasting, off=off)
        return Engine(rules, budget)
    mode, first = GATES[gate]
    spans = replace(TICKS, gate=mode, **{"gate_close": 1, **more})
    bare = mode is GateMode.REQUIRED
    stall = FOREVER if bare else 1
    return Engine(
        Rules(spans, ranks, guard=guard and not bare, stall=stall, eager=eager, gate=first, kill=not bare), budget
    )


def hunt(
    script: tuple[str, ...],
    *,
    calm: bool = True,
    guard: bool = True,
    eager: bool = True,
    timing: dict[str, int] | None = None,
    gate: str = "",
    limit: int = 200_000,
    peers: bool = False,
    names: tuple[str, ...] = ("a", "b"),
    deaf: str = "",
    off: str = "",
    alone: int = 0,
) -> Found:
    """Search with a few faults alone, in this order, each at any moment.

    With `peers` the network stays cut where it is cut. `deaf`: that host never hears its peers; `off`: it has none.
    `alone`: begin when the leader names all others, and the first hosts, so many, have lost etcd.
    """
    budget = Budget(len(script), script=script, ghosts=1 if peers else 3)
    found = engine(
        budget, names=names, guard=guard, eager=eager, timing=timing, gate=gate, peers=peers, lasting=peers, off=off
    )
    start = found.calm() if calm else found.ready()
    start = found.deaf(start, deaf) if deaf else start
    return search(found, limit, found.alone(found.steady(start, bool(deaf or off)), alone) if alone else start)


def with_peers(faults: int, limit: int, names: tuple[str, ...] = ("a", "b"), only: tuple[str, ...] = ()) -> Found:
    """Search what so many faults lead to where the heartbeat of the leader names the others (R13 to R17)."""
    found = engine(Budget(faults, only=only), names=names, peers=True)
    return search(found, limit, found.steady())


SILENT = ("etcd is away", "a: hears no peers", "b: hears no peers", "a: a promise", "b: a beat", "a: etcd's leader")
"""Faults that must cost a leader with peers nothing, one at a time (P3)."""


def peers_change_nothing(names: tuple[str, ...], limit: int) -> Found:
    """Search what one of these faults leads to, with E_s long enough for etcd to confirm in place of a promise (P3)."""
    found = engine(Budget(1, only=SILENT), names=names, peers=True, timing={"validity": 10, "peers_validity": 7})
    return search(found, limit, found.steady(), lambda world: same_leader(found, world))


FAULTS = ("a: ", "b: ", "c: ", "lease ", "time passes, but")
"""All but the words of operators: whoever puts `leader` or `override` says that nobody else signs (R18)."""


def installing(
    *rogues: int, faults: int = 0, names: tuple[str, ...] = ("a", "b"), limit: int = 200_000, strict: bool = True
) -> Found:
    """Search how agents are installed beside nodeos that produce already, those at `rogues` (R18, R19).

    The agents start in any order, at any time. Without a fault a single producer is never paused.
    `strict`: see R19 kept in each world, beside P1, R5, R8 and R18.
    """
    found = engine(Budget(faults, only=FAULTS), names=names, live=max(1, len(rogues)))
    alone = rogues[0] if len(rogues) == 1 and not faults else None
    return search(found, limit, found.live(*rogues), (lambda world: adopted(found, world, alone)) if strict else None)


DELAYS = ("a: confirm is slow", "a: confirm: applied, the answer is late", "a: hears late", "b: hears late")
"""Faults of messages that must cost a leader nothing (P3)."""


def nothing_wrong(names: tuple[str, ...], gate: str = "") -> Found:
    """Search what may happen without a fault: the leader may not change (P3)."""
    found = engine(Budget(0), names=names, gate=gate)
    return search(found, 10_000, check=lambda world: same_leader(found, world))


def slow_messages() -> Found:
    """Search what two messages may do that come late: the leader may not change (P3)."""
    found = engine(Budget(2, only=DELAYS))
    return search(found, 50_000, check=lambda world: same_leader(found, world))


FORGETTING = (
    ("a snapshot", "etcd is restored"),
    ("a: confirm", "a snapshot", "etcd is restored"),
    ("a snapshot", "b: is cut off", "etcd is restored"),
    ("a snapshot", "etcd is restored", "a: is cut off"),
    ("b: is cut off", "etcd loses"),
    ("a: is cut off", "etcd loses"),
    ("a: the agent dies", "etcd loses"),
)
"""Faults among which the store forgets (R20)."""


FORGETTING_PEERS = (("etcd loses",), ("etcd is away", "etcd loses"))
"""The same where the promises of its peers hold the leader."""


def forgetting_peers(script: tuple[str, ...], limit: int) -> Found:
    """Search how a store forgets a leader that names the others (R20)."""
    found = engine(Budget(len(script), script=script, ghosts=2), peers=True)
    return search(found, limit, found.steady())


RESTORING = (
    ("etcd is restored", "a: is cut off"),
    ("a: is cut off", "etcd is restored"),
    ("etcd is restored", "a: "),
    ("etcd is restored", "b: "),
)
"""Faults by which agents that start meet a snapshot which says `released`, beside a leader of before (R20)."""


def restoring(script: tuple[str, ...], limit: int = 200_000) -> Found:
    """Search how agents start while a snapshot is restored that says `released`, and another leads (R20)."""
    found = engine(Budget(len(script), script=script))
    return search(found, limit, found.snapped())


BESIDE = ("etcd is restored", "c: the agent dies")
"""Faults by which an agent that starts meets a list of before, beside a leader that another one's promises hold."""


def restored_beside_promises(script: tuple[str, ...], limit: int = 200_000) -> Found:
    """Search how a store is restored, from before the leader named a peer, while the two are cut off from it (R20).

    The third member was not named, for it hears no beats; by the snapshot anybody may take over.
    """
    found = engine(Budget(len(script), script=script, ghosts=1), names=("a", "b", "c"), peers=True, lasting=True)
    begun = found.deaf(found.calm(), "c")
    return search(found, limit, found.alone(found.saved(found.steady(begun, 1), begun), 2))


def one_fault(names: tuple[str, ...], only: tuple[str, ...] = (), gate: str = "") -> tuple[Found, Afterwards]:
    """Search every world that one fault leads to (P1), and every course from there on when it is over (P2)."""
    rules = engine(Budget(1, only=only, ghosts=99), names=names, gate=gate)
    worlds: list[Compact] = []

    def keep(world: Compact) -> tuple[str, ...]:
        worlds.append(world)
        return ()

    found = search(rules, 500_000, check=keep)
    return found, Afterwards(rules, worlds, bound(rules.rules.timing, anew=bool(gate)))
