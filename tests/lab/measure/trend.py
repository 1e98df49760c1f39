"""Whether a series grows: the least-squares slope after a warm-up, against a bound. Pure; nothing is measured here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import linear_regression, variance

WARM = 0.3
"""Share of the time that is left out at the begin: caches and bounded histories fill then."""
SURE = 3.0
"""Standard errors by which a slope must be above its bound before it counts as growth."""


@dataclass(frozen=True)
class Trend:
    """How a series went after its warm-up. `slope` and its standard error `error`: a minute."""

    first: float
    last: float
    most: float
    slope: float
    error: float
    bound: float

    @property
    def grows(self) -> bool:
        """Whether it surely grows faster than its bound."""
        return self.slope - SURE * self.error > self.bound


def trend(series: Sequence[tuple[float, float]], bound: float) -> Trend:
    """Judge (seconds, value) pairs, in the order of time; `bound`: how much it may grow in a minute.

    ValueError when fewer than three pairs are left after the warm-up: no slope has an error then.
    """
    if not series:
        raise ValueError("there is nothing to judge")
    begin = series[0][0] + WARM * (series[-1][0] - series[0][0])
    kept = [(at / 60, value) for at, value in series if at >= begin]
    if len(kept) < 3:
        raise ValueError(f"{len(kept)} samples are too few to judge: measure for longer, or sample more often")
    minutes = [at for at, _ in kept]
    slope, begins = linear_regression(minutes, [value for _, value in kept])
    left = sum((value - begins - slope * at) ** 2 for at, value in kept)
    error = sqrt(left / (len(kept) - 2) / (variance(minutes) * (len(kept) - 1)))
    return Trend(kept[0][1], kept[-1][1], max(value for _, value in kept), slope, error, bound)
