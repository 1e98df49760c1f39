"""One proxied connection: two sockets and the bytes on their way. No faults, no event loop and no thread live here."""

import errno
import selectors
import socket
from collections import Counter, deque
from collections.abc import Collection, Iterator
from typing import Literal

Direction = Literal["to_server", "to_client"]
CHUNK = 64 << 10  # bytes read at once
IN_FLIGHT = 1 << 20  # bytes held for one direction before reading stops: the sender then feels a full pipe


class Half:
    """One direction of a connection: bytes read from one socket, due at a time, to be written to the other."""

    def __init__(self, direction: Direction, passed: Counter[Direction]) -> None:
        self.direction = direction
        self._passed = passed
        self._chunks: deque[tuple[float, memoryview]] = deque()
        self._size = 0
        self._ended = False
        self.closed = False

    def can_read(self) -> bool:
        """Tell whether more bytes may be taken in."""
        return not self._ended and self._size < IN_FLIGHT

    def next_due(self) -> float | None:
        """Return the time of the first chunk that waits, None when there is none."""
        return self._chunks[0][0] if self._chunks else None

    def read(self, source: socket.socket, due: float) -> None:
        """Take in what there is, to be written at `due` or after what came before."""
        data = source.recv(CHUNK)
        if data:
            self._chunks.append((max(due, self._chunks[-1][0]) if self._chunks else due, memoryview(data)))
            self._size += len(data)
            self._passed[self.direction] += len(data)
        else:
            self._ended = True

    def write(self, sink: socket.socket) -> None:
        """Write the first chunk, or as much of it as `sink` takes."""
        if self._chunks:
            due, data = self._chunks[0]
            sent = sink.send(data)
            self._size -= sent
            self._chunks.popleft()
            if sent < len(data):
                self._chunks.appendleft((due, data[sent:]))

    def pass_on_end(self, sink: socket.socket) -> None:
        """Tell `sink` that no more will come, once everything before was written."""
        if self._ended and not self._chunks and not self.closed:
            sink.shutdown(socket.SHUT_WR)
            self.closed = True


class Pair:
    """A client's connection and ours to the server. `lost`: bytes may be missing, so it must not go on after a cut.

    `passed` counts the bytes that came, by direction.
    """

    def __init__(self, client: socket.socket, lost: bool, passed: Counter[Direction]) -> None:
        client.setblocking(False)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.client = client
        self.server: socket.socket | None = None
        self.connected = False
        self.lost = lost
        self.up, self.down = Half("to_server", passed), Half("to_client", passed)

    def sockets(self) -> Iterator[socket.socket]:
        """Yield the sockets that exist."""
        yield self.client
        if self.server is not None:
            yield self.server

    def connect(self, address: tuple[str, int]) -> None:
        """Begin to connect to the server. OSError when it refuses at once."""
        self.server = socket.socket()
        self.server.setblocking(False)
        self.server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        error = self.server.connect_ex(address)
        if error not in (0, errno.EINPROGRESS):
            raise OSError(error, "the server refused")

    def finished(self) -> bool:
        """Tell whether both directions have ended, passing on each end that is due."""
        if self.server is not None and self.connected:
            self.up.pass_on_end(self.server)
            self.down.pass_on_end(self.client)
        return self.up.closed and self.down.closed

    def waits(self, now: float, stopped: Collection[Direction]) -> Iterator[float]:
        """Yield the seconds until each direction that may move has something to write."""
        for half in (self.up, self.down):
            due = half.next_due()
            if due is not None and due > now and half.direction not in stopped:
                yield due - now

    def masks(self, now: float, stopped: Collection[Direction]) -> Iterator[tuple[socket.socket, int]]:
        """Yield each socket with the events that it waits for."""
        if self.server is None:
            yield self.client, 0
        elif not self.connected:
            yield self.server, selectors.EVENT_WRITE
        else:
            yield self.client, _mask(self.up, self.down, now, stopped)
            yield self.server, _mask(self.down, self.up, now, stopped)

    def serve(self, sock: socket.socket, ready: int, due: float) -> None:
        """Move bytes for a socket that is ready. OSError when the connection is broken."""
        if self.server is not None and not self.connected:
            error = self.server.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if error:
                raise OSError(error, "the server refused")
            self.connected = True
            return
        incoming, outgoing = (self.up, self.down) if sock is self.client else (self.down, self.up)
        if ready & selectors.EVENT_WRITE:
            outgoing.write(sock)
        if ready & selectors.EVENT_READ:
            incoming.read(sock, due)


def _mask(incoming: Half, outgoing: Half, now: float, stopped: Collection[Direction]) -> int:
    due = outgoing.next_due()
    read = incoming.direction not in stopped and incoming.can_read()
    write = outgoing.direction not in stopped and due is not None and due <= now
    return (selectors.EVENT_READ if read else 0) | (selectors.EVENT_WRITE if write else 0)
