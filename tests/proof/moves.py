"""What may happen next in the whole world: inside hosts, between them and the store, by operators, by time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from agent.core.leadership import events as ev
from agent.core.model.copying import replace
from agent.core.model.operator import Override, Switchover
from agent.core.model.records import GroupView, HeartbeatKey
from tests.proof.host import FOREVER, Fed, core_peered, feed, reads_chain, told
from tests.proof.world import GARBAGE, NOBODY, Host, Store, end_lease, put, transact


class Deal(NamedTuple):
    """What may happen between one host and the store."""

    label: str
    fault: str
    host: Host
    store: Store


def deals(host: Host, store: Store) -> Iterator[Deal]:
    """Yield what may happen between a host and the store: a request served, news heard, a lease seen."""
    request = host.request
    if request is not None and request.answer is None:
        after, answer = transact(store, request.wish, request.number)
        kind = request.wish.kind
        if kind == "take" and isinstance(answer, ev.Applied):  # whoever finds the heartbeat held waits for no block
            host = replace(host, nodeos=replace(host.nodeos, rogue=False))
        if not host.stalled and not host.cut and host.clock < request.due:
            fed = told(f"{kind}: {_verdict(answer)}", feed(replace(host, request=None), answer))
            yield Deal(fed.label, "", fed.host, after)
        fault = "" if host.cut or host.stalled or request.slow else "net"
        mute = replace(host, request=replace(request, slow=True, answer=answer))
        yield Deal(f"{kind}: {_verdict(answer)}, the answer is late", fault, mute, after)
    if host.core is None or host.stalled:
        return
    if host.news and not host.cut:
        heard = told("hears of the store", _hears(host, store))
        yield Deal(heard.label, "", heard.host, store)
        if host.news == "new":
            yield Deal("hears late of the store", "net", replace(host, news="late"), store)
    if not host.cut:
        yield from _lease_deals(host, store)


def _hears(host: Host, store: Store) -> Fed:
    fed = feed(replace(host, news=""), ev.StoreSeen(_read(host, store)))
    if store.forgot:
        return fed
    after = reads_chain(fed.host, newer=False)  # nobody has led since a release
    return Fed(after.host, fed.said + after.said)


def forgettings(store: Store, known: int) -> Iterator[tuple[str, str, Store]]:
    """Yield how the store may lose what it knew: (label, class of fault, the store after it).

    Its id may stay the same only where every agent has seen a revision above the one that it goes back to: `known`.
    """
    if store.snapshot is None and not store.forgot:
        yield "a snapshot of etcd is saved", "store", replace(store, snapshot=store)
    ways = [("etcd loses its data", Store(keyed=store.keyed))]
    if store.snapshot is not None:
        ways.append(("etcd is restored from the snapshot", store.snapshot))
    for label, left in ways:
        left = replace(left, snapshot=None, forgot=True)
        yield f"{label}, with a new id", "store", replace(left, cluster=store.cluster + 1)
        if known > left.revision:
            yield f"{label}, with its old id", "store", replace(left, cluster=store.cluster)


def _read(host: Host, store: Store) -> GroupView:
    """Return what a reader sees who asks now: later, within this tick, than whatever was known."""
    return store.view(asked=host.clock + 1)


def _verdict(answer: ev.Event) -> str:
    return type(answer).__name__.lower()


def _lease_deals(host: Host, store: Store) -> Iterator[Deal]:
    assert host.core is not None
    lease = host.core.lease
    if lease is not None and lease not in store.leases:
        seen = told("sees its lease gone", feed(host, ev.LeaseSeen(None)))
        yield Deal(seen.label, "", seen.host, store)
    elif lease is None:
        # a lease of its own, never used before: nothing else in the world still names it
        fresh = new_lease(host, store)
        seen = told("has a lease", feed(host, ev.LeaseSeen(fresh)))
        # by its own clock it may live for ever: an agent hears that it is gone, or finds it so
        if core_peered(host) and seen.host.core is not None:
            seen = seen._replace(host=feed(seen.host, ev.LeaseKept(fresh, FOREVER)).host)
        yield Deal(seen.label, "", seen.host, replace(store, leases=tuple(sorted((*store.leases, fresh)))))


def new_lease(host: Host, store: Store) -> int:
    """Return a lease number of this host that is not alive."""
    base = 100 * (1 + ord(host.name[0]) - ord("a"))
    used = [each for each in store.leases if base < each < base + 100]
    if store.leader is not None and base < store.leader.lease < base + 100:
        used.append(store.leader.lease)
    known = host.core.tenure.lease if host.core and host.core.tenure else 0
    return max([base + 50 * store.forgot, known, host.file.lease if host.file else 0, *used]) + 1


def words(store: Store, names: tuple[str, ...], holder_dead: bool) -> Iterator[tuple[str, str, Store]]:
    """Yield what operators may say: (label, class of fault, the store after it)."""
    for name in names:
        yield f"put leader {name}", "word", put(store, leader=name)
        if store.override is None:
            yield f"put override {name}", "word", put(store, override=Override(name))
        if store.switchover is None:
            yield f"put switchover {name}", "word", put(store, switchover=Switchover(name))
    if store.override is None:
        yield "put override none", "word", put(store, override=Override(None))
    else:
        yield "del override", "", put(store, override=None)
    if store.maintenance is None:
        yield "put maintenance", "word", put(store, maintenance="why")
    else:
        yield "del maintenance", "", put(store, maintenance=None)
    if store.switchover is not None:
        yield "del switchover", "word", put(store, switchover=None)
    if store.leader is not None:
        yield "del leader", "word", put(store, leader=None)
    if store.leader is None or store.leader.name is not None:
        yield "put leader garbage", "word", put(store, leader=GARBAGE)
    if store.leader is None or store.leader.name != NOBODY:
        yield "put leader nobody", "word", put(store, leader=NOBODY)
    if store.heartbeat is not None and store.heartbeat.record is not None:
        forged = replace(store.heartbeat.record, released=True)
        yield "put heartbeat released", "word", put(store, heartbeat=HeartbeatKey(forged, store.revision + 1))
        forged = replace(store.heartbeat.record, epoch=store.heartbeat.record.epoch + 1, instance="hand", validity_ms=1)
        yield "put heartbeat of another epoch", "word", put(store, heartbeat=HeartbeatKey(forged, store.revision + 1))
        forged = replace(store.heartbeat.record, seq=store.heartbeat.record.seq + 1, validity_ms=1)
        yield "put heartbeat of less validity", "word", put(store, heartbeat=HeartbeatKey(forged, store.revision + 1))
    if store.heartbeat is not None and store.heartbeat.record is not None:
        yield "put heartbeat garbage", "word", put(store, heartbeat=GARBAGE)
    if store.heartbeat is not None and holder_dead:
        yield "del heartbeat (the old leader is dead, I looked)", "word", put(store, heartbeat=None)
    for lease in store.leases:
        yield f"lease {lease} ends", "lease", end_lease(store, lease)


def news(host: Host) -> Host:
    """Return a host that has yet to hear of a change of the store."""
    return host if host.core is None or host.news else replace(host, news="new")
