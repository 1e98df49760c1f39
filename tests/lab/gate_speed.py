"""How much a signing gate adds to a signature: a real keosd asked alone and through a real gate, turn by turn.

`python -m tests.lab.gate_speed [--times 1000]` prints the table: the host as it is, with somebody who asks the gate for
its counts all the time, and with that on a host whose every processor is busy; and the keosd-provider-timeout. It fails
when more than P50_MS or P99_MS is added on the host as it is.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from agent.gate.client import look
from agent.gate.settings import PROVIDER_TIMEOUT_MS
from agent.gate.wire import SIGN
from agent.host.clock import boot_ms
from tests.lab.binaries import find_nodeos
from tests.lab.errors import LabError
from tests.lab.figures import percentile
from tests.lab.gates import LONGEST_MS, SigningGate
from tests.lab.nodeos import PUBLIC_KEY
from tests.lab.ports import Ports
from tests.lab.process import Process

P50_MS, P99_MS = 2.0, 10.0
"""What the gate may add to a signature."""
PAUSE_S = 0.005
"""Between two signatures: nodeos asks for two a second."""
ASK_S = 0.02
"""Between two looks at the gate's counts; an agent looks once a second."""
BURN = "import os; os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))\nwhile True: pass"
"""Never in the real-time class, in which the rest may run (`chrt -f 5`) where other work is not to count."""


@dataclass(frozen=True)
class Spans:
    """What was measured: milliseconds of each signature, in rising order."""

    condition: str
    way: str
    milliseconds: Sequence[float]

    def quantile(self, share: float) -> float:
        """Return the span that `share` of all do not exceed."""
        return percentile(self.milliseconds, share)


class Line:
    """A connection that is kept, as nodeos keeps it."""

    def __init__(self, url: str) -> None:
        self._connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=10)

    def sign(self) -> float:
        """Have something signed; return the milliseconds. LabError when it is not."""
        body = json.dumps([os.urandom(32).hex(), PUBLIC_KEY])
        start = time.perf_counter()
        self._connection.request("POST", SIGN, body)
        answer = self._connection.getresponse()
        text = answer.read()
        took = (time.perf_counter() - start) * 1000
        if answer.status != 201:
            raise LabError(f"no signature: {answer.status} {text[:200]!r}")
        return took

    def close(self) -> None:
        """End it."""
        self._connection.close()


def measure(gate: SigningGate, condition: str, times: int) -> list[Spans]:
    """Ask keosd alone and through the gate, turn by turn, so that both have the same weather."""
    alone, through = Line(gate.wallet.url), Line(gate.url)
    found: tuple[list[float], list[float]] = ([], [])
    for _ in range(times):
        for line, spans in zip((alone, through), found, strict=True):
            spans.append(line.sign())
            time.sleep(PAUSE_S)
    alone.close()
    through.close()
    return [Spans(condition, "keosd alone", sorted(found[0])), Spans(condition, "through the gate", sorted(found[1]))]


@contextmanager
def asked_all_the_time(gate: SigningGate) -> Iterator[None]:
    """Ask the gate for its counts, far more often than any scrape does."""
    over = threading.Event()

    def ask() -> None:
        while not over.wait(ASK_S):
            look(gate.control, 5.0)

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    try:
        yield
    finally:
        over.set()
        asking.join()


@contextmanager
def busy_host(root: Path) -> Iterator[None]:
    """Keep every processor busy."""
    burners = [
        Process(f"burner-{n}", [sys.executable, "-c", BURN], root / "burn.log") for n in range(os.cpu_count() or 1)
    ]
    try:
        for each in burners:
            each.start()
        yield
    finally:
        for each in burners:
            each.close()


def run(root: Path, times: int) -> list[Spans]:
    """Measure under all conditions."""
    ports = Ports()
    gate = SigningGate(root / "gate", ("lab", "bp-a"), root / "run", ports, find_nodeos())
    try:
        gate.start()
        hand = gate.hand()
        found: list[Spans] = []
        hand.permit(1, boot_ms() + LONGEST_MS)
        measure(gate, "warm-up", 20)
        found += measure(gate, "as it is", times)
        with asked_all_the_time(gate):
            found += measure(gate, "counts asked for", times)
            hand.permit(1, boot_ms() + LONGEST_MS)
            with busy_host(root):
                found += measure(gate, "that, and every processor busy", times)
        hand.let_go()
        return found
    finally:
        gate.close()
        ports.close()


def table(found: Sequence[Spans]) -> str:
    """Return the figures as Markdown; what was added is the difference of the two rows before it."""
    rows = ["| host | asked | n | p50 ms | p99 ms | max ms |", "| --- " * 6 + "|"]
    for alone, through in zip(found[::2], found[1::2], strict=True):
        rows += [
            f"| {each.condition} | {each.way} | {len(each.milliseconds)} | {each.quantile(0.5):.2f} "
            f"| {each.quantile(0.99):.2f} | {each.milliseconds[-1]:.2f} |"
            for each in (alone, through)
        ]
        more = [through.quantile(share) - alone.quantile(share) for share in (0.5, 0.99)]
        rows.append(f"| | added | | {more[0]:.2f} | {more[1]:.2f} | |")
    return "\n".join(rows) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; return 1 when the gate adds more than it may on a host that is not busy."""
    parser = argparse.ArgumentParser(prog="python -m tests.lab.gate_speed", description="How long a signature takes.")
    parser.add_argument("--times", type=int, default=1000, help="signatures each way and condition (default 1000)")
    times = parser.parse_args(arguments).times
    with tempfile.TemporaryDirectory(prefix="nodeos-failover-gate-") as root:
        found = run(Path(root), times)
    sys.stdout.write(table(found))
    longest = max(each.milliseconds[-1] for each in found)
    sys.stdout.write(
        f"\nThe longest took {longest:.1f} ms; advised: keosd-provider-timeout = {PROVIDER_TIMEOUT_MS} (ms).\n"
    )
    alone, through = found[:2]
    return int(any(through.quantile(q) - alone.quantile(q) > most for q, most in ((0.5, P50_MS), (0.99, P99_MS))))


if __name__ == "__main__":
    sys.exit(main())
