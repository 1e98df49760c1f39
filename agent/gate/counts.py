"""What the gate counts and tells: signatures, refusals by reason, how long signatures took, how its wallet is."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter

BOUNDS = (0.0005, 0.001, 0.002, 0.003, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5)
"""Upper bounds in seconds of the histogram; one more bucket takes the rest."""
READY = "ready"
"""The state of a wallet that signs."""


class Counts:
    """Counts since the start. `reasons` are all that can be, so that each is there from the start at 0."""

    def __init__(self, reasons: tuple[str, ...]) -> None:
        self.refused = Counter(dict.fromkeys(reasons, 0))
        self.signed = 0
        self.latency = [0] * (len(BOUNDS) + 1)
        self.seconds = 0.0

    def sign(self, seconds: float) -> None:
        """Count a signature that left, and the seconds from the request's last byte until then."""
        self.signed += 1
        self.latency[bisect_left(BOUNDS, seconds)] += 1
        self.seconds += seconds
