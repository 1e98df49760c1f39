"""A SIMULATED nodeos: the parts of its HTTP API that the agent uses, over a chain that is only a file of signatures.

It stands in where no real nodeos can be had, and has the faults that a real one cannot be made to have. It is no
blockchain: no transactions, no consensus, no p2p; every node sees every block at once. `SimulatedNodeos` runs in this
process; `python -m tests.lab.simulated --help` is one of its own, whose control port takes faults:

    POST /fault {"path": "/v1/producer/resume", "answer": "hang", "act": 2.0, "status": 503}
    POST /busy {"seconds": 3.0}, POST /behind {"seconds": 3.0}
    POST /clear
    GET /state

SIGUSR1: it gets no signature any more, as with a keosd that is dead.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from tests.lab.simulated_answers import PLUGINS, SHAPES
from tests.lab.simulated_chain import SimulatedChain
from tests.lab.simulated_http import ALL, Fault, Listener, Reply
from tests.lab.simulated_nodeos import SimulatedNodeos
from tests.lab.simulated_producer import Savanna
from tests.lab.simulated_votes import TIMEOUT_MS

__all__ = ["SHAPES", "Fault", "Savanna", "SimulatedChain", "SimulatedNodeos", "main"]


class Control:
    """The control port of a SIMULATED nodeos in a process of its own."""

    def __init__(self, node: SimulatedNodeos, port: int) -> None:
        self._node = node
        self.listener = Listener(self._respond, port)

    def _respond(self, path: str, body: bytes) -> Reply:
        try:
            asked = json.loads(body) if body else {}
            match path:
                case "/fault":
                    self._node.fault(asked.pop("path", ALL), **asked)
                case "/busy":
                    self._node.busy(float(asked["seconds"]))
                case "/behind":
                    self._node.behind(float(asked["seconds"]))
                case "/clear":
                    self._node.clear()
                case "/state":
                    pass
                case _:
                    return Reply(404, {"error": f"{path} is none of /fault, /busy, /behind, /clear, /state"})
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            return Reply(400, {"error": str(error)})
        return Reply(200, self._node.state())


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.lab.simulated", description="A SIMULATED nodeos.")
    parser.add_argument("--listen", required=True, metavar="127.0.0.1:PORT")
    parser.add_argument("--unix-socket-path", type=Path)
    parser.add_argument("--control", type=int, metavar="PORT")
    parser.add_argument("--chain", type=Path, required=True, metavar="FILE", help="the shared chain; made when missing")
    parser.add_argument("--schedule", default="eosio", help="producers in signing order, separated by commas")
    parser.add_argument("--name", required=True)
    parser.add_argument("--producer", help="whom it signs for; without it, it is an observer")
    parser.add_argument("--shape", choices=SHAPES, default="leap-5")
    parser.add_argument("--finalizer", action="append", default=[], metavar="KEY", help="a key that it votes with")
    parser.add_argument("--production-pause-vote-timeout-ms", type=int, default=TIMEOUT_MS)
    parser.add_argument("--produce-block-offset-ms", type=int, default=0)
    parser.add_argument("--without", action="append", default=[], choices=PLUGINS.values())
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
    over = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: over.set())
    chain = SimulatedChain(found.chain, tuple(found.schedule.split(",")))
    node = SimulatedNodeos(
        chain,
        found.name,
        found.producer,
        port=int(found.listen.rpartition(":")[2]),
        unix=found.unix_socket_path,
        shape=found.shape,
        paused=found.pause_on_startup,
        stale=found.enable_stale_production,
        without=found.without,
        savanna=Savanna(tuple(found.finalizer), found.production_pause_vote_timeout_ms, found.produce_block_offset_ms),
        log=True,
    )
    control = Control(node, found.control) if found.control is not None else None
    if control is not None:
        control.listener.start()  # before the node: whoever sees that answer may ask for faults at once
    signal.signal(signal.SIGUSR1, lambda *_: node.mute())
    node.start()
    over.wait()
    if control is not None:
        control.listener.close()
    node.close()
    chain.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
