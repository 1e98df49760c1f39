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

import contextlib
import queue
import selectors
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Literal

from tests.lab.errors import LabError
from tests.lab.relay import Direction, Pair

HOST = "127.0.0.1"
COMMAND_LIMIT = 5.0  # seconds until a fault must be in force: the loop never blocks for longer than a few ms
RESET = struct.pack("ii", 1, 0)  # SO_LINGER on, 0 s: close sends RST


class Proxy:
    """Listens on `port` and relays to `target`, both ports of 127.0.0.1. Starts at once; `close` ends it."""

    def __init__(self, port: int, target: int) -> None:
        self.port, self.target = port, target
        self.passed: Counter[Direction] = Counter()
        """Bytes that came so far, by direction; written by the proxy's thread alone."""
        self._pairs: set[Pair] = set()
        self._stopped: set[Direction] = set()
        self._lossy = False  # a cut is on: what it touches cannot go on
        self._delay = 0.0
        self._listener: socket.socket | None = None
        self._commands: queue.SimpleQueue[tuple[Callable[[], None], threading.Event]] = queue.SimpleQueue()
        self._wake_out, self._wake_in = socket.socketpair()
        self._wake_out.setblocking(False)
        self._closing = False
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._wake_out, selectors.EVENT_READ, self._drain_wake)
        self._listen()
        self._thread = threading.Thread(target=self._run, name=f"lab-proxy-{port}", daemon=True)
        self._thread.start()

    # --- faults: called from any thread -----------------------------------------------------------------------

    def cut(self, direction: Direction | Literal["both"] = "both") -> None:
        """Let nothing pass in `direction`, and tell nobody."""
        self._do(lambda: self._stop({"to_server", "to_client"} if direction == "both" else {direction}, lost=True))

    def freeze(self) -> None:
        """Hold everything back, both ways, until `heal`."""
        self._do(lambda: self._stop({"to_server", "to_client"}, lost=False))

    def delay(self, seconds: float) -> None:
        """Let every byte that comes from now on arrive `seconds` later."""
        self._do(lambda: setattr(self, "_delay", seconds))

    def refuse(self) -> None:
        """Reset all connections and refuse new ones."""

        def apply() -> None:
            self._unlisten()
            self._reset_all()

        self._do(apply)

    def reset(self) -> None:
        """Reset all connections that exist now, once."""
        self._do(self._reset_all)

    def heal(self) -> None:
        """End all faults."""
        self._do(self._heal)

    @property
    def connections(self) -> int:
        """How many connections exist."""
        return len(self._pairs)

    def close(self) -> None:
        """End the proxy and its connections."""
        if not self._closing:
            self._do(lambda: setattr(self, "_closing", True))
            self._thread.join(COMMAND_LIMIT)
            self._wake_in.close()

    def _do(self, command: Callable[[], None]) -> None:
        if self._closing:
            raise LabError(f"the proxy on port {self.port} is closed")
        done = threading.Event()
        self._commands.put((command, done))
        with contextlib.suppress(OSError):  # the loop was awake, and the order was to end
            self._wake_in.send(b".")
        if not done.wait(COMMAND_LIMIT):
            raise LabError(f"the proxy on port {self.port} does not obey: its thread hangs or has died")

    # --- the loop: everything below runs in the proxy's own thread --------------------------------------------

    def _run(self) -> None:
        while not self._closing:
            for key, mask in self._selector.select(self._due_in()):
                key.data(mask)
            self._obey()
            for pair in list(self._pairs):
                self._update(pair)
        self._reset_all()
        self._unlisten()
        self._selector.close()
        self._wake_out.close()  # `close` closes its other end, whose wake-up may come after the loop has ended

    def _obey(self) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                command, done = self._commands.get_nowait()
                command()
                done.set()

    def _drain_wake(self, _mask: int) -> None:
        with contextlib.suppress(BlockingIOError):
            self._wake_out.recv(4096)

    def _due_in(self) -> float | None:
        """Return the seconds until the next delayed byte is due, None when nothing waits for its time."""
        now = time.monotonic()
        return min((wait for pair in self._pairs for wait in pair.waits(now, self._stopped)), default=None)

    def _listen(self) -> None:
        if self._listener is None:
            self._listener = socket.create_server((HOST, self.port), backlog=64)
            self._listener.setblocking(False)
            self._selector.register(self._listener, selectors.EVENT_READ, self._accept)

    def _unlisten(self) -> None:
        if self._listener is not None:
            self._selector.unregister(self._listener)
            self._listener.close()
            self._listener = None

    def _accept(self, _mask: int) -> None:
        if self._listener is None:
            return
        with contextlib.suppress(OSError):  # the client gave up already
            client, _ = self._listener.accept()
            self._pairs.add(Pair(client, self._lossy, self.passed))

    def _stop(self, directions: set[Direction], lost: bool) -> None:
        self._stopped |= directions
        self._lossy = self._lossy or lost
        if lost:
            for pair in self._pairs:
                pair.lost = True

    def _heal(self) -> None:
        self._stopped, self._lossy, self._delay = set(), False, 0.0
        for pair in [pair for pair in self._pairs if pair.lost]:
            self._drop(pair)
        self._listen()

    def _update(self, pair: Pair) -> None:
        """Connect when allowed, and register for exactly those events that this pair can use now."""
        try:
            if pair.server is None and "to_server" not in self._stopped:
                pair.connect((HOST, self.target))
            if pair.finished():
                self._drop(pair, reset=False)
                return
            now = time.monotonic()
            for sock, mask in pair.masks(now, self._stopped):
                self._register(sock, mask, pair)
        except OSError:
            self._drop(pair)

    def _register(self, sock: socket.socket, mask: int, pair: Pair) -> None:
        known = self._selector.get_map().get(sock)
        if known is None:
            if mask:
                self._selector.register(sock, mask, lambda ready: self._serve(pair, sock, ready))
        elif not mask:
            self._selector.unregister(sock)
        elif known.events != mask:
            self._selector.modify(sock, mask, known.data)

    def _serve(self, pair: Pair, sock: socket.socket, ready: int) -> None:
        if pair not in self._pairs:  # dropped while its other end was served
            return
        try:
            pair.serve(sock, ready, time.monotonic() + self._delay)
        except BlockingIOError:
            pass
        except OSError:
            self._drop(pair)

    def _reset_all(self) -> None:
        for pair in list(self._pairs):
            self._drop(pair)

    def _drop(self, pair: Pair, reset: bool = True) -> None:
        self._pairs.discard(pair)
        for sock in pair.sockets():
            if sock in self._selector.get_map():
                self._selector.unregister(sock)
            with contextlib.suppress(OSError):
                if reset:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                sock.close()


class Proxies:
    """Several proxies under one hand, for example all ways of one host to etcd."""

    def __init__(self, members: Sequence[Proxy]) -> None:
        self.members = list(members)

    def cut(self, direction: Direction | Literal["both"] = "both") -> None:
        """See Proxy.cut."""
        for proxy in self.members:
            proxy.cut(direction)

    def freeze(self) -> None:
        """See Proxy.freeze."""
        for proxy in self.members:
            proxy.freeze()

    def delay(self, seconds: float) -> None:
        """See Proxy.delay."""
        for proxy in self.members:
            proxy.delay(seconds)

    def refuse(self) -> None:
        """See Proxy.refuse."""
        for proxy in self.members:
            proxy.refuse()

    def reset(self) -> None:
        """See Proxy.reset."""
        for proxy in self.members:
            proxy.reset()

    def heal(self) -> None:
        """See Proxy.heal."""
        for proxy in self.members:
            proxy.heal()

    def close(self) -> None:
        """See Proxy.close."""
        for proxy in self.members:
            proxy.close()
