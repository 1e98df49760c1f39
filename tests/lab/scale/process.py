"""What a process of load does from its start to its end. Only that lives here; what the load is stands elsewhere.

It writes a line of JSON a second, and one with everything at the end, which comes with SIGTERM. Times are ms of
CLOCK_BOOTTIME, which all processes of a host share.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Protocol

from agent.core.model.store import Ms
from agent.host.clock import boot_ms


class Load(Protocol):
    """Groups that ask etcd."""

    @property
    def led(self) -> int:
        """How many groups are led."""

    @property
    def stops(self) -> int:
        """How many tenures have ended."""

    @property
    def events(self) -> int:
        """How many changes watches have brought."""

    async def begin(self) -> None:
        """Start all of them."""

    async def close(self) -> None:
        """End all of them."""

    def report(self) -> dict[str, object]:
        """Return everything."""


Make = Callable[[Sequence[str], int, int, int, bool, str], Load]
"""Makes a load: endpoints, the first group, how many, how many agents share a connection, whether in step,
and the mode of the peers."""


LAG_S = 0.05
"""How often it is looked at how late the event loop is."""


async def _look_at_lag(told: list[tuple[Ms, Ms]]) -> None:
    """Note how late (ms) the event loop is: so much of a request's time is the client's, and not etcd's."""
    while True:
        begin = boot_ms()
        await asyncio.sleep(LAG_S)
        told.append((begin, max(0, boot_ms() - begin - round(1000 * LAG_S))))


async def run(load: Load) -> None:
    """Go on until SIGTERM."""
    over = asyncio.Event()
    lag: list[tuple[Ms, Ms]] = []
    looking = asyncio.create_task(_look_at_lag(lag))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, over.set)
    begun = asyncio.create_task(load.begin())
    while not over.is_set():
        _say({"at": boot_ms(), "led": load.led, "stops": load.stops, "events": load.events})
        try:
            await asyncio.wait_for(over.wait(), 1.0)
        except TimeoutError:
            if begun.done():
                begun.result()  # a defect shall not pass unseen
    looking.cancel()
    _say({**load.report(), "lag": lag})
    await load.close()


def _say(what: object) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def main(make: Make, arguments: Sequence[str]) -> int:
    """Run one process: ENDPOINTS FIRST COUNT SHARE IN_STEP PEERS.

    Cycles are not collected: with so many agents on one heap that took 15 % of the load's processor, as in no real one.
    """
    logging.disable(logging.CRITICAL)
    gc.disable()
    endpoints, first, count, share, in_step, peers = arguments

    async def all_of_it() -> None:
        await run(make(endpoints.split(","), int(first), int(count), int(share), in_step == "1", peers))

    asyncio.run(all_of_it())
    return 0
