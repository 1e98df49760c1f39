"""Real etcd clusters for the tests of the store: started, and reached as the product reaches them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TypeVar

from agent.core.model.store import Compare, Put, Txn
from agent.errors import StoreError
from agent.etcd.connection import EtcdOptions
from agent.etcd.store import EtcdStore
from tests.lab.etcd import EtcdCluster
from tests.lab.etcd import EtcdOptions as ClusterOptions
from tests.lab.ports import Ports
from tests.lab.wait import until

T = TypeVar("T")
PREFIX = "/nodeos-failover/test/"


@contextmanager
def running(root: Path, options: ClusterOptions) -> Iterator[EtcdCluster]:
    """Run a cluster for the time of a `with` block."""
    with closing(Ports()) as ports, closing(EtcdCluster(root / "etcd", ports, options)) as cluster:
        cluster.start()
        yield cluster


def options_for(cluster: EtcdCluster, urls: Sequence[str] = ()) -> EtcdOptions:
    """Return what the product needs to reach a cluster, through `urls` or directly."""
    files = cluster.certificates
    return EtcdOptions(
        tuple(urls or cluster.urls),
        ca=files.ca if files else None,
        cert=files.client if files else None,
        key=files.client_key if files else None,
        user=cluster.user,
        password=cluster.password,
    )


@contextmanager
def store_on(cluster: EtcdCluster, urls: Sequence[str] = ()) -> Iterator[EtcdStore]:
    """Yield a store for one thread, closed afterwards."""
    with closing(EtcdStore(options_for(cluster, urls))) as store:
        yield store


def put(key: str, value: bytes = b"", lease: int = 0) -> Txn:
    """Return a transaction that puts one key under PREFIX, whatever stands there."""
    return Txn((), (Put(PREFIX + key, value, lease),))


def create(key: str) -> Txn:
    """Return a transaction that makes a key under PREFIX unless it exists, and else reads it."""
    return Txn((Compare(PREFIX + key, 0),), (Put(PREFIX + key, b"made"),), (PREFIX + key,))


def until_answered(ask: Callable[[], T], limit_s: float) -> tuple[T, float, list[StoreError]]:
    """Ask until there is an answer: the answer, the seconds that it took, and the failures on the way."""
    start, failures = time.monotonic(), list[StoreError]()

    def asked() -> list[T]:
        try:
            return [ask()]
        except StoreError as error:
            failures.append(error)
            return []

    (answer,) = until(asked, limit_s, "an answer of etcd", interval=0.1)
    return answer, time.monotonic() - start, failures
