"""Asking etcd: each member by itself, then the cluster. What it writes is taken back, or can never be applied."""

from __future__ import annotations

import re
import ssl
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

from agent.config.model import Config
from agent.core.model.copying import replace
from agent.core.model.keys import Keys, keys
from agent.core.model.store import Compare, Put, Txn
from agent.errors import ConfigError, StoreError, StoreRejected
from agent.etcd.connection import EtcdOptions
from agent.etcd.info import EtcdMember, EtcdServer, member_list, server_info
from agent.etcd.store import EtcdStore
from agent.host.deadline import Deadline
from agent.host.small_file import read_whole
from agent.net.dial import dial
from agent.net.endpoint import parse_endpoint
from agent.net.http import LARGE, call
from agent.net.resolver import Resolver
from agent.net.tls import not_after, of_pem, tls_context
from agent.runtime.credentials import etcd_options

READS = 5
NEVER = 2**62
"""A mod revision that no key will have: a transaction that asks for it is never applied."""
ONE_S = 2.0
"""For one question to one member."""
_METRIC = re.compile(r"^([a-z_]+)(?:\{([^}]*)\})? (\S+)$", re.MULTILINE)
DAY_S = 86400


@dataclass(frozen=True, slots=True)
class EtcdFacts:
    """The cluster. `round_trips_s`: how long linearizable reads took; `least_ttl_s`: the smallest lease that it grants.

    refused   what our user may not write though the agent must
    too_much  what it may write though the agent need not
    unread    why it cannot read the group as a whole
    certificates  days until each file of ours runs out, by setting
    """

    servers: tuple[EtcdServer, ...] = ()
    members: tuple[EtcdMember, ...] | None = None
    members_error: str = ""
    revision: int = 0
    round_trips_s: tuple[float, ...] = ()
    error: str = ""
    least_ttl_s: int | None = None
    refused: tuple[str, ...] | None = None
    too_much: tuple[str, ...] = ()
    unread: str = ""
    certificates: Mapping[str, float] = field(default_factory=dict)


def options(config: Config) -> EtcdOptions:
    """Return how to reach etcd."""
    return etcd_options(config.etcd, keys(config.etcd.prefix, config.group).root)


def servers(config: Config, within_s: float) -> tuple[EtcdServer, ...]:
    """Ask every endpoint by itself; one that hangs costs ONE_S."""
    deadline = Deadline(within_s)
    try:
        endpoints = options(config).members(deadline)
    except StoreError as error:
        return (EtcdServer(config.etcd.discovery_srv or "", str(error)),)
    return tuple(_server(config, endpoint, deadline) for endpoint in endpoints)


def _server(config: Config, endpoint: str, deadline: Deadline) -> EtcdServer:
    try:
        found = server_info(options(config), endpoint, min(ONE_S, max(0.1, deadline.remaining())))
    except (StoreError, ConfigError) as error:
        return EtcdServer(endpoint, str(error))
    return _measured(config, found, Deadline(min(ONE_S, max(0.1, deadline.remaining()))))


def _measured(config: Config, found: EtcdServer, deadline: Deadline) -> EtcdServer:
    """Add what only the metrics and the TLS handshake tell."""
    where = found.endpoint if "://" in found.endpoint else f"http{'s' if config.etcd.tls else ''}://{found.endpoint}"
    try:
        endpoint, context = parse_endpoint(where), _context(config)
        answer = call(endpoint, "/metrics", deadline.left(), context=context, method="GET", most=LARGE)
        found = measured(found, answer.body.decode(errors="replace"))
        if context is None:
            return found
        with dial(endpoint, deadline, Resolver(), context) as sock:
            der = sock.getpeercert(binary_form=True) if isinstance(sock, ssl.SSLSocket) else None
        return replace(found, certificate_days=_days(not_after(der)) if der else None)
    except (ConfigError, OSError, ValueError) as error:
        return replace(found, metrics_error=f"{found.endpoint}: {error}")


def _context(config: Config) -> ssl.SSLContext | None:
    etcd = config.etcd
    if not etcd.tls:
        return None
    context = tls_context(etcd.ca_file)
    if etcd.cert_file and etcd.key_file:
        context.load_cert_chain(etcd.cert_file, etcd.key_file)
    return context


