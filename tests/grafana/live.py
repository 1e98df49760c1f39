"""A real group that a real Prometheus scrapes, and a failover in it: what rules and dashboard are tried on."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.grafana.stories import RULES
from tests.lab.group import Group
from tests.lab.prometheus import Prometheus

EPOCH = "group:nodeos_failover_leader_epoch:max"


@dataclass(frozen=True)
class Live:
    """The group and its Prometheus; `before` and `after` lead before and after the failover."""

    group: Group
    prometheus: Prometheus
    before: str = ""
    after: str = ""


class _Channel(http.server.BaseHTTPRequestHandler):
    """An alert channel that takes everything."""

    def do_POST(self) -> None:
        """Take an alert."""
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def live(root: Path) -> Iterator[Live]:
    """Start all of it, with an alert channel, and let it run until Prometheus has a picture of it."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Channel) as server:
        threading.Thread(target=server.serve_forever, name="alert-channel", daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}/"
        channel = {"name": "ops", "type": "webhook", "url": url, "min_severity": "info"}
        group = Group(root, alerts=[channel], gate=True)
        try:
            group.start()
            prometheus = group.lab.prometheus(RULES)
            group.wait("samples of the rules", lambda: len(prometheus.now(f"count_over_time({EPOCH}[1m]) > 1")) > 0)
            yield Live(group, prometheus)
        finally:
            if group.chain.load is not None:
                group.chain.load.stop()  # a push that comes when nobody produces any more would hang
            group.close()
            server.shutdown()


def fail_over(running: Live) -> Live:
    """Kill the leader's nodeos; return once Prometheus has seen the other one lead."""
    group, prometheus = running.group, running.prometheus
    leader, standby = group.leader, group.standby
    group.nodeos(leader).kill()
    group.wait_leads(standby)
    seen = f'nodeos_failover_is_leader{{node="{standby.node}"}} == 1'
    group.wait("Prometheus to see it", lambda: len(prometheus.now(seen)) > 0)
    return Live(group, prometheus, leader.node, standby.node)
