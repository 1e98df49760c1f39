"""The calls of an idle agent made bare, with etcd3, requests and prometheus-client as their manuals show them.

`make measure NAME=cost` runs it beside a group, so that an agent's figures have a floor from the same run: as many
calls a second of each kind as the leader's own metrics told, one watch, one endpoint for metrics, and nothing else. No
deadline, no core, no configuration, no guard. What makes these calls with these packages can hardly cost less.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.lab.process import Process

ROOT = "/floor/"
LEASE_TTL_S = 10
PATHS = {
    "paused": "/v1/producer/paused",
    "get_info": "/v1/chain/get_info",
    "connections": "/v1/net/connections",
    "get_producer_schedule": "/v1/chain/get_producer_schedule",
    "get_block": "/v1/chain/get_block_info",
    "get_finalizer_info": "/v1/chain/get_finalizer_info",
}
"""Where nodeos answers, by the name that the metrics of the agent use."""


def child(root: Path, etcd: str, nodeos: str, port: int, rates: Mapping[str, float]) -> Process:
    """Return the floor as a process that is not started yet; it writes READY to its log once it makes all calls.

    `etcd` is HOST:PORT, `nodeos` a URL, `port` where its metrics are, `rates` calls a second by 'etcd txn' and so on.
    """
    words = [sys.executable, "-W", "ignore", "-m", __name__, etcd, nodeos, str(port), json.dumps(dict(rates))]
    env = {**os.environ, "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": "python"}  # etcd3 works with no other
    return Process("floor", words, root / "floor.log", env)


READY = "makes all calls"


def _again_and_again(rate: float, call: Callable[[], object]) -> None:
    """Call `rate` times a second in a thread of its own, for as long as the process lives."""

    def run() -> None:
        while True:
            begin = time.monotonic()
            call()
            time.sleep(max(0.0, 1 / rate - (time.monotonic() - begin)))

    threading.Thread(target=run, daemon=True).start()


def main(etcd: str, nodeos: str, port: int, rates: Mapping[str, float]) -> None:
    """Make the calls until the process is ended."""
    import etcd3  # only in the child, which chose protobuf's implementation for it
    import prometheus_client
    import requests

    host, _, at = etcd.rpartition(":")
    client: Any = etcd3.client(host, int(at))
    lease = client.lease(LEASE_TTL_S)
    client.put(ROOT + "leader", "floor", lease)
    client.add_watch_prefix_callback(ROOT, lambda _answer: None)
    counter = prometheus_client.Counter("floor_calls", "Calls made.", ["what"])

    def confirm() -> None:
        ours = client.transactions.value(ROOT + "leader") == "floor"
        client.transaction([ours], [client.transactions.put(ROOT + "heartbeat", str(time.time()))], [])

    def asking(path: str) -> Callable[[], object]:
        session = requests.Session()  # it keeps its connection as long as nodeos does
        body = {"block_num": 1} if path == PATHS["get_block"] else None
        return lambda: session.post(nodeos + path, json=body, timeout=5).json()

    calls: dict[str, Callable[[], object]] = {
        "etcd txn": confirm,
        "etcd keepalive": lease.refresh,
        "etcd range": lambda: client.get(ROOT + "leader"),
        **{f"nodeos {name}": asking(path) for name, path in PATHS.items()},
    }

    def counted(name: str) -> Callable[[], object]:
        def call() -> None:
            calls[name]()
            counter.labels(name).inc()

        return call

    for name, rate in rates.items():
        _again_and_again(rate, counted(name))
    prometheus_client.start_http_server(port, "127.0.0.1")
    sys.stdout.write(f"{READY}\n")
    sys.stdout.flush()
    threading.Event().wait()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), json.loads(sys.argv[4]))
