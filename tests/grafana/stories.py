"""Stories of a group as Prometheus would have scraped it, and what the rules must make of them. Nothing is tested here.

A story begins with a group of two that is well: bp-a leads in epoch 5, bp-b stands by. `put` and `gone` change it.
`promtool test rules` judges it, by a time that begins at 0.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

RULES = tuple(Path(__file__).parents[2].glob("grafana/rules/*.yml"))
GROUP = "eos"
SCRAPED = 'cluster="k",job="nodeos"'
"""What Prometheus adds to each series, beside `instance`."""
RUNBOOKS = "https://wiki.example/runbooks.md"
SWITCHED = 'from_state="leading",to_state="stopping",reason="switchover"'
ROUND = 126
"""Seconds of a round of 21 producers."""
LIMIT = 60.0
Value = float | Callable[[int], float]


def last_block(second: int) -> float:
    """Return when the producer's last window ended, by that second."""
    return second // ROUND * ROUND


def well(leads: bool) -> dict[tuple[str, str], Value]:
    """Return what a healthy node shows: (metric, its own labels) → value."""
    return {
        ("is_leader", ""): leads,
        ("leader_epoch", ""): 5,
        ("eligible", ""): 1,
        ("healthy", ""): 1,
        ("producing", ""): leads,
        ("producing_seconds", ""): (lambda second: 1000 + second) if leads else 0,
        ("producer_scheduled", ""): 1,
        ("schedule_round_seconds", ""): ROUND,
        ("last_produced_block_timestamp_seconds", ""): last_block,
        ("validity_remaining_seconds", ""): 5.7 if leads else 0,
        ("validity_seconds", ""): 6,
        ("maintenance_active", ""): 0,
        ("override_active", 'mode="leader"'): 0,
        ("override_active", 'mode="none"'): 0,
        ("missed_blocks_total", 'cause="node"'): 0,
        ("missed_blocks_total", 'cause="handover"'): 0,
        ("stray_blocks_total", 'kind="doubled"'): 0,
        ("fencings_total", 'result="failed"'): 0,
        ("alerts_dropped_total", 'channel="ops",reason="rejected"'): 0,
        ("alerts_dropped_total", 'channel="ops",reason="shutdown"'): 0,
        ("build_info", 'version="1.0.0"'): 1,
        ("loop_step_age_seconds", ""): 0.1,
        ("etcd_up", ""): 1,
        ("clock_offset_seconds", ""): 0,
        ("finalizer_key_active", ""): 1,
        ("self_paused", 'reason="own_votes"'): 0,
        ("gate_up", ""): 1,
        ("etcd_certificate_expiry_timestamp_seconds", ""): 90 * 86400,
        ("config_last_reload_successful", ""): 1,
        ("runbooks_info", f'url="{RUNBOOKS}"'): 1,
        ("leadership_transitions_total", SWITCHED): 0,
        ("gate_signatures_total", 'result="refused",reason="closed"'): 40,
        ("gate_signatures_total", 'result="refused",reason="path"'): 0,
    }


