"""Planned handovers on a chain of several producers, each asked for at a random moment of the round, by a key.

Then a whole window of the new leader is awaited, and the slots that the observer's chain misses are counted.
"""

from __future__ import annotations

import argparse
from contextlib import closing
from pathlib import Path

from tests.lab.group import Group
from tests.lab.measure import Found
from tests.lab.measure.handovers import options, switchovers, told


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    options(parser, 4)
    parser.add_argument("--when", choices=("gap", "now"), default="gap", help="the wish's own word (default gap)")


def measure(root: Path, chosen: argparse.Namespace) -> Found:
    """Measure; bad is a slot that was signed twice, or that was missed in a gap of several producers."""
    with closing(Group(root, producers=chosen.producers)) as group:  # what is signed twice is told, and no error here
        group.start()
        found = switchovers(group, chosen.runs, chosen.when)
    strict = chosen.producers > 1 and chosen.when == "gap"
    return told(found, f"{chosen.producers} producers, {chosen.when}", strict=strict)
