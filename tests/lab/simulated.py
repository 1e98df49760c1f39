"""A SIMULATED nodeos: the parts of its HTTP API that the agent uses, over a chain that is only a file of signatures.

It stands in where no real nodeos can be had, and has the faults that a real one cannot be made to have. It is no
blockchain: no transactions, no consensus, no p2p; every node sees every block at once. `SimulatedNodeos` runs in this
process, and takes faults; `python -m tests.lab.simulated --help` is one of its own, which gets no signature any more
after a SIGUSR1, as with a keosd that is dead.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.lab.simulated_answers import SHAPES
from tests.lab.simulated_chain import SimulatedChain
from tests.lab.simulated_nodeos import SimulatedNodeos
from tests.lab.simulated_producer import Savanna
from tests.lab.simulated_votes import TIMEOUT_MS


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.lab.simulated", description="A SIMULATED nodeos.")
    parser.add_argument("--listen", required=True, metavar="127.0.0.1:PORT")
    parser.add_argument("--unix-socket-path", help="empty: none")
    parser.add_argument("--chain", type=Path, required=True, metavar="FILE", help="the shared chain; made when missing")
    parser.add_argument("--schedule", default="eosio", help="producers in signing order, separated by commas")
    parser.add_argument("--name", required=True)
    parser.add_argument("--producer", help="whom it signs for; without it, it is an observer")
    parser.add_argument("--shape", choices=SHAPES, default="leap-5")
    parser.add_argument("--finalizer", action="append", default=[], metavar="KEY", help="a key that it votes with")
    parser.add_argument("--production-pause-vote-timeout-ms", type=int, default=TIMEOUT_MS)
    parser.add_argument("--produce-block-offset-ms", type=int, default=0)
    parser.add_argument("--without", action="append", default=[], metavar="PLUGIN")
    parser.add_argument("--pause-on-startup", action="store_true")
    parser.add_argument("--enable-stale-production", "-e", action="store_true")
    parser.add_argument("--replay-blockchain", action="store_true", help="taken, and ignored: nothing to replay")
    found = parser.parse_args(arguments)
    if not found.listen.startswith("127.0.0.1:"):
        parser.error("--listen: only 127.0.0.1")
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until SIGTERM or SIGINT."""
    found = _arguments(arguments)
    signals = {signal.SIGTERM, signal.SIGINT, signal.SIGUSR1}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)  # in every thread: a handler would run when the main one wakes
    chain = SimulatedChain(found.chain, tuple(found.schedule.split(",")))
    node = SimulatedNodeos(
        chain,
        found.name,
        found.producer,
        port=int(found.listen.rpartition(":")[2]),
        unix=Path(found.unix_socket_path) if found.unix_socket_path else None,
        shape=found.shape,
        paused=found.pause_on_startup,
        stale=found.enable_stale_production,
        without=found.without,
        savanna=Savanna(tuple(found.finalizer), found.production_pause_vote_timeout_ms, found.produce_block_offset_ms),
        log=True,
    )
    node.start()
    while signal.sigwait(signals) == signal.SIGUSR1:
        node.blocks.mute()
    node.close()
    chain.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
