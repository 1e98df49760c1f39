"""The SIMULATED nodeos itself: what it answers to each request. See `tests.lab.simulated` for what it is good for."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.lab import simulated_answers as answers
from tests.lab.evidence import Signature
from tests.lab.simulated_answers import PLUGINS, SHAPES, time_text
from tests.lab.simulated_chain import SimulatedChain, time_of
from tests.lab.simulated_http import Fault, Listener, Reply
from tests.lab.simulated_producer import BlockMaker, Savanna, wall_ms

KEPT_CALLS = 10_000


@dataclass(frozen=True, slots=True)
class Call:
    """A request that came in. `at` on time.monotonic, in seconds."""

    path: str
    at: float


class SimulatedNodeos:
    """A SIMULATED nodeos in this process. Ports of 0 choose free ones; all methods may be called from any thread.

    `producer` None: an observer. `shape`: a key of SHAPES. `without`: API plugins that are not loaded.
    `blocks`, once it is started, is the truth about its production, and takes what may happen to that.
    """

    def __init__(
        self,
        chain: SimulatedChain,
        name: str = "bp-a",
        producer: str | None = "eosio",
        *,
        port: int = 0,
        unix: Path | None = None,
        shape: str = "leap-5",
        paused: bool = True,
        stale: bool = True,
        without: Collection[str] = (),
        savanna: Savanna = Savanna(),  # noqa: B008 - frozen
        log: bool = False,
    ) -> None:
        self.chain, self.name, self.producer = chain, name, producer
        self.shape = SHAPES[shape]
        self.without = frozenset(without)
        self.calls: deque[Call] = deque(maxlen=KEPT_CALLS)
        self.listener = Listener(self._respond, port, unix, validate_host=True)
        self._unix, self._log = unix, log
        self._start_paused, self._stale, self._savanna = paused, stale, savanna

    def start(self) -> None:
        """Listen, and make blocks unless paused. OSError when the port is in use."""
        self.listener.start()
        self.blocks = BlockMaker(
            self.chain,
            self.name,
            self.producer,
            f"127.0.0.1:{self.listener.port}",
            paused=self._start_paused,
            stale=self._stale,
            signed=self._signed,
            savanna=self._savanna,
        )
        self.blocks.start()

    def close(self) -> None:
        """Be gone, as if killed."""
        self.listener.close()
        self.blocks.close()

    @property
    def url(self) -> str:
        """Where it answers on TCP."""
        return f"http://127.0.0.1:{self.listener.port}"

    @property
    def unix_url(self) -> str:
        """Where it answers on its Unix socket."""
        return f"unix://{self._unix}"

    def fault(self, prefix: str, answer: str = "normal", act: float | None = 0.0, status: int = 503) -> None:
        """Have requests whose path begins with `prefix` suffer a fault, from now on (see `Fault`)."""
        self.listener.set_fault(prefix, Fault(answer, act, status))

    def clear(self) -> None:
        """End all faults."""
        self.listener.clear_faults()

    def _signed(self, block: Signature) -> None:
        """Log a block in nodeos's own words, so that whoever reads the one log can read the other."""
        if self._log:
            stamp, slot = time_text(round(block.wall * 1000)), time_text(time_of(block.slot))
            print(  # noqa: T201 - this is the log of the process
                f"info  {stamp} SIMULATED producer_plugin.cpp:1 produce_block ] Produced block {block.id[:16]}... "
                f"#{block.num} @ {slot} signed by {block.producer} [SIMULATED]",
                flush=True,
            )

    def _respond(self, path: str, body: bytes) -> Reply:
        self.calls.append(Call(path, time.monotonic()))
        plugin = PLUGINS.get(path.split("/")[2]) if path.count("/") == 3 else None
        try:
            asked = json.loads(body) if body.strip() else {}
        except ValueError:
            asked = None
        if not isinstance(asked, dict):
            return Reply(400, answers.error(400, "Invalid Request", 3200006, "invalid http request"))
        if plugin is None or plugin in self.without:
            return _unknown()
        if not (self.shape.finality and path == "/v1/chain/get_info") and not self.blocks.wait_main():
            return _unknown()
        return self._blocks_reply(path, asked) or self._chain_reply(path, asked) or _unknown()

    def _blocks_reply(self, path: str, asked: dict[str, Any]) -> Reply | None:
        match path:
            case "/v1/producer/pause_at_block" if self.shape.finality:
                num = int(asked.get("block_num", 0))
                if num <= self.blocks.head().num:
                    return Reply(500, answers.error(500, "Internal Service Error", 3170016, "Invalid pause at block"))
                return Reply(201, {"result": "ok"}, lambda: self.blocks.pause_at(num))
            case "/v1/producer/paused":
                return Reply(201, self.blocks.paused)
            case "/v1/producer/pause":
                return Reply(201, {"result": "ok"}, self.blocks.pause)
            case "/v1/producer/resume":
                return Reply(201, {"result": "ok"}, self.blocks.resume)
        return None

    def _chain_reply(self, path: str, asked: dict[str, Any]) -> Reply | None:
        chain = self.chain
        match path:
            case "/v1/chain/get_info":
                return Reply(200, answers.info(chain, self.shape, self.blocks.head()))
            case "/v1/chain/get_finalizer_info" if self.shape.finality:
                return Reply(200, answers.finalizer_info(chain))
            case "/v1/chain/get_producer_schedule":
                return Reply(200, answers.schedule(chain.schedule, self.shape))
            case "/v1/net/connections":
                return Reply(201, answers.connections(chain.others(self.name), self.shape, wall_ms()))
            case "/v1/chain/get_block" | "/v1/chain/get_block_info":
                if path.endswith("_info") and not self.shape.block_info:
                    return None
                wanted = str(asked.get("block_num_or_id", asked.get("block_num", "")))
                found = chain.block(int(wanted)) if wanted.isdigit() else chain.block_of_id(wanted)
                if found is None:
                    detail = f"Could not find block: {wanted}"
                    return Reply(400, answers.error(400, "Unknown Block", 3100002, "Unknown block", detail))
                return Reply(200, answers.block(found, chain.block(found.num - 1)))
        return None


def _unknown() -> Reply:
    return Reply(404, answers.error(404, "Not Found", 0, "unspecified", "Unknown Endpoint"))
