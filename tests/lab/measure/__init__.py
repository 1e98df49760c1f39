"""`make measure NAME=… ARGS="…"`: each module of the same name measures one thing on real parts, and prints a table.

A module has `arguments`, which adds its options, and `measure`, which runs below a directory of its own and returns
what it found. What is the same for all is here and in `__main__`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tests.lab.figures import Number, percentile


@dataclass(frozen=True)
class Found:
    """What was measured: `text` to print, `figures` for --json, and what is worse than it should be, in words."""

    text: str
    figures: object
    bad: Sequence[str] = ()


class Measurement(Protocol):
    """What each module is."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add its options."""

    def measure(self, root: Path, chosen: argparse.Namespace) -> Found:
        """Measure."""


def say(text: str) -> None:
    """Print a line at once: what is measured takes minutes."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def spread(values: Sequence[Number], digits: int = 1) -> list[str]:
    """Return p50, p99 and max as cells of a table."""
    return [f"{percentile(values, part):.{digits}f}" for part in (0.5, 0.99, 1)]