class Story:
    """Samples of each series, one every `step` seconds. Nodes are scraped every 5 s, `phase` seconds apart."""

    def __init__(self, minutes: float, step: int = 5, phase: int = 0) -> None:
        self.step = step
        self.seconds = range(0, round(minutes * 60) + 1, step)
        self._phase = {"bp-a": 0, "bp-b": phase}
        self.scraped = dict.fromkeys(self._phase, SCRAPED)
        self._series: dict[tuple[str, str, str], list[str]] = {}
        for node in self._phase:
            for (metric, labels), value in well(node == "bp-a").items():
                self.put(metric, node, value, labels=labels)

    def put(
        self, metric: str, node: str, value: Value, start: int = 0, end: int | None = None, labels: str = ""
    ) -> Story:
        """Let a metric of a node have a value, or one that a function of the second gives, from `start` to `end`."""
        samples = self._series.setdefault((metric, node, labels), ["_"] * len(self.seconds))
        for index, second in enumerate(self.seconds):
            if start <= second and (end is None or second < end) and self._scraped(node, second):
                samples[index] = f"{float(value(second) if callable(value) else value):g}"
        return self

    def both(self, metric: str, value: Value, start: int = 0, end: int | None = None, labels: str = "") -> Story:
        """Do so for both nodes."""
        return self.put(metric, "bp-a", value, start, end, labels).put(metric, "bp-b", value, start, end, labels)

    def gone(self, node: str, start: int, end: int | None = None) -> Story:
        """Let an agent answer no scrape: its series end at once, as Prometheus marks them."""
        for (_, owner, _), samples in self._series.items():
            for index, second in enumerate(self.seconds):
                if owner == node and start <= second and (end is None or second < end):
                    first = second - start < (5 if self._scraped(node, second) else 1)
                    samples[index] = "stale" if first else "_"
        return self

    def drop(self, node: str, metric: str) -> None:
        """Leave out all series of a metric of a node."""
        self._series = {key: each for key, each in self._series.items() if key[:2] != (metric, node)}

    def gone_series(self, node: str, metric: str, labels: str, start: int) -> Story:
        """Let one series of a node end."""
        samples = self._series[metric, node, labels]
        for index, second in enumerate(self.seconds):
            if start <= second:
                samples[index] = "stale" if second - start < self.step else "_"
        return self

    def takes_over(self, winner: str, loser: str, second: int, epoch: int, gap: int = 1) -> Story:
        """Let the lead go over: nobody leads for `gap` seconds before `second`."""
        return (
            self.put("is_leader", loser, 0, second - gap)
            .put("producing", loser, 0, second - gap)
            .put("producing_seconds", loser, 0, second - gap)
            .put("validity_remaining_seconds", loser, 0, second - gap)
            .put("is_leader", winner, 1, second)
            .put("producing", winner, 1, second)
            .put("producing_seconds", winner, lambda now: now - second + 0.01, second)
            .put("validity_remaining_seconds", winner, 5.7, second)
            .both("leader_epoch", epoch, second)
        )

    def _scraped(self, node: str, second: int) -> bool:
        return second % 5 == self._phase[node] or self.step >= 5

    def series(self) -> list[dict[str, str]]:
        """Return the samples as promtool reads them."""
        return [
            {
                "series": f'nodeos_failover_{metric}{{{self.scraped[node]},instance="{node}:9877",'
                f'group="{GROUP}",node="{node}"{"," * bool(labels)}{labels}}}',
                "values": " ".join(_run(value, len(list(same))) for value, same in itertools.groupby(samples)),
            }
            for (metric, node, labels), samples in self._series.items()
        ]


def _run(value: str, count: int) -> str:
    """Write a value that comes `count` times; promtool counts the repetitions."""
    if count == 1 or value == "stale":
        return " ".join([value] * count)
    return f"_x{count}" if value == "_" else f"{value}x{count - 1}"


Checks = Mapping[tuple[str, int], Mapping[str, float]]
"""(PromQL, second) → {labels as PromQL writes them: value}."""


def promtool(program: Path, story: Story, checks: Checks, directory: Path, alerts: Sequence[object] = ()) -> str:
    """Have promtool judge; return what it complains of, nothing if nothing."""
    tests = [
        {
            "expr": expression,
            "eval_time": f"{second}s",
            "exp_samples": [{"labels": labels, "value": value} for labels, value in expected.items()],
        }
        for (expression, second), expected in checks.items()
    ]
    told: dict[str, object] = {"interval": f"{story.step}s", "input_series": story.series(), "promql_expr_test": tests}
    told["alert_rule_test"] = alerts
    file = directory / "story.json"
    file.write_text(
        json.dumps(
            {
                "rule_files": [str(rule) for rule in RULES],
                "evaluation_interval": f"{max(5, story.step)}s",
                "tests": [told],
            }
        )
    )
    seldom = {**os.environ, "GOGC": "400"}  # looks for garbage took it a fifth of its time
    done = subprocess.run([program, "test", "rules", file], env=seldom, capture_output=True, text=True, timeout=LIMIT)
    return "" if done.returncode == 0 else done.stdout + done.stderr
