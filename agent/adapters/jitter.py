"""Pauses that differ, so that many agents that were stopped by one event do not go on in step. Only that lives here."""

from __future__ import annotations

import random


def spread(seconds: float) -> float:
    """Return a pause between half of `seconds` and all of it: never longer than what the caller has planned with."""
    return seconds * random.uniform(0.5, 1.0)  # noqa: S311 - keeps agents apart, guards nothing
