"""The metrics of an agent whose loop stands still, for tests: a time that the test moves, and what a scrape brings."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from agent.alerts.worker import ChannelStats
from agent.core.health.finality import FinalityProbed
from agent.core.leadership import events as ev
from agent.core.leadership.actions import Announce, Transact
from agent.core.leadership.state import Phase, Production, State, StoreView, Tenure
from agent.core.model.finality import Finality, Finalizer
from agent.core.model.store import Txn
from agent.core.node import step as core
from agent.core.node.snapshot import NodeSnapshot
from agent.core.node.state import FinalizerSettings, LiveSettings, Node
from agent.telemetry.families import PREFIX
from agent.telemetry.gauges import ConfigGauges
from agent.telemetry.metrics import Metrics
from tests.core.parts import GOOD, LIMITS, NODEOS, SETUP, info
from tests.support.moved_time import MovedTime

NOW = 100_000
VOTES = Finality(
    (Finalizer(SETUP.producer, "A"), Finalizer("c", "C")),
    voted={"A": info().head_time - 1000, "C": info().head_time - 500},
)
MARGIN = SETUP.timing.margin
LEADING: dict[str, Any] = {
    "phase": Phase.LEADING,
    "phase_since": NOW - 2000,
    "production": Production.PRODUCING,
    "production_since": NOW - 2000,
    "process": NODEOS,
    "tenure": Tenure(3, "f00d", 9, 7, 12, 11, valid_until=NOW + 4000),
    "seen": StoreView(5, 5, last_holder="bp-a", max_epoch=3),
}


def clock() -> MovedTime:
    """Return a clock at which the head is 1.5 s old."""
    return MovedTime(NOW, info().head_time + 1500)


class Bench:
    """The metrics of an agent whose loop stands still."""

    def __init__(self, *sources: Any, **state: Any) -> None:
        self.clock = clock()
        given = LiveSettings("lab", LIMITS, finalizer=FinalizerSettings(SETUP.producer, "A"))
        begun: Node = core.begin(given, State(SETUP))
        for probe in (*GOOD.values(), FinalityProbed(VOTES)):
            begun, _ = core.step(begun, probe, NOW - 1000)
        self.snapshot = NodeSnapshot(replace(begun, leadership=replace(begun.leadership, **state)), NOW)
        self.config = ConfigGauges(("lab", "bp-a"), self.clock, "", lambda: 1.8e9)
        self.metrics = Metrics("lab", "bp-a", self.clock, lambda: self.snapshot, *sources)
        self.metrics.registry.register(self.config)

    def node(self, **changes: Any) -> None:
        """Change the node of the snapshot."""
        self.snapshot = replace(self.snapshot, node=replace(self.snapshot.node, **changes))

    @property
    def samples(self) -> list[Sample]:
        """What a scrape brings."""
        text = self.metrics.text()[0].decode()
        return [sample for family in text_string_to_metric_families(text) for sample in family.samples]

    def get(self, name: str, **labels: str) -> float | None:
        """Return one value, None when there is no such series."""
        found = [
            sample.value
            for sample in self.samples
            if sample.name == PREFIX + name and labels.items() <= sample.labels.items()
        ]
        assert len(found) <= 1, found
        return found[0] if found else None

    def by(self, name: str, label: str) -> dict[str, float]:
        """Return a family by one of its labels."""
        return {sample.labels[label]: sample.value for sample in self.samples if sample.name == PREFIX + name}


def everything() -> Bench:
    """Return metrics in which every family has a series."""
    stats = ChannelStats("ops", {"ok": 3, "failed": 1, "rejected": 0}, {"full": 2}, 4)
    bench = Bench(lambda: (stats,), lambda: 6, **LEADING)
    bench.node(own_block_at=NOW - 500)
    bench.metrics.announced(Announce("leads", "elected", "leading", "because", 3))
    bench.metrics.changed({"leaderless_ms": 700})
    bench.metrics.sent(Transact(4, "confirm", Txn((), ()), 1000), NOW)
    for event in (ev.Applied(4, 9), ev.FenceDone(1, gone=True), GOOD["paused"]):
        bench.metrics.stepped(event, NOW)
    return bench
