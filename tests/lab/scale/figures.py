"""From what the processes told to figures: arithmetic and words only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from agent.core.model.store import Ms
from tests.lab.figures import markdown, percentile

BIN: Ms = 50
"""Confirmations that begin within so many ms count as one crowd."""
Request = tuple[str, Ms, Ms]


def at(values: Sequence[float], share: float) -> float:
    """Return the value below which `share` of the values lie; -1 of none."""
    return percentile(values, share) if values else -1.0


def confirms(requests: Iterable[Request], begin: Ms, end: Ms) -> list[Request]:
    """Return the confirmations that were sent in a span."""
    return [each for each in requests if each[0] == "confirm" and begin <= each[1] < end]


def crowding_p90(found: Sequence[Request], begin: Ms, end: Ms) -> float:
    """Return how much fuller than the mean a bin is that a tenth of all bins reach; 1: even, 0: nothing was sent.

    Not the fullest: one stall shall not decide it. All in step, every R, would be R / BIN = 10.
    """
    bins = Counter((sent - begin) // BIN for _, sent, _ in found)
    count = max(1, (end - begin) // BIN)
    full = [float(bins.get(number, 0)) for number in range(count)]
    return at(full, 0.9) / (len(found) / count) if found else 0.0


def settled(requests: Iterable[Request], killed: Ms, rate: float) -> float:
    """Return after how many seconds confirmations are answered at nine tenths of `rate` again; -1: never.

    That is judged over a second, so an election that nobody noticed takes 1 s by this.
    """
    answers = sorted(sent + took for kind, sent, took in requests if kind == "confirm" and took >= 0)
    answers = [each for each in answers if each >= killed]
    need = max(1, int(0.9 * rate))
    for first, last in zip(answers, answers[need - 1 :], strict=False):
        if last - first <= 1000:
            return (max(last, killed + 1000) - killed) / 1000
    return -1.0


@dataclass(frozen=True)
class Row:
    """One size. Times in ms, rates a second, CPU in percent of one core; -1: not measured."""

    load: str
    groups: int
    led: int
    seconds: float
    p50: float
    p99: float
    most: float
    unanswered: int
    confirms: float
    writes: float
    events: float
    etcd_cpu: float
    client_cpu: float
    disk: float
    fsync: float
    rss: float
    crowd: float
    stops: int
    server_p50: float
    server_p99: float
    lag_p99: float
    settle: float = -1.0
    lost: int = -1
    doubled: int = 0
    crowd_after: float = -1.0
    worst_after: float = -1.0
    why: str = ""  # tenures ended, by the key of the transition

    @property
    def fits(self) -> bool:
        """Whether nobody lost the lead, and p99 is below R."""
        return self.lost <= 0 and self.stops == 0 and 0 <= self.p99 < 500 and not self.doubled


def _killed(row: Row) -> str:
    if row.lost < 0:
        return "-"
    return f"{row.lost}; {row.settle:.1f}; {row.worst_after:.0f}"


COLUMNS: tuple[tuple[str, Callable[[Row], str]], ...] = (
    ("load", lambda row: row.load),
    ("groups", lambda row: str(row.groups)),
    ("confirmation p50, p99, max ms", lambda row: f"{row.p50:.0f}, {row.p99:.0f}, {row.most:.0f}"),
    ("in etcd p50, p99 below ms", lambda row: f"{row.server_p50:.0f}, {row.server_p99:.0f}"),
    ("clients late p99 ms", lambda row: f"{row.lag_p99:.0f}"),
    ("confirmations/s", lambda row: f"{row.confirms:.0f}"),
    ("not answered", lambda row: str(row.unanswered)),
    ("writes/s", lambda row: f"{row.writes:.0f}"),
    ("watch events/s", lambda row: f"{row.events:.0f}"),
    ("etcd CPU %, a group", lambda row: f"{row.etcd_cpu:.0f}, {row.etcd_cpu / row.groups:.2f}"),
    ("clients' CPU %", lambda row: f"{row.client_cpu:.0f}"),
    ("disk MB/s", lambda row: f"{row.disk / 1e6:.2f}"),
    ("fsync ms", lambda row: f"{row.fsync:.1f}"),
    ("etcd RSS MiB", lambda row: f"{row.rss / 2**20:.0f}"),
    ("leads lost", lambda row: str(row.stops)),
    ("etcd leader killed: leads lost; old rate after s; longest confirmation ms", _killed),
    ("crowding before, after", lambda row: f"{row.crowd:.1f}, {row.crowd_after:.1f}"),
)
"""What the table shows. Three members together; `crowding` is that of `crowding_p90`."""


def table(rows: Iterable[Row]) -> str:
    """Return a Markdown table."""
    return markdown([name for name, _ in COLUMNS], ([show(row) for _, show in COLUMNS] for row in rows))
