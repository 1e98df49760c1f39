"""How much a signing gate adds to a signature: a real keosd asked alone and through a real gate, turn by turn.

The table has the host as it is, with a client that asks the gate for its counts all the time, and with that on a host
whose every processor is busy; and the keosd-provider-timeout. Bad is when more than P50_MS or P99_MS is added on the
host as it is.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from agent.gate.client import look
from agent.gate.settings import PROVIDER_TIMEOUT_MS
from agent.gate.wire import SIGN
from agent.host.clock import boot_ms
from tests.lab.binaries import find_nodeos
from tests.lab.errors import LabError
from tests.lab.figures import markdown, percentile
from tests.lab.gates import LONGEST_MS, SigningGate
from tests.lab.measure import Found, spread
from tests.lab.measure.margins import beside
from tests.lab.nodeos import PUBLIC_KEY
from tests.lab.ports import Ports

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
    """What was measured: milliseconds of each signature."""

    condition: str
    way: str
    milliseconds: Sequence[float]


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


def compare(gate: SigningGate, condition: str, times: int) -> list[Spans]:
    """Ask keosd alone and through the gate, turn by turn, so that both have the same weather."""
    alone, through = Line(gate.wallet.url), Line(gate.url)
    found: tuple[list[float], list[float]] = ([], [])
    for _ in range(times):
        for line, spans in zip((alone, through), found, strict=True):
            spans.append(line.sign())
            time.sleep(PAUSE_S)
    alone.close()
    through.close()
    return [Spans(condition, "keosd alone", found[0]), Spans(condition, "through the gate", found[1])]


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


def run(root: Path, times: int) -> list[Spans]:
    """Measure under all conditions."""
    ports = Ports()
    gate = SigningGate(root / "gate", ("lab", "bp-a"), root / "run", ports, find_nodeos())
    try:
        gate.start()
        hand = gate.new_hand()
        found: list[Spans] = []
        hand.permit(1, boot_ms() + LONGEST_MS)
        compare(gate, "warm-up", 20)
        found += compare(gate, "as it is", times)
        with asked_all_the_time(gate):
            found += compare(gate, "counts asked for", times)
            hand.permit(1, boot_ms() + LONGEST_MS)
            with beside([[sys.executable, "-c", BURN]] * (os.cpu_count() or 1)):
                found += compare(gate, "that, and every processor busy", times)
        hand.let_go()
        return found
    finally:
        gate.close()
        ports.close()


def added(alone: Spans, through: Spans, part: float) -> float:
    """Return what the gate adds to a percentile, in ms."""
    return percentile(through.milliseconds, part) - percentile(alone.milliseconds, part)


def table(found: Sequence[Spans]) -> str:
    """Return the figures as Markdown; what was added is the difference of the two rows before it."""
    rows = []
    for pair in zip(found[::2], found[1::2], strict=True):
        rows += [
            [each.condition, each.way, str(len(each.milliseconds)), *spread(each.milliseconds, 2)] for each in pair
        ]
        rows.append(["", "added", "", *(f"{added(*pair, part):.2f}" for part in (0.5, 0.99)), ""])
    return markdown(["host", "asked", "n", "p50 ms", "p99 ms", "max ms"], rows)


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the option."""
    parser.add_argument("--times", type=int, default=1000, help="signatures each way and condition (default 1000)")


def measure(root: Path, chosen: argparse.Namespace) -> Found:
    """Measure; bad is when the gate adds more than it may on a host that is not busy."""
    found = run(root, chosen.times)
    longest = max(max(each.milliseconds) for each in found)
    advice = f"The longest took {longest:.1f} ms; advised: keosd-provider-timeout = {PROVIDER_TIMEOUT_MS} (ms)."
    more = {part: added(found[0], found[1], part) for part in (0.5, 0.99)}
    bad = [
        f"p{100 * part:g}: {more[part]:.2f} ms are added, {most:g} is the aim"
        for part, most in ((0.5, P50_MS), (0.99, P99_MS))
        if more[part] > most
    ]
    return Found(f"{table(found)}\n\n{advice}", [asdict(each) for each in found], bad)
