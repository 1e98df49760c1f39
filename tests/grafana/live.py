"""A real group that a real Prometheus scrapes, and a failover in it: what rules and dashboard are tried on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.grafana.stories import RULES
from tests.lab.group import Group
from tests.lab.prometheus import Prometheus
from tests.support.alert_channel import Keeper

EPOCH = "group:nodeos_failover_leader_epoch:max"


@dataclass(frozen=True)
class Live:
    """The group and its Prometheus; `before` and `after` lead before and after the failover."""

    group: Group
    prometheus: Prometheus
    before: str = ""
    after: str = ""


@contextmanager
def live(root: Path) -> Iterator[Live]:
    """Start all of it, with an alert channel, and let it run until Prometheus has a picture of it."""
    with closing(Keeper()) as keeper:
        url = f"http://127.0.0.1:{keeper.port}/"
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


def fail_over(running: Live) -> Live:
    """Kill the leader's nodeos; return once Prometheus has seen the other one lead."""
    group, prometheus = running.group, running.prometheus
    leader, standby = group.leader, group.standby
    group.nodeos(leader).kill()
    group.wait_leads(standby)
    seen = f'nodeos_failover_is_leader{{node="{standby.node}"}} == 1'
    group.wait("Prometheus to see it", lambda: len(prometheus.now(seen)) > 0)
    return Live(group, prometheus, leader.node, standby.node)
