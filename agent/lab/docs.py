"""The tables of README.md that the program itself knows best: all settings, all metrics. Only they are made here.

`python -m agent.lab.docs` tells whether README.md has them as they are, `--update` writes them into it.
"""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from agent.alerts import ChannelStats
from agent.config.show import reference
from agent.core import events as ev
from agent.core import health, node
from agent.core.actions import Announce, Transact
from agent.core.chain import ChainInfo, Peers
from agent.core.keys import keys
from agent.core.state import Setup, State
from agent.core.store import Ms, Txn
from agent.loop import Snapshot
from agent.metrics import LABELS, Metrics

README = Path(__file__).parents[2] / "README.md"


class _NoTime:
    """A clock that stands still: only the names of metrics are wanted."""

    def boot(self) -> Ms:
        """Return the beginning."""
        return 0

    def wall(self) -> Ms:
        """Return the beginning."""
        return 0

    def boot_id(self) -> str:
        """Return nothing."""
        return ""


def _snapshot() -> Snapshot:
    """Return what a loop would show that has seen everything once."""
    limits = health.Limits({"process": health.Gate()})
    begun = node.begin(node.Profile("group", limits), State(Setup("node", "", keys("/p", "group"))))
    info = ChainInfo("", "", 1, "", 0, "", 1, None)
    seen = replace(begun.health, info=info, peers=Peers(1, 1), scheduled=True)
    leadership = replace(begun.leadership, seen=replace(begun.leadership.seen, last_holder="node"))
    return Snapshot(replace(begun, health=seen, leadership=leadership, own_block_at=0), 0)


def metrics_table() -> str:
    """Return a Markdown table of all metrics, as an agent exports them that has done everything once."""
    channel = ChannelStats("ops", {"ok": 1}, {"full": 1}, 0)
    metrics = Metrics("group", "node", _NoTime(), _snapshot, lambda: (channel,))
    metrics.announced(Announce("key", "one", "other", "why", 1))
    metrics.sent(Transact(1, "confirm", Txn((), ()), 1), 0)
    calls = (ev.PauseDone(1, ev.Call.OK), ev.FenceDone(1, gone=True))
    for event in (ev.Applied(1, 1), *calls, health.PausedProbed(0, paused=True)):
        metrics.seen(event, 0)
    rows = ["| metric | type | labels | meaning |", "| --- | --- | --- | --- |"]
    families = text_string_to_metric_families(metrics.text().decode())
    for family in sorted(families, key=lambda each: each.name):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        own = dict.fromkeys(key for sample in family.samples for key in sample.labels if key not in (*LABELS, "le"))
        labels = ", ".join(f"`{label}`" for label in own)
        rows.append(f"| `{name}` | {family.type} | {labels} | {family.documentation} |")
    return "\n".join(rows) + "\n"


def with_table(text: str, name: str, table: str) -> str:
    """Return `text` with `table` between its marks NAME:begin and NAME:end. ValueError when they are not there."""
    marks = re.compile(rf"(<!-- {name}:begin -->\n).*?(<!-- {name}:end -->)", re.DOTALL)
    if not marks.search(text):
        raise ValueError(f"no lines <!-- {name}:begin --> and <!-- {name}:end -->: put them where the table belongs")
    return marks.sub(lambda found: f"{found[1]}{table}{found[2]}", text)


def up_to_date(text: str) -> str:
    """Return the README as it should be."""
    return with_table(with_table(text, "config", reference()), "metrics", metrics_table())


def main(arguments: list[str]) -> int:
    """Update README.md, or only tell whether it is up to date."""
    text = README.read_text()
    wanted = up_to_date(text)
    if "--update" in arguments:
        README.write_text(wanted)
    elif text != wanted:
        sys.stderr.write("README.md is not up to date: run make docs\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
