"""The terms of A = P + max(B, K) + G, measured on a real nodeos beside what the defaults allow.

P: how long a pause takes that goes by the agent's own adapter. B: how long after its answer the last block was signed.
K: how long the agent's own fence takes to end the process and see it gone. G: how much later than it should a thread
wakes that sleeps for 10 ms, while other processes are busy; a whole stop has about five such steps, so each may have a
fifth of G.
"""

from __future__ import annotations

import argparse
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
from tests.lab.figures import markdown
from tests.lab.lab import Lab
from tests.lab.measure import Found, say, spread
from tests.lab.nodeos import Node
from tests.lab.process import Process
from tests.lab.wait import until

READERS = 8
QUICK_LOAD_S = 0.01
"""Between two transactions: to sign and send one takes about as long."""
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


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--times", "-n", type=int, default=30, help="pauses in each condition (default 30)")
    parser.add_argument("--seconds", type=float, default=8.0, help="of naps in each condition (default 8)")


def measure(root: Path, chosen: argparse.Namespace) -> Found:
    """Measure every term; bad is what is worse than the defaults allow."""
    terms, timing = [], Timing()
    for term in _terms(root, chosen.times, chosen.seconds):
        terms.append(term)
        say(f"{term.symbol}: {term.what}: {' / '.join(spread(term.milliseconds))} ms")
    text = (
        f"{table(terms)}\n\nA = {timing.pause} + max({timing.block}, {timing.kill}) + {timing.slack} = "
        f"{timing.margin} ms, E = {timing.validity} ms >= {timing.validity_needed} ms"
    )
    bad = [f"{each.symbol}, {each.what}" for each in terms if max(each.milliseconds) > allowed(each, timing)]
    return Found(text, [asdict(each) for each in terms], bad)


def _terms(root: Path, times: int, seconds: float) -> Iterator[Term]:
    """Measure every term, on one node that signs all blocks."""
    with Lab(root) as lab:
        chain = lab.chain(1)
        node = next(iter(chain.nodes.values()))
        yield from pauses(chain, node, times, "idle")
        with beside(hammered(node)):
            yield from pauses(chain, node, times, f"{READERS} threads read blocks")
            if chain.load is not None:
                chain.load.period = QUICK_LOAD_S
            yield from pauses(chain, node, times, f"{READERS} threads and transactions as fast as they are taken")
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
    rows = []
    for each in terms:
        worst, limit = max(each.milliseconds), allowed(each, Timing())
        often = f" ({limit / worst:.1f} x)" if worst > 0 else ""
        count = str(len(each.milliseconds))
        rows.append([each.symbol, each.what, count, *spread(each.milliseconds), f"{limit:g} ms{often}"])
    return markdown(["term", "what", "n", "p50 ms", "p99 ms", "max ms", "allowed"], rows)
