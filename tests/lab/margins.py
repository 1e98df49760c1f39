"""The terms of A = P + max(B, K) + G, measured on a real nodeos beside what the defaults allow: `make margins`.

P: how long a pause takes that goes by the agent's own adapter. B: how long after its answer the last block was signed.
K: how long the agent's own fence takes to end the process and see it gone. G: how much later than it should a thread
wakes that sleeps for 10 ms, while other processes are busy; a whole stop has about five such steps, so each may have a
fifth of G.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from agent.core.leadership.timing import Timing
from agent.nodeos.client import HttpNodeos
from agent.nodeos.fence import ProcessFence
from agent.nodeos.finder import FencePlan
from tests.lab.bench.tails import Blocks
from tests.lab.chain import START, Chain
from tests.lab.errors import LabError
from tests.lab.figures import markdown, percentile
from tests.lab.lab import Lab
from tests.lab.nodeos import Node
from tests.lab.process import Process
from tests.lab.wait import until

READERS = 8
QUICK_LOAD_S = 0.01
"""Between two transactions: cleos itself takes longer, so they come as fast as it sends them."""
STEPS = 5
"""Sleeps and wake-ups between the moment at which a stop is due and its proof: loop, lane, answer, timer, loop."""
NAP_S = 0.01
BLOCKS_S = 30.0
AFTERWARDS_S = 1.5
"""Seconds after a pause in which a block of before may come: three times B, so that a later one would be seen."""
CALL_S = 5.0
HAMMER = """
import http.client, sys, threading
def read(port):
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            for _ in range(200):
                connection.request("POST", "/v1/chain/get_block", body='{"block_num_or_id": 2}')
                connection.getresponse().read()
        except (OSError, http.client.HTTPException):
            pass
        finally:
            connection.close()