def measured(found: EtcdServer, text: str) -> EtcdServer:
    """Return a server with what its /metrics say. Pure."""
    plain: dict[str, float] = {}
    buckets: dict[float, float] = {}
    for name, labels, value in _METRIC.findall(text):
        if name == "etcd_disk_wal_fsync_duration_seconds_bucket" and (at := re.search(r'le="([^"]+)"', labels)):
            buckets[float(at[1].replace("+Inf", "inf"))] = float(value)
        elif not labels:
            plain[name] = float(value)
    quota = plain.get("etcd_server_quota_backend_bytes")
    compacted = plain.get("etcd_debugging_mvcc_compact_revision")
    return replace(
        found,
        quota=int(quota) if quota else None,
        compacted=int(compacted) if compacted is not None else None,
        fsync_s=percentile(buckets),
    )


def percentile(buckets: dict[float, float], share: float = 0.99) -> float | None:
    """Return the upper bound of the histogram's bucket that holds the percentile; None without observations."""
    total = max(buckets.values(), default=0.0)
    if not total:
        return None
    return min(bound for bound, count in buckets.items() if count >= share * total)


def cluster(config: Config, within_s: float) -> EtcdFacts:
    """Ask the cluster: members, round trips, the least lease, our rights; and read our certificates."""
    deadline = Deadline(within_s)
    store = EtcdStore(options(config))
    names = keys(config.etcd.prefix, config.group)
    facts = EtcdFacts(certificates=certificates(config))
    try:
        facts = _timed(store, names, facts, deadline)
        facts = _allowed(store, names, config, facts, deadline)
        lease = store.grant(1, min(2.0, deadline.left()))  # what is the least that we get?
        store.revoke(lease.id, min(2.0, deadline.left()))
        facts = replace(facts, least_ttl_s=lease.ttl)
    except (StoreError, OSError) as error:
        facts = replace(facts, error=str(error))
    finally:
        store.close()
    try:
        return replace(facts, members=member_list(options(config), min(ONE_S, max(0.1, deadline.remaining()))))
    except (StoreError, ConfigError) as error:
        return replace(facts, members_error=str(error))


def _timed(store: EtcdStore, names: Keys, facts: EtcdFacts, deadline: Deadline) -> EtcdFacts:
    revision, spans = store.range(names.leader, min(3.0, deadline.left())).revision, []
    for _ in range(READS):
        begin = time.monotonic()
        revision = store.range(names.leader, min(2.0, deadline.left())).revision
        spans.append(time.monotonic() - begin)
    return replace(facts, revision=revision, round_trips_s=tuple(spans))


def _allowed(store: EtcdStore, names: Keys, config: Config, facts: EtcdFacts, deadline: Deadline) -> EtcdFacts:
    """Try what we may write, and whether we can read the keys of the group as a whole, as the agent reads them."""
    needed = {
        "leader": names.leader,
        "heartbeat": names.heartbeat,
        "members/": names.member(config.node),
        "history/": names.history(0),
        "switchover": names.switchover,
        "answer": names.answer,
        "format": names.format,
        "peers-key": names.peers_key,
        "ledger/": names.ledger(0),
    }
    beyond = {"override": names.override, "maintenance": names.maintenance, "keys of others": "/not-of-nodeos-failover"}
    refused = tuple(name for name, key in needed.items() if not _may(store, key, deadline))
    too_much = tuple(name for name, key in beyond.items() if _may(store, key, deadline))
    unread = ""
    try:
        store.range(names.root, min(2.0, deadline.left()))
    except StoreRejected as error:
        unread = str(error)
    return replace(facts, refused=refused, too_much=too_much, unread=unread)


def _may(store: EtcdStore, key: str, deadline: Deadline) -> bool:
    """Tell whether we may write a key, by a transaction that is never applied: etcd looks at permissions first."""
    try:
        store.txn(Txn((Compare(key, NEVER),), (Put(key, b""),)), min(2.0, deadline.left()))
    except StoreRejected:
        return False
    return True


def certificates(config: Config) -> dict[str, float]:
    """Return for how many days each of our files is good; of one that cannot be read the finding tells."""
    found = {}
    for name, file in {"etcd.ca_file": config.etcd.ca_file, "etcd.cert_file": config.etcd.cert_file}.items():
        with suppress(OSError, ValueError):
            if file is not None:
                found[name] = min(_days(each) for each in of_pem(read_whole(file).decode()))
    return found


def _days(when: datetime) -> float:
    return (when - datetime.now(UTC)).total_seconds() / DAY_S
