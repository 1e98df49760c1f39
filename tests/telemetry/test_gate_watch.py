"""What the agent sees and shows of the gate: up, permit, counts that do not jump when it is silent for a moment."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

from prometheus_client.parser import text_string_to_metric_families

from agent.errors import GateError
from agent.gate.control import BOUNDS
from agent.gate.server import REASONS
from agent.host.page import Page, Sign
from agent.ports import GateStatus, SigningGate
from agent.telemetry.gate_watch import OLD_MS, GateWatch
from agent.telemetry.metrics import Metrics
from tests.support.metrics_bench import Bench, clock
from tests.support.recorder import Recorder

STATUS = GateStatus(9, 1, True, "ready", 5, 99_000, {"closed": 3}, (2, 3, *(0,) * (len(BOUNDS) - 1)), 0.004)


class Scrape:
    """The metrics of an agent with a gate."""

    def __init__(self) -> None:
        self.clock, self.gate = clock(), Recorder({"status": STATUS})
        self.watch = GateWatch(cast("SigningGate", self.gate), self.clock)
        self.page = Page("b", b"", 3, Sign.OPEN, self.clock.now + 2500)
        seen = (lambda: self.watch.seen, lambda: self.page)
        self._metrics = Metrics("eos", "bp-a", self.clock, lambda: Bench().snapshot, gate=seen)

    def read(self) -> dict[tuple[str, str], float]:
        """Return the gate's samples: name, and reason, bucket or nothing → value."""
        return {
            (
                sample.name.removeprefix("nodeos_failover_gate_"),
                sample.labels.get("reason") or sample.labels.get("le", ""),
            ): sample.value
            for family in text_string_to_metric_families(self._metrics.text()[0].decode())
            for sample in family.samples
            if "_gate_" in sample.name
        }


def test_a_gate_that_answers_is_shown() -> None:
    """Up, permit, signatures by result and reason, and the histogram with whole buckets."""
    scrape = Scrape()
    scrape.watch.look()
    found = scrape.read()
    assert found["up", ""] == 1
    assert found["permit_remaining_seconds", ""] == 2.5
    assert found["signatures_total", "none"] == 5
    assert found["signatures_total", "closed"] == 3
    assert found["signature_duration_seconds_bucket", "0.0005"] == 2
    assert found["signature_duration_seconds_bucket", "+Inf"] == 5
    assert found["signature_duration_seconds_sum", ""] == 0.004
    assert {key for name, key in found if name == "signatures_total"} == {"none", *REASONS}


def test_silence_locked_wallet_and_age_show_as_down() -> None:
    """A gate that cannot sign is not up, and its counts do not fall while it is silent."""
    scrape = Scrape()
    scrape.watch.look()
    for says in (GateError("silent"), replace(STATUS, keosd="locked"), replace(STATUS, holds=False)):
        scrape.gate.says = {"status": says}
        scrape.watch.look()
        found = scrape.read()
        assert (found["up", ""], found["signatures_total", "none"]) == (0, 5)
    scrape.gate.says = {"status": STATUS}
    scrape.watch.look()
    scrape.clock.now += OLD_MS
    found = scrape.read()
    assert (found["up", ""], found["permit_remaining_seconds", ""]) == (0, 0)


def test_without_a_gate_there_are_no_series() -> None:
    """Who has no gate has no metrics of it, and no alert that it is down."""
    assert not [sample for sample in Bench().samples if "_gate_" in sample.name]
