"""A TCP proxy on loopback that can misbehave. Only the proxy lives here; it knows nothing of what passes through it.

The faults, and what each stands for:

    refuse   the process is dead on a live host: connections are reset, new ones refused
    cut      the cable is pulled: nothing passes, nobody is told; a connection that lived through it is reset by `heal`,
             as after an outage long enough for both ends to give up. One direction alone may be cut.
    freeze   the cable is pulled for a moment: nothing passes, and `heal` lets everything held back go on
    delay    every byte arrives later, in order

A proxy cannot keep the kernel from completing a TCP handshake: during a cut a connect succeeds, and then nothing
comes. One thread serves one proxy; every fault is in force when its method returns.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections import Counter
from collections.abc import Collection, Coroutine
from typing import Any, Literal

from tests.lab.errors import LabError

Direction = Literal["to_server", "to_client"]
BOTH: tuple[Direction, ...] = ("to_server", "to_client")
HOST = "127.0.0.1"
COMMAND_LIMIT = 5.0  # seconds until a fault must be in force: the loop never blocks for longer than a few ms
RESET = struct.pack("ii", 1, 0)  # SO_LINGER on, 0 s: close sends RST
CHUNK = 64 << 10  # bytes read at once
WAITING = 16  # chunks held for one direction before reading stops: the sender then feels a full pipe


class Proxy:
    """Listens on `port` and relays to `target`, both ports of 127.0.0.1. Starts at once; `close` ends it."""

    def __init__(self, port: int, target: int) -> None:
        self.port, self.target = port, target
        self.passed: Counter[Direction] = Counter()
        """Bytes that came so far, by direction; written by the proxy's thread alone."""
        self._delay = 0.0
        self._lossy = False  # a cut is on: what it touches cannot go on
        self._refusing = False
        self._moving = {direction: asyncio.Event() for direction in BOTH}
        self._server: asyncio.Server | None = None
        self._pairs: dict[asyncio.Task[None], bool] = {}  # each connection, and whether it may have lost bytes
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"lab-proxy-{port}", daemon=True)
        self._thread.start()
        self._do(self._heal())

    # --- faults: called from any thread -----------------------------------------------------------------------

    def cut(self, direction: Direction | Literal["both"] = "both") -> None:
        """Let nothing pass in `direction`, and tell nobody."""
        self._do(self._stop(BOTH if direction == "both" else (direction,), lossy=True))

    def freeze(self) -> None:
        """Hold everything back, both ways, until `heal`."""
        self._do(self._stop(BOTH, lossy=False))

    def delay(self, seconds: float) -> None:
        """Let every byte that comes from now on arrive `seconds` later."""
        self._delay = seconds

    def refuse(self) -> None:
        """Reset all connections and refuse new ones."""
        self._do(self._refuse())

    def heal(self) -> None:
        """End all faults."""
        self._do(self._heal())

    def close(self) -> None:
        """End the proxy and its connections."""
        if not self._loop.is_closed():
            self._do(self._refuse())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(COMMAND_LIMIT)
            self._loop.close()

    def _do(self, command: Coroutine[Any, Any, None]) -> None:
        if self._loop.is_closed():
            command.close()
            raise LabError(f"the proxy on port {self.port} is closed")
        try:
            asyncio.run_coroutine_threadsafe(command, self._loop).result(COMMAND_LIMIT)
        except TimeoutError as error:
            raise LabError(f"the proxy on port {self.port} does not obey: its thread hangs or has died") from error

    # --- the loop: everything below runs in the proxy's own thread --------------------------------------------

    async def _stop(self, directions: Collection[Direction], *, lossy: bool) -> None:
        for direction in directions:
            self._moving[direction].clear()
        self._lossy |= lossy
        self._pairs = {pair: lost or lossy for pair, lost in self._pairs.items()}

    async def _refuse(self) -> None:
        self._refusing = True
        if self._server is not None:
            self._server.close()
            self._server = None
        await self._reset(list(self._pairs))

    async def _heal(self) -> None:
        self._lossy, self._refusing, self._delay = False, False, 0.0
        await self._reset([pair for pair, lost in self._pairs.items() if lost])
        for moving in self._moving.values():
            moving.set()
        if self._server is None:
            self._server = await asyncio.start_server(self._accept, HOST, self.port, backlog=64)

    async def _reset(self, pairs: Collection[asyncio.Task[None]]) -> None:
        await asyncio.sleep(0)  # a task that is cancelled before it began would leave its client open
        for pair in pairs:
            pair.cancel()
        await asyncio.gather(*pairs, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        pair = self._loop.create_task(self._relay(reader, client))
        self._pairs[pair] = self._lossy
        pair.add_done_callback(self._pairs.pop)

    async def _relay(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        """Serve one connection until both directions have ended, or an end is gone, or a fault cancels it."""
        ends, whole = [client], False
        try:
            if self._refusing:  # it was accepted in the last moment before
                raise ConnectionRefusedError
            await self._moving["to_server"].wait()
            answers, server = await asyncio.open_connection(HOST, self.target)
            ends.append(server)
            async with asyncio.TaskGroup() as both:
                both.create_task(self._carry("to_server", reader, server))
                both.create_task(self._carry("to_client", answers, client))
            whole = True
        except* OSError:
            pass  # an end is gone: the other one is told below
        finally:
            for end in ends:
                with contextlib.suppress(OSError):
                    if not whole:
                        end.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                end.transport.abort()
            await asyncio.sleep(0)  # the sockets are closed in the loop's next round

    async def _carry(self, direction: Direction, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        """Move the bytes of one direction. Each chunk is due some time after it came; an empty one ends it."""
        sink.transport.set_write_buffer_limits(0)  # what was written is with the kernel when `drain` returns
        chunks: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(WAITING)

        async def take() -> None:
            while data := await source.read(CHUNK):
                self.passed[direction] += len(data)
                await chunks.put((self._loop.time() + self._delay, data))
            await chunks.put((self._loop.time() + self._delay, b""))

        async def give() -> None:
            while True:
                due, data = await chunks.get()
                await asyncio.sleep(due - self._loop.time())
                await self._moving[direction].wait()
                if not data:
                    return sink.write_eof()
                sink.write(data)
                await sink.drain()

        async with asyncio.TaskGroup() as both:
            both.create_task(take())
            both.create_task(give())
