"""Agents that are installed beside a live producer, in either order by turns.

Each time nodeos a produces under transactions and no agent runs; then the agents are started in a group that nobody has
led. Slots are counted from before the first agent's start until both have settled.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from tests.lab.lab import Lab
from tests.lab.measure import Found
from tests.lab.measure.handovers import FIRST, SECOND, install, options, repeat, told


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    options(parser, 1)


def measure(root: Path, chosen: argparse.Namespace) -> Found:
    """Measure; bad is a slot that was missed or signed twice."""
    with Lab(root) as lab:
        chain, etcd = lab.chain(2, producers=chosen.producers), lab.etcd(1)
        found = repeat(chosen.runs, lambda number: install(lab, chain, etcd, number, (SECOND, FIRST)[number % 2]))
    return told(found, f"{chosen.producers} producers", strict=True)