threads = [threading.Thread(target=read, args=(int(sys.argv[1]),), daemon=True) for _ in range(int(sys.argv[2]))]
[each.start() for each in threads]
[each.join() for each in threads]
"""
BUSY = "while True: pass"


@dataclass(frozen=True)
class Term:
    """One term in one condition: milliseconds of each try."""

    symbol: str
    what: str
    milliseconds: list[float]

    def at(self, part: float) -> float:
        """Return a percentile."""
        return percentile(self.milliseconds, part)


@contextmanager
def beside(commands: Sequence[Sequence[str]]) -> Iterator[None]:
    """Run programs meanwhile; they are killed afterwards, and die with us."""
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="nodeos-failover-beside-")))
        for number, command in enumerate(commands):
            process = Process(f"beside-{number}", command, root / f"{number}.log")
            stack.enter_context(closing(process))
            process.start()
        yield


def hammered(node: Node) -> list[list[str]]:
    """Return the command that reads blocks of a node with READERS threads, without end."""
    return [[sys.executable, "-c", HAMMER, str(node.spec.http), str(READERS)]]


def timed(call: Callable[[], object]) -> float:
    """Return how long a call takes, in ms."""
    begun = time.perf_counter()
    call()
    return 1000 * (time.perf_counter() - begun)


def pauses(chain: Chain, node: Node, times: int, under: str) -> Iterator[Term]:
    """Pause and resume a producing node again and again: P, and B."""
    api, blocks = HttpNodeos(node.http_url), Blocks([node], chain.observer)
    asked, late = [], []
    for number in range(times):
        api.resume(CALL_S)
        _await_blocks(blocks, 2)
        time.sleep(0.5 * (number % times) / times)  # every part of a slot alike
        asked.append(timed(lambda: api.pause(CALL_S)))
        answered = time.time()
        time.sleep(AFTERWARDS_S)
        blocks.look()
        late += [max(0.0, 1000 * (max((each.wall for each in blocks.signed), default=0.0) - answered))]
    yield Term("P", f"pause, {under}", asked)
    yield Term("B", f"last block after the pause's answer, {under}", late)


def kills(chain: Chain, node: Node, times: int, under: str) -> Iterator[Term]:
    """End a producing node and start it again: K."""
    spent = []
    for _ in range(times):
        fence = ProcessFence(FencePlan(node.http_url))
        found = fence.find()
        if found is None:
            raise LabError(f"the fence does not find {node.name}")
        found.close()
        spent.append(timed(lambda fence=fence: fence.stop(0.0, CALL_S)))  # type: ignore[misc] # the same
        node.wait(CALL_S)
        node.restart(START)
        node.resume()
        chain.observer.wait_blocks(2)
    yield Term("K", f"SIGKILL until seen gone, {under}", spent)


def stalls(seconds: float, busy: int) -> Term:
    """Sleep again and again while processes are busy: G."""
    late = []
    with beside([[sys.executable, "-c", BUSY]] * busy):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            late.append(timed(lambda: time.sleep(NAP_S)) - 1000 * NAP_S)
    return Term("G", f"a nap of 10 ms ends late, {busy} busy processes on {os.cpu_count()} cores", late)


def _await_blocks(blocks: Blocks, more: int) -> None:
    blocks.look()
    count = len(blocks.signed)

    def came() -> bool:
        blocks.look()
        return len(blocks.signed) >= count + more

    until(came, BLOCKS_S, "blocks")


def measure(times: int, seconds: float) -> Iterator[Term]:
    """Measure every term, on one node that signs all blocks."""
    with tempfile.TemporaryDirectory(prefix="nodeos-failover-margins-") as root, Lab(Path(root)) as lab:
        chain = lab.chain(1)
        node = next(iter(chain.nodes.values()))
        yield from pauses(chain, node, times, "idle")
        with beside(hammered(node)):
            yield from pauses(chain, node, times, f"{READERS} threads read blocks")
            if chain.load is not None:
                chain.load.period = QUICK_LOAD_S
            yield from pauses(chain, node, times, f"{READERS} threads and transactions as fast as cleos sends them")
            node.resume()
            yield from kills(chain, node, max(1, times // 3), f"{READERS} threads read blocks")
    for busy in (0, 2, 4):
        yield stalls(seconds, busy)


def allowed(term: Term, timing: Timing) -> float:
    """Return what the spans allow for a term, in ms; of G what it leaves for one of its steps."""
    spans = {"P": timing.pause, "B": timing.block, "K": timing.kill, "G": timing.slack / STEPS}
    return float(spans[term.symbol])


def table(terms: Sequence[Term]) -> str:
    """Return the figures as Markdown: ms, with what the defaults allow, and how many times the worst that is."""
    heads = ["term", "what", "n", "p50 ms", "p99 ms", "max ms", "allowed"]
    rows = []
    for each in terms:
        worst = each.at(1)
        limit = allowed(each, Timing())
        cells = [each.symbol, each.what, str(len(each.milliseconds))]
        cells += [f"{each.at(part):.1f}" for part in (0.5, 0.99, 1)]
        cells.append(f"{limit:g} ms ({limit / worst:.1f} x)" if worst > 0 else f"{limit:g} ms")
        rows.append(cells)
    return markdown(heads, rows)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; 1 when a term was worse than the defaults allow."""
    parser = argparse.ArgumentParser(prog="make margins", description=__doc__)
    parser.add_argument("--times", "-n", type=int, default=30, help="pauses in each condition (default 30)")
    parser.add_argument("--seconds", type=float, default=8.0, help="of naps in each condition (default 8)")
    parser.add_argument("--json", type=Path, help="where the figures go")
    chosen = parser.parse_args(arguments)
    terms = []
    for term in measure(chosen.times, chosen.seconds):
        terms.append(term)
        sys.stdout.write(f"{term.symbol}: {term.what}: {term.at(0.5):.1f} / {term.at(1):.1f} ms\n")
        sys.stdout.flush()
    sys.stdout.write(f"\n{table(terms)}\n\n")
    timing = Timing()
    sys.stdout.write(
        f"A = {timing.pause} + max({timing.block}, {timing.kill}) + {timing.slack} = {timing.margin} ms, "
        f"E = {timing.validity} ms >= {timing.validity_needed} ms\n"
    )
    if chosen.json:
        chosen.json.write_text(json.dumps([asdict(each) for each in terms], indent=1) + "\n")
    return 1 if any(each.at(1) > allowed(each, timing) for each in terms) else 0


if __name__ == "__main__":
    sys.exit(main())
