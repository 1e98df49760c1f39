"""Pauses that differ, so that many agents that were stopped by one event do not go on in step. Only that lives here."""

from __future__ import annotations

import random


def spread(seconds: float, least: float = 0.5) -> float:
    """Return a pause between `least` of `seconds` and all of it: never longer than what the caller has planned with."""
    return seconds * random.uniform(least, 1.0)  # noqa: S311 - keeps agents apart, guards nothing
