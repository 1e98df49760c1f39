"""What `keepalived-notify` does, as metrics for node_exporter's textfile collector."""

from __future__ import annotations

import time

from agent.keepalived.duty import WORDS, Duty


def textfile(duty: Duty, labels: str) -> str:
    """Return the metrics for node_exporter's textfile collector; `labels` such as `group="g",node="n"`."""
    name = "nodeos_failover_keepalived"
    lines = [f"# HELP {name}_state 1 for the word that keepalived said last.", f"# TYPE {name}_state gauge"]
    lines += [f'{name}_state{{{labels},state="{word}"}} {int(word == duty.word)}' for word in WORDS]
    lines += [f"# HELP {name}_transitions_total Words of keepalived.", f"# TYPE {name}_transitions_total counter"]
    lines += [f'{name}_transitions_total{{{labels},state="{w}"}} {n}' for w, n in duty.counts.transitions.items()]
    for metric, kind, help_text, value in (
        ("producing", "gauge", "1 while this node has resumed nodeos.", int(duty.producing)),
        ("proven_stopped", "gauge", "1 while nodeos is proven stopped.", int(duty.proven)),
        ("fencings_total", "counter", "Times that the nodeos process was ended.", duty.counts.fencings),
        ("silences_total", "counter", "Times that keepalived gave no sign of life.", duty.counts.trips),
        ("changed_timestamp_seconds", "gauge", "When keepalived said its last word.", round(duty.changed_at, 3)),
        ("written_timestamp_seconds", "gauge", "When this file was written.", round(time.time(), 3)),
    ):
        lines += [
            f"# HELP {name}_{metric} {help_text}",
            f"# TYPE {name}_{metric} {kind}",
            f"{name}_{metric}{{{labels}}} {value}",
        ]
    return "\n".join(lines) + "\n"
